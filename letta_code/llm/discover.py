"""What could be used: keys in the environment, model servers on this machine, the models of an endpoint."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from letta_code.core.errors import BadKey, BadRequest, EndpointUnreachable, ProviderError
from letta_code.core.messages import TextPart, UserText, Value
from letta_code.llm.address import public_url
from letta_code.llm.faults import Asked, fault_of
from letta_code.llm.model import CallPiece, ChatModel, ChatRequest, ReasoningPiece, TextPiece
from letta_code.llm.providers import PROVIDERS
from letta_code.llm.redact import Secret, redact
from letta_code.llm.transport import StreamLimits, load_httpx, new_client

_PROBE_SECONDS = 0.3
_LIST_SECONDS = 10.0

# Where model servers listen unless told otherwise.
_USUAL_PORTS = {
    11434: "Ollama",
    1234: "LM Studio",
    8000: "vLLM",
    8080: "llama.cpp",
    1337: "Jan",
    4000: "LiteLLM proxy",
    5001: "KoboldCpp",
    30000: "SGLang",
}
# Keys of providers that go through litellm, by the variables that it reads.
_GATEWAY_KEYS = {
    "gemini": "GEMINI_API_KEY",
    "azure": "AZURE_API_KEY",
    "bedrock": "AWS_ACCESS_KEY_ID",
    "cohere_chat": "COHERE_API_KEY",
    "dashscope": "DASHSCOPE_API_KEY",
    "nvidia_nim": "NVIDIA_NIM_API_KEY",
    "perplexity": "PERPLEXITYAI_API_KEY",
    "sambanova": "SAMBANOVA_API_KEY",
    "zai": "ZAI_API_KEY",
}


class FoundKey(Value):
    """A key in the environment: whose, and in which variable.  The key itself is not told."""

    provider: str
    title: str
    variable: str


class LocalServer(Value):
    """A server on this machine that lists models; `title` is what usually listens there."""

    title: str
    base_url: str
    models: tuple[str, ...]


class CallTest(Value):
    """How a first call went: what the model said, and how long it took (seconds)."""

    text: str
    first_part_seconds: float
    seconds: float


def keys_in_environment(environ: Mapping[str, str] | None = None) -> list[FoundKey]:
    """The providers whose key is in the environment; our own clients' first."""
    environ = os.environ if environ is None else environ
    found: list[FoundKey] = []
    for provider in PROVIDERS.values():
        variable = next((name for name in provider.key_env if environ.get(name, "").strip()), None)
        if variable is not None:
            found.append(FoundKey(provider=provider.name, title=provider.title, variable=variable))
    for name, variable in _GATEWAY_KEYS.items():
        if environ.get(variable, "").strip():
            found.append(FoundKey(provider=name, title=name, variable=variable))
    return found


async def local_servers(
    ports: Mapping[int, str] = _USUAL_PORTS, *, seconds: float = _PROBE_SECONDS
) -> list[LocalServer]:
    """The model servers that answer on this machine, asked all at once, each for at most `seconds`; loopback only."""
    load_httpx()  # here, so that its import is not taken from the servers' time
    found = await asyncio.gather(*(_probe(port, title, seconds) for port, title in ports.items()))
    return [server for server in found if server is not None]


async def list_models(base_url: str, secret: Secret | None = None, *, dialect: str = "openai") -> list[str]:
    """The models that an endpoint says it serves; raises a `ProviderError`."""
    secret = secret or Secret()
    if dialect == "anthropic":
        url = f"{base_url.rstrip('/').removesuffix('/v1')}/v1/models"
        headers = {"anthropic-version": "2023-06-01", "x-api-key": secret.reveal()}
    else:
        url = f"{base_url.rstrip('/')}/models"
        headers = {"authorization": f"Bearer {secret.reveal()}"} if secret else {}
    return await _models_at(url, headers, _LIST_SECONDS, secret)


async def test_call(model: ChatModel) -> CallTest:
    """Ask the model for one word; raises what `ChatModel.stream` raises."""
    question = "Reply with the single word: ready"
    request = ChatRequest(
        system="You answer with one word.",
        tools=(),
        messages=(UserText(message_id="test", content=(TextPart(text=question),)),),
        conversation_id="test-call",
    )
    began = time.monotonic()
    first = 0.0
    said: list[str] = []
    async for part in model.stream(request):
        if isinstance(part, (TextPiece, ReasoningPiece, CallPiece)):
            first = first or time.monotonic() - began
        if isinstance(part, TextPiece):
            said.append(part.text)
    return CallTest(text="".join(said).strip(), first_part_seconds=first, seconds=time.monotonic() - began)


async def _probe(port: int, title: str, seconds: float) -> LocalServer | None:
    base_url = f"http://127.0.0.1:{port}/v1"
    try:
        models = await _models_at(f"{base_url}/models", {}, seconds, Secret())
    except BadKey:
        models = []  # there is a server, and it wants a key
    except ProviderError:
        return None
    return LocalServer(title=title, base_url=base_url, models=tuple(models))


async def _models_at(url: str, headers: dict[str, str], seconds: float, secret: Secret) -> list[str]:
    load_httpx()
    import httpx

    asked = Asked(url=url, provider=public_url(url))
    try:
        async with asyncio.timeout(seconds), new_client(url, StreamLimits(connect=seconds)) as client:
            response = await client.get(url, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        words = redact(str(error), secret) or f"no answer within {seconds:g} s"
        if isinstance(error, httpx.InvalidURL) and asked.shown != url:
            words = "it is no address"  # httpx' words quote the address, perhaps with the password
        said = f"{asked.shown} could not be reached: {words}"
        hint = "Is the server running, and is the address right?"
        raise EndpointUnreachable(said, hint=hint, url=asked.shown) from error
    if response.status_code != 200:
        raise fault_of(response.status_code, response.headers, response.content, asked, secret)
    return _names(response.content, asked.shown)


def _names(body: bytes, url: str) -> list[str]:
    """Names in `{"data": [{"id": …}]}` (everybody) or `{"models": [{"name": …}]}` (some)."""
    try:
        data: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        data = None
    if isinstance(data, dict):
        fields = cast("dict[str, Any]", data)
        rows: Any = fields.get("data") or fields.get("models") or []
        if isinstance(rows, list) and ("data" in fields or "models" in fields):
            named = [cast("dict[str, Any]", row) for row in cast("list[Any]", rows) if isinstance(row, dict)]
            return [str(row.get("id") or row.get("name")) for row in named if row.get("id") or row.get("name")]
    raise BadRequest(f"{url} does not list models.", hint="Is the base URL right (most end with /v1)?", url=url)
