"""Which model a name means: its address, dialect, name on the wire, key, and what is known of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from letta_code.config.settings import Endpoint, Settings
from letta_code.core.errors import ConfigError
from letta_code.core.messages import Value
from letta_code.llm import prices
from letta_code.llm.address import is_loopback, public_url
from letta_code.llm.model import ModelInfo
from letta_code.llm.providers import ALIASES, PROVIDERS, Provider
from letta_code.llm.redact import Secret

Credentials: TypeAlias = Callable[[str], str | None]
"""Gives the key that is kept under a provider's or endpoint's name (credentials.yaml, keyring), None if none is."""

FIRST_PART_SECONDS = 300.0


class ResolvedModel(Value):
    """Everything that a client needs to ask a model.

    `dialect` is openai, anthropic, litellm, scripted or local; `base_url` is without the path of the call ("" for
    litellm's own); `wire_name` is the model's name in the request; `first_part_seconds` 0 means no limit.
    """

    name: str
    provider: Provider
    dialect: str
    base_url: str
    wire_name: str
    info: ModelInfo
    secret: Secret = Secret()
    key_env: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    first_part_seconds: float = FIRST_PART_SECONDS


class ListedModel(Value):
    """A model that can be used now, for `letta-code models`; `key` names where its key comes from."""

    name: str
    provider: str
    key: str
    info: ModelInfo


def resolve(
    name: str, settings: Settings, credentials: Credentials, environ: Mapping[str, str] | None = None
) -> ResolvedModel:
    """The model that a name means; raises `ConfigError` with what to do.

    `scripted:FILE` and `local/…` are themselves; `NAME/model` is an endpoint of the settings when one has that name;
    `provider/model` is one of ours or goes through litellm; a bare name is looked up in litellm's table.  A key in the
    environment goes before a stored one.
    """
    environ = os.environ if environ is None else environ
    name = name.strip()
    if not name:
        raise ConfigError("No model is chosen.", hint="Run `letta-code configure`, or give --model provider/model.")
    if name.startswith("scripted:"):
        return _special(name, "scripted", name.removeprefix("scripted:"))
    if name.startswith("local/"):
        return _special(name, "local", name.removeprefix("local/"))
    prefix, slash, rest = name.partition("/")
    if slash and rest and prefix in settings.endpoints:
        return _at_endpoint(name, settings.endpoints[prefix], credentials, environ)
    if not slash:
        prefix, rest = _provider_of_bare(name), name
    provider = PROVIDERS.get(ALIASES.get(prefix, prefix))
    if not rest:
        raise ConfigError(f"{name!r} names a provider but no model.", hint=f"Give --model {prefix}/MODEL.")
    if provider is None or _only_responses(provider, rest, environ):
        return _through_litellm(name, prefix, rest, credentials, environ)
    return _at_provider(name, provider, rest, credentials, environ)


def edit_family(name: str) -> str:
    """Which edit tool a model gets: apply_patch for those trained on it, else edit.

    The rule: OpenAI's GPT-5 and codex models were trained on the patch format that the codex harness (openai/codex,
    `apply_patch` tool, offered to its gpt-5 and codex model families) and OpenAI's GPT-4.1 prompting guide describe;
    gpt-4.1, o3 and o4-mini are named there as well.  All others do better with exact replacement.
    """
    last = name.rsplit("/", 1)[-1].lower()
    return "apply_patch" if _PATCH_TRAINED.match(last) else "edit"


_PATCH_TRAINED = re.compile(r"(openai[.:])?(gpt-5|gpt-4\.1|o3|o4-mini|codex|.*-codex)(?![a-z0-9])")


def info_of(name: str, provider: str, model: str, *, loopback: bool = False) -> ModelInfo:
    """What litellm's table says of a model; unknown fields are left empty."""
    table = prices.table()
    entry = table.get(f"{provider}/{model}") or table.get(model) or prices.Entry()
    return ModelInfo(
        name=name,
        window=prices.tokens(entry.max_input_tokens) or prices.tokens(entry.max_tokens),
        max_output=prices.tokens(entry.max_output_tokens),
        input_price=prices.number(entry.input_cost_per_token),
        output_price=prices.number(entry.output_cost_per_token),
        cache_read_price=prices.number(entry.cache_read_input_token_cost),
        cache_write_price=prices.number(entry.cache_creation_input_token_cost),
        sees_images=bool(entry.supports_vision),
        edit_family=edit_family(model),
        loopback=loopback,
        encoding=_encoding(model),
    )


def listed(credentials: Credentials, environ: Mapping[str, str] | None = None) -> Iterator[ListedModel]:
    """The models of litellm's table whose provider has a key here, chat models that can call tools only."""
    environ = os.environ if environ is None else environ
    keys = {name: _key(provider, name, credentials, environ)[1] for name, provider in PROVIDERS.items()}
    for name, entry in prices.table().items():
        provider = entry.litellm_provider or ""
        if not keys.get(provider) or entry.mode not in ("chat", "responses") or not entry.supports_function_calling:
            continue
        model = name.removeprefix(f"{provider}/")
        full = f"{provider}/{model}"
        yield ListedModel(name=full, provider=provider, key=keys[provider], info=info_of(full, provider, model))


def _encoding(model: str) -> str:
    """The tiktoken encoding of OpenAI's models; "" for all others, whose tokenizers can only be approximated."""
    last = model.rsplit("/", 1)[-1]
    if re.match(r"gpt-(4(?![.o])|3)", last):
        return "cl100k_base"
    return "o200k_base" if re.match(r"(gpt-|o\d|chatgpt-|codex)", last) else ""


def _special(name: str, dialect: str, rest: str) -> ResolvedModel:
    if not rest:
        raise ConfigError(f"{name!r} names no file.", hint="Give --model scripted:FILE.yaml or local/PATH.gguf.")
    info = ModelInfo(name=name, loopback=True, lean=dialect == "local")
    provider = Provider(name=dialect, title=dialect, dialect=dialect, server=True)
    return ResolvedModel(
        name=name, provider=provider, dialect=dialect, base_url="", wire_name=rest, info=info, first_part_seconds=0
    )


def _at_endpoint(name: str, endpoint: Endpoint, credentials: Credentials, environ: Mapping[str, str]) -> ResolvedModel:
    endpoint_name, _, model = name.partition("/")
    base_url = endpoint.base_url.rstrip("/")
    if not base_url.startswith(("http://", "https://")) and (base_url or endpoint.dialect != "litellm"):
        raise ConfigError(
            f"The endpoint {endpoint_name} has no http(s) base_url ({public_url(endpoint.base_url)!r}).",
            hint=f"Set endpoints.{endpoint_name}.base_url in ~/.letta/config.yaml, e.g. http://127.0.0.1:8000/v1.",
        )
    if endpoint.dialect not in ("openai", "anthropic", "litellm"):
        raise ConfigError(
            f"The endpoint {endpoint_name} has the unknown dialect {endpoint.dialect!r}.",
            hint="dialect is openai, anthropic or litellm.",
        )
    key = (environ.get(endpoint.key_env) if endpoint.key_env else None) or credentials(endpoint_name) or ""
    known = info_of(name, endpoint_name, model, loopback=is_loopback(base_url))
    info = _replaced(known, endpoint)
    return ResolvedModel(
        name=name,
        provider=Provider(name=endpoint_name, title=endpoint_name, dialect=endpoint.dialect, server=True),
        dialect=endpoint.dialect,
        base_url=base_url,
        wire_name=model,
        info=info,
        secret=_secret(name, key),
        key_env=endpoint.key_env,
        headers=endpoint.headers,
        first_part_seconds=_first_part(endpoint.first_part_seconds, info.loopback),
    )


def _replaced(info: ModelInfo, endpoint: Endpoint) -> ModelInfo:
    import msgspec

    changes: dict[str, object] = {}
    if endpoint.window:
        changes["window"] = endpoint.window
    if endpoint.max_output:
        changes["max_output"] = endpoint.max_output
    if endpoint.edit_family:
        changes["edit_family"] = endpoint.edit_family
    return msgspec.structs.replace(info, **changes)


def _at_provider(
    name: str, provider: Provider, model: str, credentials: Credentials, environ: Mapping[str, str]
) -> ResolvedModel:
    base_url = _base_url(provider, environ)
    key, source = _key(provider, provider.name, credentials, environ)
    if not key and not provider.server and not is_loopback(base_url):
        usual = provider.key_env[0]
        raise ConfigError(f"There is no key for {provider.title}.", hint=f"Set {usual}, or run `letta-code configure`.")
    info = info_of(name, provider.name, model, loopback=is_loopback(base_url))
    return ResolvedModel(
        name=name,
        provider=provider,
        dialect=provider.dialect,
        base_url=base_url,
        wire_name=model,
        info=info,
        secret=_secret(name, key),
        key_env=source if source in provider.key_env else provider.key_env[0],
        first_part_seconds=_first_part(None, info.loopback),
    )


def _secret(name: str, key: str) -> Secret:
    """A key goes into an HTTP header: one with a line break or a stray quotation mark in it was pasted wrongly."""
    key = key.strip()
    if not key.isascii() or not key.isprintable():
        said = f"The key for {name} holds characters that no key has (a line break, or a sign that is not ASCII)."
        raise ConfigError(said, hint="Copy it again: run `letta-code configure`, or correct the environment variable.")
    return Secret(key)


def _base_url(provider: Provider, environ: Mapping[str, str]) -> str:
    for variable in provider.url_env:
        value = environ.get(variable, "").strip().rstrip("/")
        if not value:
            continue
        if variable != "OLLAMA_HOST":
            return value
        return _ollama_host(value)
    return provider.base_url


def _ollama_host(value: str) -> str:
    """OLLAMA_HOST is where the server listens: host, host:port or a URL; 0.0.0.0 means all addresses."""
    url = value if "://" in value else f"http://{value}"
    scheme, _, rest = url.partition("://")
    host, _, _ = rest.partition("/")
    if host.count(":") == 0:
        host += ":11434"
    return f"{scheme}://{host.replace('0.0.0.0', '127.0.0.1')}/v1"


def _key(provider: Provider, stored_as: str, credentials: Credentials, environ: Mapping[str, str]) -> tuple[str, str]:
    """A provider's key and where it came from (a variable's name, or `credentials`); both "" when there is none."""
    for variable in provider.key_env:
        if value := environ.get(variable, "").strip():
            return value, variable
    stored = credentials(stored_as)
    return (stored, "credentials") if stored else ("", "")


def _through_litellm(
    name: str, prefix: str, model: str, credentials: Credentials, environ: Mapping[str, str]
) -> ResolvedModel:
    """litellm finds the provider, its address and the usual variables by itself; a stored key is given to it."""
    native = PROVIDERS.get(prefix)
    key = _key(native, prefix, credentials, environ)[0] if native else (credentials(prefix) or "")
    wire_name = name if "/" in name else f"{prefix}/{model}"
    return ResolvedModel(
        name=name,
        provider=native or Provider(name=prefix, title=prefix, dialect="litellm"),
        dialect="litellm",
        base_url=_base_url(native, environ) if native else "",
        wire_name=wire_name,
        info=info_of(name, prefix, model),
        secret=_secret(name, key),
        key_env=native.key_env[0] if native else f"{prefix.upper().replace('-', '_')}_API_KEY",
    )


def _provider_of_bare(name: str) -> str:
    entry = prices.table().get(name)
    if entry is not None and entry.litellm_provider:
        return entry.litellm_provider
    raise ConfigError(
        f"{name!r} does not say whose model it is.",
        hint=f"Write provider/model, such as openai/{name} or ollama/{name}; `letta-code models` lists them.",
    )


def _only_responses(provider: Provider, model: str, environ: Mapping[str, str]) -> bool:
    """Some models are served by OpenAI through the Responses API alone, which litellm speaks."""
    if provider.name != "openai" or _base_url(provider, environ) != provider.base_url:
        return False
    entry = prices.table().get(model)
    return entry is not None and entry.mode == "responses"


def _first_part(setting: float | None, loopback: bool) -> float:
    if setting is not None:
        return setting
    return 0.0 if loopback else FIRST_PART_SECONDS
