"""The client for everything that speaks OpenAI's chat completions: OpenAI, OpenRouter, vLLM, Ollama, any base URL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from letta_code.llm.catalog import ResolvedModel
from letta_code.llm.faults import Asked
from letta_code.llm.history import CallIds, Histories
from letta_code.llm.model import ChatRequest, ModelInfo, StreamPart, ToolSpec
from letta_code.llm.openai_chunks import ChunkReader
from letta_code.llm.openai_wire import OpenAIEncoder, head_of
from letta_code.llm.streaming import stream_answer
from letta_code.llm.transport import HttpPost, StreamLimits, Watch


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
        self._histories = Histories(OpenAIEncoder(send_reasoning=target.provider.send_reasoning))
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
        body = self.body(request)
        reader = ChunkReader(CallIds(self._histories.of(request.conversation_id).call_ids))
        answer = stream_answer(self._post, body, Watch(self._limits), reader)
        async with aclosing(answer) as parts:
            async for part in parts:
                yield part

    async def close(self) -> None:
        """Give back the connections."""
        await self._post.close()

    def _head_of(self, request: ChatRequest) -> bytes:
        key = (request.system, request.tools, request.max_output)
        if self._head is None or self._head[0] != key:
            provider = self._target.provider
            extra: dict[str, object] = {}
            if provider.usage_option:
                extra["stream_options"] = {"include_usage": True}
            if request.max_output:
                extra[provider.limit_field] = request.max_output
            self._head = (key, head_of(self._target.wire_name, request.system, request.tools, extra))
        return self._head[1]


def _headers(target: ResolvedModel) -> dict[str, str]:
    headers = dict(target.headers)
    if target.secret:
        headers["authorization"] = f"Bearer {target.secret.reveal()}"
    return headers
