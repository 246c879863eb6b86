"""Vault: which placeholder stands for which secret in a conversation; kept in memory only."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

import msgspec

from letta_code.safety.secrets import secrets_in

T = TypeVar("T")

_SHORTEST = 8  # characters of a value that is looked for by itself: a shorter one would be found in words
_MOST = 400  # values of a conversation that are looked for wherever they stand
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASS|CREDENTIALS?)(?:$|_[0-9]$)", re.IGNORECASE
)
_NAME_OF_PLACE = re.compile(r"^(?:[/~.]|[A-Za-z]:\\|https?://[^@]*$)")
_OPAQUE = frozenset({"data", "signature", "redacted", "sha", "cwd"})  # a provider's bytes, pictures, hashes, folders


class Vault:
    """The secrets of one conversation.  A placeholder stands for the same value as long as the vault lives."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        """`known` are values that are secret whatever they look like."""
        self._guard = threading.Lock()
        self._given: dict[str, str] = {}  # value to placeholder
        self._values: dict[str, str] = {}
        self._origins: dict[str, set[str]] = {}  # placeholder to the files that it was read from
        self._known: tuple[str, ...] = ()
        self.know(known)

    def know(self, values: Iterable[str]) -> None:
        """More values that are secret wherever they stand."""
        with self._guard:
            more = {value for value in values if len(value) >= _SHORTEST}
            if not more.issubset(self._known):
                self._known = tuple(sorted({*self._known, *more}, key=len, reverse=True))

    @property
    def known(self) -> tuple[str, ...]:
        """The values that are secret wherever they stand, longest first."""
        return self._known

    def clean(self, text: str, origin: str = "") -> str:
        """The text with a placeholder for each secret; the same object when it held none.

        `origin` is the real path of the file that the text is from: there the values may be put back.
        """
        found = secrets_in(text, self._known)
        if not found:
            return text
        parts: list[str] = []
        at = 0
        for one in found:
            parts += (text[at : one.start], self.clean_as(one.kind, text[one.start : one.end], origin))
            at = one.end
        parts.append(text[at:])
        return "".join(parts)

    def clean_as(self, kind: str, value: str, origin: str = "") -> str:
        """The placeholder of a secret that was found already."""
        with self._guard:
            placeholder = self._given.get(value)
            if placeholder is None:
                placeholder = f"<secret:{kind}:{os.urandom(4).hex()}>"
                while placeholder in self._values:
                    placeholder = f"<secret:{kind}:{os.urandom(4).hex()}>"
                self._given[value] = placeholder
                self._values[placeholder] = value
                if len(value) >= _SHORTEST and "\n" not in value and len(self._known) < _MOST:
                    # From here on it is known: a stack trace repeats a password without the name before it.
                    self._known = tuple(sorted({*self._known, value}, key=len, reverse=True))
            if origin:
                self._origins.setdefault(placeholder, set()).add(origin)
            return placeholder

    def value(self, placeholder: str) -> str | None:
        """What a placeholder stands for, None for one that is not of this vault."""
        return self._values.get(placeholder)

    def is_from(self, placeholder: str, path: str) -> bool:
        """Whether the value was read from the file."""
        return path in self._origins.get(placeholder, ())


class Secrets:
    """Implements `Redactor`: a vault for each conversation, and the values that letta-code itself holds."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._guard = threading.Lock()
        self._known: set[str] = set(known)
        self._vaults: dict[str, Vault] = {}

    def know(self, *values: str) -> None:
        """Values that are secret wherever they stand and whatever they look like."""
        with self._guard:
            self._known.update(values)
            vaults = [*self._vaults.values()]
        for vault in vaults:
            vault.know(values)

    def vault(self, conversation_id: str = "") -> Vault:
        """The vault of a conversation, that of no conversation with ""."""
        with self._guard:
            vault = self._vaults.get(conversation_id)
            if vault is None:
                vault = self._vaults[conversation_id] = Vault(self._known)
            return vault

    def clean(self, text: str, conversation_id: str = "") -> str:
        """The text without secrets."""
        return self.vault(conversation_id).clean(text)

    def redact(self, value: T, conversation_id: str = "") -> T:
        """A frozen struct without secrets in its texts; the same object when it held none."""
        return redacted(value, self.vault(conversation_id))


def redacted(value: T, vault: Vault) -> T:
    """A frozen struct without secrets in its texts; the same object when it held none."""
    texts: list[str] = []
    _gather(value, texts)
    # One look at all of it costs a fraction of a look at each: nearly always there is nothing.
    if not secrets_in("\n".join(texts), vault.known):
        return value
    return cast("T", _walked(value, vault))


def _gather(value: Any, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            if name not in _OPAQUE:
                one = getattr(value, name)
                if one.__class__ is str:
                    texts.append(one)
                elif one.__class__ not in _PLAIN:
                    _gather(one, texts)
    elif isinstance(value, tuple | list):
        for one in cast("list[Any]", value):
            _gather(one, texts)
    elif isinstance(value, Mapping):
        for name, one in cast("Mapping[str, Any]", value).items():
            texts.append(name)
            _gather(one, texts)


_PLAIN = frozenset({int, float, bool, type(None), bytes})


def _walked(value: Any, vault: Vault) -> Any:
    match value:
        case str():
            return _string(value, vault)
        case msgspec.Struct():
            changed = {
                name: new
                for name in value.__struct_fields__
                if name not in _OPAQUE and (new := _walked(old := getattr(value, name), vault)) is not old
            }
            if changed and "signature" in value.__struct_fields__:
                changed["signature"] = ""  # it was made over the text as it was
            return msgspec.structs.replace(value, **changed) if changed else value
        case tuple():
            items = cast("tuple[Any, ...]", value)
            walked = tuple(_walked(item, vault) for item in items)
            return walked if any(new is not old for new, old in zip(walked, items, strict=True)) else items
        case dict():
            pairs = cast("dict[str, Any]", value)
            walked_pairs = {vault.clean(name): _walked(item, vault) for name, item in pairs.items()}
            return walked_pairs if walked_pairs != pairs else pairs
        case _:
            return value


def _string(text: str, vault: Vault) -> str:
    # A call's arguments are JSON: within it a secret may stand in escapes.
    if text[:1] in ("{", "[") and "\\" in text:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return vault.clean(text)
        walked = _json(value, vault)
        return text if walked == value else msgspec.json.encode(walked).decode()
    return vault.clean(text)


def _json(value: Any, vault: Vault) -> Any:
    match value:
        case str():
            return _string(value, vault)
        case list():
            return [_json(item, vault) for item in cast("list[Any]", value)]
        case dict():
            return {vault.clean(name): _json(item, vault) for name, item in cast("dict[str, Any]", value).items()}
        case _:
            return value


def secrets_of_environment(env: Mapping[str, str] | None = None) -> set[str]:
    """The values of variables whose names say that they are secret (`…_KEY`, `…_TOKEN`, `…_SECRET`, `…PASSWORD`)."""
    env = os.environ if env is None else env
    return {
        value.strip()
        for name, value in env.items()
        if _SECRET_NAME.search(name) and len(value.strip()) >= _SHORTEST and not _NAME_OF_PLACE.match(value)
    }
