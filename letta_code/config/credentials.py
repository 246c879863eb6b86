"""Credentials: keys of endpoints, from the environment, a file that only its owner reads, or the desktop's keyring."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from letta_code.config.paths import Paths
from letta_code.config.yamlfile import BadFile, read_document, safe_name
from letta_code.core.errors import ConfigError
from letta_code.core.events import Notice

_SERVICE = "letta-code"
_HEADER = "# Keys of letta-code.  Nobody but you should read this file."


class Credentials:
    """The keys of one person.  A key is never put into a notice, an error or a log."""

    def __init__(self, paths: Paths, env: Mapping[str, str] | None = None) -> None:
        self._paths = paths
        self._env = os.environ if env is None else env
        self._entries: dict[str, Any] | None = None
        self._notices: list[Notice] = []

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What was wrong with the file, once it was read."""
        return tuple(self._notices)

    def get(self, name: str, env_name: str = "") -> str:
        """The key of an endpoint: the variable `env_name` first, then the file or the keyring; "" where none is."""
        from_env = self._env.get(env_name, "").strip() if env_name else ""
        if from_env:
            return from_env
        entry = self._read().get(name)
        if isinstance(entry, str):
            return entry.strip()
        if isinstance(entry, Mapping) and entry.get("keyring") is True:
            return _from_keyring(name)
        return ""

    def names(self) -> tuple[str, ...]:
        """The endpoints that have a key in the file or the keyring."""
        return tuple(self._read())

    def kept(self) -> tuple[str, ...]:
        """The keys that stand in the file itself."""
        return tuple(entry.strip() for entry in self._read().values() if isinstance(entry, str))

    def set(self, name: str, key: str, *, keyring: bool = False) -> None:
        """Keep a key in the file (0600), or in the keyring with only its name in the file.

        A file that cannot be read is kept aside first.  Raises `ConfigError`.
        """
        from letta_code.config import files

        self._paths.ensure()
        try:
            data = dict(read_document(self._paths.credentials).data)
        except BadFile as error:
            data = {}
            self._notices.append(files.keep_aside(self._paths.credentials, error))
        if keyring:
            _to_keyring(name, key)
        data[name] = {"keyring": True} if keyring else key
        try:
            files.write_yaml(self._paths.credentials, data, header=_HEADER)
        except OSError as error:
            raise ConfigError(
                f"{self._paths.credentials} could not be written: {error.strerror or error}.",
                hint="See that the folder is yours and the disk is not full, then try again.",
            ) from error
        self._entries = None

    def _read(self) -> dict[str, Any]:
        if self._entries is not None:
            return self._entries
        path = self._paths.credentials
        self._entries = {}
        if not os.path.lexists(path):
            return self._entries
        try:
            self._make_private()
            entries = read_document(path).data
        except BadFile as error:
            place = f"{path}:{error.line}" if error.line else str(path)
            self._tell(f"{place}: the file {error}; no key of it is used.", "Correct it, or run: letta-code configure")
            return self._entries
        for name, entry in entries.items():
            if isinstance(entry, str) or (isinstance(entry, Mapping) and entry.get("keyring") is True):
                self._entries[name] = entry
            else:
                self._tell(f"{path}: {safe_name(name)} has no key that is text; it is not used.", "Correct the line.")
        return self._entries

    def _make_private(self) -> None:
        path = self._paths.credentials
        try:
            found = path.stat()
        except OSError:
            return  # a link that leads nowhere: reading it says so
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and found.st_mode & 0o077:
            path.chmod(0o600)
            self._tell(f"{path} could be read by others; it is yours alone now.", "Think of changing the keys in it.")

    def _tell(self, text: str, hint: str) -> None:
        self._notices.append(Notice(level="warning", code="credentials", text=text, hint=hint))


def _keyring() -> Any:
    try:
        return import_module("keyring")
    except ImportError as error:
        raise ConfigError(
            "The keyring is not installed with letta-code.", hint="pip install 'letta-code[keyring]'"
        ) from error


def _from_keyring(name: str) -> str:
    library = _keyring()
    try:
        return library.get_password(_SERVICE, name) or ""
    except library.errors.KeyringError as error:
        raise ConfigError(
            f"The keyring did not give the key of {name}: {type(error).__name__}.",
            hint="Unlock it, or set the key's environment variable.",
        ) from error


def _to_keyring(name: str, key: str) -> None:
    library = _keyring()
    try:
        library.set_password(_SERVICE, name, key)
    except library.errors.KeyringError as error:
        raise ConfigError(
            f"The keyring did not take the key of {name}: {type(error).__name__}.",
            hint="Run configure without --keyring: the key is then kept in a file that only you can read.",
        ) from error
