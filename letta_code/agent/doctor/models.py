"""Models: the model that a start here would ask, its address and key; asked itself only with --online."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

from letta_code.agent.doctor.base import Finding, Look, Telling, check
from letta_code.config.credentials import Credentials
from letta_code.config.settings import Settings, load
from letta_code.config.yamlfile import BadFile, read_document
from letta_code.core.errors import LettaError
from letta_code.llm.address import public_url
from letta_code.llm.catalog import Credentials as Keys
from letta_code.llm.catalog import resolve

_said = Telling("models")
_CONFIGURE = "letta-code configure"
_ONLINE_SECONDS = 60.0


@check("models", 9, seconds=90.0)
def models(look: Look) -> Iterator[Finding]:
    """What can be known without the network, then, if wished, one small call."""
    settings = load(look.cwd, env=look.environ, paths=look.paths).settings
    credentials = _credentials(look)
    yield from _endpoints(settings)
    if not settings.model:
        means = "The first start asks for one."
        yield _said("model", "warning", "No model is chosen.", means, _CONFIGURE)
        return
    try:
        target = resolve(settings.model, settings, credentials, look.environ)
    except LettaError as error:
        yield _said("model", "wrong", f"{settings.model}: {error}", error.hint, _CONFIGURE)
        return
    address = f" at {public_url(target.base_url)}" if target.base_url else ""
    key = "a key is known (not shown)" if target.secret else "no key"
    yield _said("model", "ok", f"{settings.model}{address}; {key}.")
    if look.online:
        yield from _asked(look, settings, credentials)
    else:
        yield _said("call", "skipped", "It was not asked: that takes the network, and `letta-code doctor --online`.")


def _credentials(look: Look) -> Keys:
    """The keys; the file's rights stay as they are, which `Credentials` would mend without a word."""
    path = look.paths.credentials
    if not path.exists() or not path.stat().st_mode & 0o077:
        return Credentials(look.paths, look.environ).get
    try:
        entries = read_document(path).data
    except BadFile:
        entries = {}
    return lambda name: entry if isinstance(entry := entries.get(name), str) else ""


def _endpoints(settings: Settings) -> Iterator[Finding]:
    for name, endpoint in settings.endpoints.items():
        try:
            parts = urlsplit(endpoint.base_url)
            fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fine = False
        if not fine and (endpoint.base_url or endpoint.dialect != "litellm"):
            says = f"The address of the endpoint {name} is none: {public_url(endpoint.base_url)[:80]!r}."
            yield _said("endpoint", "wrong", says, "Its models cannot be asked.", _CONFIGURE)


def _asked(look: Look, settings: Settings, credentials: Keys) -> Iterator[Finding]:
    from letta_code.llm.connect import open_model
    from letta_code.llm.discover import test_call

    async def call() -> str:
        model = open_model(settings.model, settings, credentials, environ=look.environ)
        try:
            async with asyncio.timeout(_ONLINE_SECONDS):
                done = await test_call(model)
        finally:
            await model.close()
        return f"{settings.model} answered in {done.seconds:.1f} s."

    try:
        yield _said("call", "ok", asyncio.run(call()))
    except LettaError as error:
        yield _said("call", "wrong", f"{settings.model} did not answer: {error}", error.hint, _CONFIGURE)
    except TimeoutError:
        says = f"{settings.model} did not answer within {_ONLINE_SECONDS:.0f} s."
        yield _said("call", "wrong", says, mend="letta-code doctor models --online")
