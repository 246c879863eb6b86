"""The model step of the set-up: what can be used, a try with one call, and saving; the same for every face."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from letta_code.commands.model import about
from letta_code.config.credentials import Credentials
from letta_code.config.paths import Paths
from letta_code.config.settings import Endpoint, Settings, load, save_setting
from letta_code.core.errors import ConfigError, LettaError
from letta_code.core.events import Notice
from letta_code.core.messages import Value
from letta_code.llm.address import public_url
from letta_code.llm.model import ModelInfo
from letta_code.tui.ports import ConnectChoice, ModelRow

if TYPE_CHECKING:
    from letta_code.llm.redact import Secret

_SPECIAL = re.compile(r"audio|search|research|realtime|computer-use|transcribe|image|tts|preview")
_DATED = re.compile(r"-(\d{8}|\d{4}-\d\d-\d\d|\d{4})(?!\d)")
# `gpt-5.1`, `claude-opus-4-5`, `o3`: not the size in `20b`, not a date.
_VERSION = re.compile(r"(?<!\d)(\d{1,2})(?:[.-](\d{1,2})(?![\db]))?(?![\db])")


class Extras(Value):
    """What a screen does not ask for: the variable that holds the key, and where the key is kept."""

    key_env: str = ""
    keyring: bool = False


class Connecting:
    """Satisfies the full screen's `ConnectPort`, and serves the wizard.

    A choice names a provider or endpoint in `endpoint`, and once chosen a model by its full name in `model`; `base_url`
    is set where the endpoint is not known yet; `key` where it is to be saved.
    """

    def __init__(self, cwd: str | Path, paths: Paths | None = None, extras: Extras | None = None) -> None:
        self._paths = paths or Paths.find()
        self._cwd = cwd
        self._extras = extras or Extras()
        self.notices: list[Notice] = []  # of what was saved: a file that could not be read was kept aside, and where

    def _settings(self) -> Settings:
        return load(self._cwd, paths=self._paths).settings

    async def found(self, *, servers: bool = True) -> Sequence[ConnectChoice]:
        """Keys in the environment and the credentials, endpoints of the settings, `servers` on this machine."""
        from letta_code.llm.discover import keys_in_environment, local_servers

        answering = await local_servers() if servers else ()
        settings = await asyncio.to_thread(self._settings)
        choices = [
            ConnectChoice(model="", endpoint=key.provider, label=key.title, note=f"key in {key.variable}")
            for key in keys_in_environment()
        ]
        named = {choice.endpoint for choice in choices}
        choices += [
            ConnectChoice(model="", endpoint=name, label=name, note="key in your credentials")
            for name in Credentials(self._paths).names()
            if name not in named and name not in settings.endpoints
        ]
        choices += [
            ConnectChoice(model="", endpoint=name, label=name, note=public_url(one.base_url), dialect=one.dialect)
            for name, one in settings.endpoints.items()
        ]
        known = {one.base_url.rstrip("/") for one in settings.endpoints.values()}
        choices += [_server(one.title, one.base_url, len(one.models)) for one in answering if one.base_url not in known]
        return choices

    async def models(self, choice: ConnectChoice) -> Sequence[ModelRow]:
        """The models of a choice; what the endpoint lists itself, else what the table knows of the provider."""
        from letta_code.llm.catalog import listed
        from letta_code.llm.discover import list_models

        settings = await asyncio.to_thread(self._settings)
        known = settings.endpoints.get(choice.endpoint)
        base_url = choice.base_url or (known.base_url if known else _usual_place(choice.endpoint, settings))
        if base_url:
            names = await list_models(base_url, self._secret(choice, known), dialect=choice.dialect)
            return [ModelRow(name=f"{choice.endpoint}/{name}") for name in names]
        rows = await asyncio.to_thread(lambda: list(listed(self._credential(choice))))
        rows = [row for row in rows if row.provider == choice.endpoint]
        return sorted((ModelRow(name=row.name, note=note(row.info)) for row in rows if not _tuned(row.name)), key=_rank)

    async def test(self, choice: ConnectChoice) -> str:
        """One small call; what the model answered and how long it took.  Raises `LettaError`."""
        from letta_code.llm.connect import open_model
        from letta_code.llm.discover import test_call

        name = full_name(choice)
        settings = self._with_endpoint(await asyncio.to_thread(self._settings), choice)
        model = await asyncio.to_thread(open_model, name, settings, self._credential(choice))
        if name.startswith(("scripted:", "local/")):
            await model.close()
            return "it can be opened"
        try:
            told = await test_call(model)
        finally:
            await model.close()
        return f"“{told.text[:40] or '(nothing)'}” after {told.seconds:.1f} s"

    async def save(self, choice: ConnectChoice) -> str:
        """Keep endpoint, key and model; the key goes to a 0600 file or the keyring.  Raises `ConfigError`."""
        return await asyncio.to_thread(self._save, choice)

    def _save(self, choice: ConnectChoice) -> str:
        if choice.base_url:
            fields = {"base_url": choice.base_url, "dialect": choice.dialect, "key_env": self._extras.key_env}
            defaults = msgspec.to_builtins(Endpoint(), order=None)
            kept = {name: value for name, value in fields.items() if value and value != defaults.get(name)}
            self.notices += save_setting(self._paths, ("endpoints", choice.endpoint), kept)
        if choice.key:
            credentials = Credentials(self._paths)
            credentials.set(choice.endpoint, choice.key, keyring=self._extras.keyring)
            self.notices += credentials.notices
        name = full_name(choice)
        self.notices += save_setting(self._paths, "model", name)
        return name

    def _with_endpoint(self, settings: Settings, choice: ConnectChoice) -> Settings:
        if not choice.base_url:
            return settings
        endpoint = Endpoint(base_url=choice.base_url, dialect=choice.dialect, key_env=self._extras.key_env)
        return msgspec.structs.replace(settings, endpoints={**settings.endpoints, choice.endpoint: endpoint})

    def _credential(self, choice: ConnectChoice) -> Keys:
        return Keys(Credentials(self._paths), {choice.endpoint: choice.key} if choice.key else {})

    def _secret(self, choice: ConnectChoice, known: Endpoint | None) -> Secret:
        from letta_code.llm.redact import Secret

        variable = self._extras.key_env or (known.key_env if known else "")
        return Secret(choice.key or Credentials(self._paths).get(choice.endpoint, variable))


class Keys:
    """Saved keys, with those that are not saved yet before them."""

    def __init__(self, saved: Credentials, new: Mapping[str, str]) -> None:
        self._saved = saved
        self._new = new

    def __call__(self, name: str) -> str:
        """The key of an endpoint, "" where there is none."""
        return self._new.get(name) or self._saved.get(name)


def full_name(choice: ConnectChoice) -> str:
    """`endpoint/model`; raises `ConfigError` while no model is chosen."""
    if not choice.model:
        raise ConfigError("No model is chosen.", hint="Name one, such as provider/model.")
    if choice.model.startswith("scripted:"):  # the model is kept, and the folder is another one next time
        return f"scripted:{Path(choice.model.removeprefix('scripted:')).expanduser().absolute()}"
    if choice.model.startswith("local/") or not choice.endpoint or choice.model.startswith(f"{choice.endpoint}/"):
        return choice.model
    return f"{choice.endpoint}/{choice.model}"


def _tuned(name: str) -> bool:
    """Fine-tunes of the price table are bases of somebody's own models, which have longer names."""
    return name.partition("/")[2].startswith("ft:")


def _rank(row: ModelRow) -> tuple[bool, bool, float, str]:
    """For general use before special use, standing names before dated ones, then the highest version first."""
    name = row.name.partition("/")[2]
    version = _VERSION.search(name)
    number = float(version[1]) + float(version[2] or 0) / 100 if version else 0.0
    return bool(_SPECIAL.search(name)), bool(_DATED.search(name)), -number, name


def note(info: ModelInfo) -> str:
    """Window and prices, for people."""
    return about(info).strip(" ()")


def endpoint_name(title: str, taken: Sequence[str] = ()) -> str:
    """A short name for an endpoint, made from what people call it, that is not taken yet."""
    base = "".join(char if char.isalnum() else "-" for char in title.lower()).strip("-") or "server"
    names = [base, *(f"{base}-{number}" for number in range(2, 100))]
    return next(name for name in names if name not in taken)


def checked_url(text: str) -> str:
    """An address as it is kept; raises `ConfigError`."""
    url = text.strip().rstrip("/")
    if not url.startswith(("http://", "https://")) or len(url.split("//", 1)[1]) == 0:
        raise ConfigError(
            f"{public_url(text.strip())!r} is no address.", hint="Give one such as http://127.0.0.1:8000/v1."
        )
    return url


def _server(title: str, base_url: str, models: int) -> ConnectChoice:
    from letta_code.llm.providers import PROVIDERS

    provider = next((one for one in PROVIDERS.values() if one.base_url == base_url), None)
    shown = public_url(base_url)
    said = f"{shown}, {models} models" if models else shown
    if provider is not None:  # its usual place needs no endpoint of its own
        return ConnectChoice(model="", endpoint=provider.name, label=title, note=said)
    return ConnectChoice(model="", endpoint=endpoint_name(title), base_url=base_url, label=title, note=said)


def _usual_place(provider: str, settings: Settings) -> str:
    """Where a provider's server on this machine is, "" for a provider elsewhere."""
    from letta_code.llm.catalog import resolve
    from letta_code.llm.providers import PROVIDERS

    if provider not in PROVIDERS or not PROVIDERS[provider].server:
        return ""
    return resolve(f"{provider}/any", settings, lambda _name: "").base_url


def said_of(notices: Sequence[Notice]) -> list[str]:
    """What saving has to tell, as lines for a person."""
    return [f"{one.level}: {one.text} {one.hint}".rstrip() for one in notices]


def explain(error: LettaError) -> list[str]:
    """An error as lines for a person."""
    return [f"That did not work: {error}", *([f"  {error.hint}"] if error.hint else [])]
