"""The client for Anthropic Messages, with prompt-cache marks and signed thinking."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from letta_code.llm.anthropic_events import EventReader
from letta_code.llm.anthropic_wire import encode_item, head_of, with_marks
from letta_code.llm.catalog import ResolvedModel
from letta_code.llm.faults import Asked
from letta_code.llm.history import CallIds, Histories
from letta_code.llm.model import ChatRequest, ModelInfo, StreamPart, ToolSpec
from letta_code.llm.streaming import stream_answer
from letta_code.llm.transport import HttpPost, StreamLimits, Watch

_VERSION = "2023-06-01"
# The API demands a limit.  32,000 is enough for any one answer of an agent, and every current model takes it.
_MAX_OUTPUT = 32_000
_UNKNOWN_MAX_OUTPUT = 8_192


class AnthropicMessages:
    """A `ChatModel` over `POST {base_url}/v1/messages` with `stream: true`."""

    def __init__(self, target: ResolvedModel, limits: StreamLimits | None = None) -> None:
        self._target = target
        self._limits = limits or StreamLimits(first_part=target.first_part_seconds)
        base = target.base_url.removesuffix("/v1")
        asked = Asked(
            provider=target.provider.title,
            model=target.wire_name,
            url=f"{base}/v1/messages",
            key_env=target.key_env,
        )
        self._post = HttpPost(asked, _headers(target), self._limits, target.secret)
        self._histories = Histories(encode_item)
        self._head: tuple[tuple[str, tuple[ToolSpec, ...], int], bytes] | None = None

    @property
    def info(self) -> ModelInfo:
        """What is known of the model."""
        return self._target.info

    def warm(self) -> None:
        """Load what the first request needs; may be called in a thread while other things start."""
        self._post.warm()

    def body(self, request: ChatRequest) -> bytes:
        """The request as it is sent; without the cache marks the bytes of the messages only grow at their end."""
        messages, turns = self._histories.of(request.conversation_id).update(request.messages)
        return b"".join((self._head_of(request), *with_marks(messages, turns), b"]}"))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamPart, None]:
        """The parts of one answer, ending with `Finish`; see `ChatModel.stream`."""
        body = self.body(request)
        reader = EventReader(CallIds(self._histories.of(request.conversation_id).call_ids))
        answer = stream_answer(self._post, body, Watch(self._limits), reader)
        async with aclosing(answer) as parts:
            async for part in parts:
                yield part

    async def close(self) -> None:
        """Give back the connections."""
        await self._post.close()

    def _head_of(self, request: ChatRequest) -> bytes:
        limit = request.max_output or min(self.info.max_output or _UNKNOWN_MAX_OUTPUT, _MAX_OUTPUT)
        key = (request.system, request.tools, limit)
        if self._head is None or self._head[0] != key:
            self._head = (key, head_of(self._target.wire_name, request.system, request.tools, limit))
        return self._head[1]


def _headers(target: ResolvedModel) -> dict[str, str]:
    headers = {"anthropic-version": _VERSION, **target.headers}
    if target.secret:
        headers["x-api-key"] = target.secret.reveal()
    return headers
