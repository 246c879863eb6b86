"""The client for everything that speaks OpenAI's chat completions: OpenAI, OpenRouter, vLLM, Ollama, any base URL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from letta_code.core.errors import BadRequest
from letta_code.llm.catalog import ResolvedModel
from letta_code.llm.faults import Asked
from letta_code.llm.history import CallIds, Histories
from letta_code.llm.model import ChatRequest, ModelInfo, StreamPart, ToolSpec
from letta_code.llm.openai_chunks import ChunkReader
from letta_code.llm.openai_wire import OpenAIEncoder, head_of
from letta_code.llm.streaming import stream_answer
from letta_code.llm.transport import HttpPost, StreamLimits, Watch

# Fields that a server may refuse and that can be done without, and the words that refuse a field (not its value).
_OPTIONAL = ("stream_options", "tool_choice", "max_completion_tokens", "max_tokens")
_REFUSED = ("support", "not permitted", "not allowed", "unknown", "unrecognized", "unexpected", "extra ", "instead")


class OpenAIChat:
    """A `ChatModel` over `POST {base_url}/chat/completions` with `stream: true`."""

    def __init__(self, target: ResolvedModel, limits: StreamLimits | None = None) -> None:
        self._target = target
        self._limits = limits or StreamLimits(first_part=target.first_part_seconds)
        asked = Asked(
            provider=target.provider.title,
            model=target.wire_name,
            url=f"{target.base_url}/chat/completions",
            key_env=target.key_env,
        )
        self._post = HttpPost(asked, _headers(target), self._limits, target.secret)
        provider = target.provider
        encoder = OpenAIEncoder(send_reasoning=provider.send_reasoning, call_id=provider.call_id)
        self._histories = Histories(encoder)
        self._without: set[str] = set()
        self._head: tuple[tuple[str, tuple[ToolSpec, ...], int], bytes] | None = None

    @property
    def info(self) -> ModelInfo:
        """What is known of the model."""
        return self._target.info

    def warm(self) -> None:
        """Load what the first request needs; may be called in a thread while other things start."""
        self._post.warm()

    def body(self, request: ChatRequest) -> bytes:
        """The request as it is sent: fixed head, then the messages, so that the bytes only grow at their end."""
        messages, _ = self._histories.of(request.conversation_id).update(request.messages)
        head = self._head_of(request)
        between = b"," if messages and not head.endswith(b"[") else b""
        return b"".join((head, between, messages, b"]}"))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamPart, None]:
        """The parts of one answer, ending with `Finish`; see `ChatModel.stream`."""
        while True:
            body = self.body(request)
            reader = ChunkReader(CallIds(self._histories.of(request.conversation_id).call_ids))
            try:
                async with aclosing(stream_answer(self._post, body, Watch(self._limits), reader)) as parts:
                    async for part in parts:
                        yield part
                return
            except BadRequest as error:  # comes before any part
                if not self._does_without(str(error)):
                    raise

    async def close(self) -> None:
        """Give back the connections."""
        await self._post.close()

    def _does_without(self, words: str) -> bool:
        """Whether the refusal names an optional field that can be left out (or called otherwise) from now on.

        Servers differ in what they take, and a person's own endpoint stands in no table.  Not a retry: the request is
        another one.  Each field is given up once at most.
        """
        low = words.lower()
        if not any(sign in low for sign in _REFUSED):
            return False
        refused = self._optional() & {field for field in _OPTIONAL if field in words}
        self._without |= refused
        self._head = None
        return bool(refused)

    def _optional(self) -> set[str]:
        """The optional fields that the last request had."""
        head = self._head[1] if self._head else b""
        return {field for field in _OPTIONAL if f'"{field}":'.encode() in head} - self._without

    def _head_of(self, request: ChatRequest) -> bytes:
        key = (request.system, request.tools, request.max_output)
        if self._head is None or self._head[0] != key:
            provider = self._target.provider
            extra: dict[str, object] = {}
            if provider.usage_option and "stream_options" not in self._without:
                extra["stream_options"] = {"include_usage": True}
            if request.tools and "tool_choice" not in self._without:
                extra["tool_choice"] = "auto"
            if request.max_output:
                extra[self._limit_field()] = request.max_output
            self._head = (key, head_of(self._target.wire_name, request.system, request.tools, extra))
        return self._head[1]

    def _limit_field(self) -> str:
        usual = self._target.provider.limit_field
        other = "max_tokens" if usual == "max_completion_tokens" else "max_completion_tokens"
        return other if usual in self._without else usual


def _headers(target: ResolvedModel) -> dict[str, str]:
    headers = dict(target.headers)
    if target.secret:
        headers["authorization"] = f"Bearer {target.secret.reveal()}"
    return headers
