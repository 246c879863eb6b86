"""Every provider that has no client of ours, through litellm, which is loaded when first needed."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import aclosing, contextmanager
from typing import Any

import msgspec

from letta_code.core.errors import (
    ConfigError,
    EndpointUnreachable,
    Overloaded,
    ProviderError,
    StreamBroken,
)
from letta_code.core.messages import ReasoningPart
from letta_code.llm.catalog import ResolvedModel
from letta_code.llm.faults import Asked, fault_of
from letta_code.llm.history import CallIds, Histories
from letta_code.llm.model import ChatRequest, Finish, ModelInfo, ReasoningDone, StreamPart, UsagePiece
from letta_code.llm.openai_chunks import ChunkReader
from letta_code.llm.openai_wire import OpenAIEncoder, head_of
from letta_code.llm.redact import redact
from letta_code.llm.transport import StreamLimits, Watch, within

_PROBE_SECONDS = 3.0

# Read by litellm at its import: no price map from the network, no words on the screen, no .env of the project's folder
# (LITELLM_MODE=DEV would load one, with its keys, into this process).  Taken back afterwards, since commands that the
# agent runs inherit the environment.
_AT_IMPORT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
_TIKTOKEN = ("TIKTOKEN_CACHE_DIR", "CUSTOM_TIKTOKEN_CACHE_DIR")

_loading = threading.Lock()


def load_litellm() -> Any:
    """litellm, quiet and without network at its import (about 1.7 s the first time); safe to call from any thread."""
    with _loading:
        if "litellm" not in sys.modules:
            with _environment_for_import():
                import litellm
            _silence(litellm)
        return sys.modules["litellm"]


@contextmanager
def _environment_for_import() -> Generator[None]:
    """The flags for litellm's import; afterwards all is as it was, TIKTOKEN_CACHE_DIR too, which litellm overwrites.

    CUSTOM_TIKTOKEN_CACHE_DIR is hidden from it: with a folder that lacks a vocabulary the import itself would go to the
    network, and fail without one.
    """
    before = {name: os.environ.get(name) for name in (*_AT_IMPORT, *_TIKTOKEN)}
    os.environ.update(_AT_IMPORT)
    os.environ.pop("CUSTOM_TIKTOKEN_CACHE_DIR", None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _silence(litellm: Any) -> None:
    import logging

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    litellm.disable_streaming_logging = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.addHandler(logging.NullHandler())
        logger.propagate = False


class Gateway:
    """A `ChatModel` over litellm's `acompletion`; retries of litellm and of the SDKs under it are off.

    litellm shows chunks, not bytes: a comment in the stream is no sign of life here.
    """

    def __init__(self, target: ResolvedModel, limits: StreamLimits | None = None) -> None:
        self._target = target
        self._limits = limits or StreamLimits(first_part=target.first_part_seconds)
        self._asked = Asked(
            provider=target.provider.title,
            model=target.wire_name,
            url=target.base_url or f"{target.provider.title} (through litellm)",
            key_env=target.key_env,
        )
        self._claude = "claude" in target.wire_name.lower()
        self._histories = Histories(OpenAIEncoder())

    @property
    def info(self) -> ModelInfo:
        """What is known of the model."""
        return self._target.info

    def warm(self) -> None:
        """Import litellm; blocks for seconds, so call it in a thread."""
        load_litellm()

    async def close(self) -> None:
        """litellm keeps its connections in a pool of its own."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamPart, None]:
        """The parts of one answer, ending with `Finish`; see `ChatModel.stream`."""
        litellm = await asyncio.to_thread(load_litellm)
        options = self._options(request)
        reader = ChunkReader(CallIds(self._histories.of(request.conversation_id).call_ids))
        watch = Watch(self._limits)
        thinking = _Thinking()
        began = False
        try:
            answer = await within(watch, self._asked.shown, litellm.acompletion(**options))
            async with aclosing(_Closing(answer)) as chunks:
                while True:
                    chunk = await within(watch, self._asked.shown, anext(chunks, None))
                    if chunk is None:
                        break
                    thinking.take(chunk)
                    for part in reader.read(chunk.model_dump_json(exclude_none=True).encode()):
                        if not isinstance(part, UsagePiece):
                            began = True
                            watch.started()
                        yield part
            _check_end(answer, reader)
        except (ProviderError, ConfigError):
            raise
        except Exception as error:
            if not reader.reason():
                raise await self._fault(error, began) from error
        for part in thinking.parts():
            yield ReasoningDone(part=part)
        yield self._finish(reader)

    def _finish(self, reader: ChunkReader) -> Finish:
        if not reader.reason():
            said = f"{self._asked.shown} ended its answer in the middle"
            raise StreamBroken(said, hint="What had come is kept.", url=self._asked.shown)
        return Finish(reason=reader.reason())

    def _options(self, request: ChatRequest) -> dict[str, Any]:
        options: dict[str, Any] = msgspec.json.decode(self.body(request))
        if self._claude:
            _send_thinking(options["messages"], request)
            options["cache_control_injection_points"] = [
                {"location": "message", "role": "system"},
                {"location": "message", "index": -1},
            ]
        target = self._target
        options |= {"num_retries": 0, "max_retries": 0, "drop_params": True}
        if target.base_url:
            options["api_base"] = target.base_url
        if target.secret:
            options["api_key"] = target.secret.reveal()
        elif target.base_url:
            options["api_key"] = "none"  # the SDK underneath demands one; a server without keys ignores it
        if target.headers:
            options["extra_headers"] = dict(target.headers)
        return options

    def body(self, request: ChatRequest) -> bytes:
        """What litellm is asked, as the bytes of a chat completions request: fixed head, then the messages."""
        messages, _ = self._histories.of(request.conversation_id).update(request.messages)
        extra: dict[str, Any] = {"stream_options": {"include_usage": True}}
        if request.tools:
            extra["tool_choice"] = "auto"
        if request.max_output:
            extra["max_tokens"] = request.max_output
        head = head_of(self._target.wire_name, request.system, request.tools, extra)
        between = b"," if messages and not head.endswith(b"[") else b""
        return b"".join((head, between, messages, b"]}"))

    async def _fault(self, error: Exception, began: bool) -> Exception:
        """One of ours for whatever litellm raised.  A refused connection looks like a 500 there: we look ourselves."""
        asked, secret = self._asked, self._target.secret
        words = redact(str(error), secret)
        kind = type(error).__name__
        if "LLM Provider NOT provided" in words or kind == "LiteLLMUnknownProvider":
            return ConfigError(
                f"litellm knows no provider for {self._target.wire_name!r}.",
                hint="Write provider/model as litellm names it; `letta-code models` lists what can be used.",
            )
        if isinstance(error, ImportError):
            return ConfigError(
                f"litellm misses a package for {self._target.wire_name!r}: {words}", hint="Install that package."
            )
        status = int(getattr(error, "status_code", 0) or 0)
        if kind == "Timeout" or status == 408:
            return Overloaded(f"{asked.shown} timed out: {words[:300]}", status=408, url=asked.shown)
        if began or kind == "MidStreamFallbackError":
            said = f"{asked.shown} broke off its answer: {words[:300]}"
            return StreamBroken(said, hint="What had come is kept.", url=asked.shown)
        if status >= 500 or not status:
            unreachable = await self._probe(words)
            if unreachable is not None:
                return unreachable
        return fault_of(status or 500, _headers_of(error), _body_of(error, kind, words), asked, secret)

    async def _probe(self, words: str) -> ProviderError | None:
        """Whether nothing answers at the address, by a TCP connection of our own."""
        from urllib.parse import urlsplit

        url, shown = self._target.base_url, self._asked.shown
        if not url:
            if "connection error" not in words.lower() and "cannot connect" not in words.lower():
                return None
            return EndpointUnreachable(
                f"{shown} could not be reached: {words[:300]}", hint="Check the network.", url=shown
            )
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                _, writer = await asyncio.open_connection(parts.hostname or "", port)
        except (OSError, TimeoutError) as error:
            hint = "Nothing listens there: is the server running, and is the address right?"
            return EndpointUnreachable(f"{shown} could not be reached: {error or 'no answer'}", hint=hint, url=shown)
        writer.close()
        return None


def _check_end(answer: Any, reader: ChunkReader) -> None:
    """litellm makes up a `stop` for a stream that just ended; whether one came is known to its wrapper alone."""
    came = getattr(answer, "received_finish_reason", "stop") or getattr(answer, "intermittent_finish_reason", None)
    if not came:
        reader.finish = ""


class _Closing:
    """litellm's stream wrapper with the `aclose` of a generator, whatever version it is."""

    def __init__(self, answer: AsyncIterator[Any]) -> None:
        self._answer = answer

    def __aiter__(self) -> _Closing:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._answer)

    async def aclose(self) -> None:
        close = getattr(self._answer, "aclose", None)
        if close is not None:
            await close()


class _Thinking:
    """Collects signed thinking (Claude behind Bedrock, Vertex …), which litellm gives in pieces beside the text."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._done: list[ReasoningPart] = []

    def take(self, chunk: Any) -> None:
        """Read one chunk's `thinking_blocks`."""
        for choice in getattr(chunk, "choices", None) or ():
            for block in getattr(choice.delta, "thinking_blocks", None) or ():
                if block.get("type") == "redacted_thinking":
                    self._done.append(ReasoningPart(redacted=str(block.get("data") or "")))
                    continue
                self._text.append(str(block.get("thinking") or ""))
                if signature := block.get("signature"):
                    self._done.append(ReasoningPart(text="".join(self._text), signature=str(signature)))
                    self._text = []

    def parts(self) -> list[ReasoningPart]:
        """The whole parts."""
        return self._done


def _send_thinking(messages: list[dict[str, Any]], request: ChatRequest) -> None:
    """Signed thinking goes back with the assistant messages that have calls, as litellm wants it."""
    from letta_code.core.messages import AssistantText

    signed = {
        call.id: message.reasoning
        for message in request.messages
        if isinstance(message, AssistantText)
        for call in message.tool_calls[:1]
        if any(part.signature or part.redacted for part in message.reasoning)
    }
    for message in messages:
        calls: list[dict[str, Any]] = message.get("tool_calls") or []
        parts = signed.get(calls[0]["id"]) if calls else None
        if parts:
            message["thinking_blocks"] = [
                {"type": "redacted_thinking", "data": part.redacted}
                if part.redacted
                else {"type": "thinking", "thinking": part.text, "signature": part.signature}
                for part in parts
                if part.redacted or part.signature
            ]


def _headers_of(error: Exception) -> dict[str, str]:
    headers: Any = getattr(error, "litellm_response_headers", None) or {}
    return {str(name).lower(): str(value) for name, value in dict(headers).items()}


def _body_of(error: Exception, kind: str, words: str) -> bytes:
    codes = {"ContextWindowExceededError": "context_length_exceeded"}
    code = codes.get(kind) or getattr(error, "code", None) or getattr(error, "type", None)
    return msgspec.json.encode({"error": {"message": words, "code": str(code or "")}})
