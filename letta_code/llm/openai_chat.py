"""The client for everything that speaks OpenAI's chat completions: OpenAI, OpenRouter, vLLM, Ollama, any base URL."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

import msgspec

from letta_code.core.errors import BadRequest, ProviderError, StreamBroken
from letta_code.llm.catalog import ResolvedModel
from letta_code.llm.faults import Asked, fault_in_stream
from letta_code.llm.history import Histories
from letta_code.llm.model import ChatRequest, Finish, ModelInfo, StreamPart, ToolSpec, UsagePiece
from letta_code.llm.openai_chunks import ChunkReader
from letta_code.llm.openai_wire import OpenAIEncoder, head_of
from letta_code.llm.sse import SseParser
from letta_code.llm.transport import Answer, HttpPost, StreamLimits, Watch


class OpenAIChat:
    """A `ChatModel` over `POST {base_url}/chat/completions` with `stream: true`."""

    def __init__(self, target: ResolvedModel, limits: StreamLimits | None = None) -> None:
        self._target = target
        self._limits = limits or StreamLimits(first_part=target.first_part_seconds)
        self._asked = Asked(
            provider=target.provider.title,
            model=target.wire_name,
            url=f"{target.base_url}/chat/completions",
            key_env=target.key_env,
        )
        self._post = HttpPost(self._asked, _headers(target), self._limits, target.secret)
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
        reader = ChunkReader(self._histories.of(request.conversation_id).call_ids)
        watch = Watch(self._limits)
        async with self._post.answer(body, watch) as answer:
            if "json" in answer.content_type or "html" in answer.content_type:
                for part in self._unstreamed(await answer.whole(), answer.content_type, reader):
                    yield part
                return
            async for part in self._parts(answer, watch, reader):
                yield part

    async def close(self) -> None:
        """Give back the connections."""
        await self._post.close()

    async def _parts(self, answer: Answer, watch: Watch, reader: ChunkReader) -> AsyncGenerator[StreamPart, None]:
        parser = SseParser()
        try:
            async for chunk in answer.chunks:
                for _, data in parser.feed(chunk):
                    if data.strip() == b"[DONE]":
                        yield self._finish(reader, marked=True)
                        return
                    for part in self._read(reader, data):
                        if not isinstance(part, UsagePiece):
                            watch.started()
                        yield part
                if reader.finish:
                    watch.finished()
            for _, data in parser.close():
                for part in self._read(reader, data) if data.strip() != b"[DONE]" else ():
                    yield part
        except ValueError as error:
            raise StreamBroken(f"{self._asked.url} sent {error}", url=self._asked.url) from error
        except ProviderError:
            if not (reader.finish and watch.complete):
                raise
            # The answer itself is whole; only its end mark got lost.
        yield self._finish(reader, marked=False)

    def _read(self, reader: ChunkReader, data: bytes) -> Iterator[StreamPart]:
        if not data.strip():
            return
        try:
            yield from reader.read(data)
        except msgspec.DecodeError as error:
            sent = data[:120].decode("utf-8", "replace")
            said = f"{self._asked.url} sent what is no part of an answer ({error}): {sent}"
            raise StreamBroken(said, hint="It is tried again.", url=self._asked.url) from error
        if reader.error:
            raise fault_in_stream(reader.error, self._asked, self._target.secret)

    def _finish(self, reader: ChunkReader, *, marked: bool) -> Finish:
        reason = reader.finish or ("stop" if marked and reader.spoke else "")
        if not reason:
            said = f"{self._asked.url} ended its answer in the middle"
            raise StreamBroken(said, hint="It is tried again; what had come is kept.", url=self._asked.url)
        if reason == "stop" and reader.calls:
            reason = "tool_calls"  # some servers end calls with "stop"
        return Finish(reason=reason)

    def _unstreamed(self, body: bytes, content_type: str, reader: ChunkReader) -> Iterator[StreamPart]:
        """A server that does not stream answers with one JSON object, a proxy or a wrong address with a page."""
        if "html" in content_type:
            raise BadRequest(
                f"{self._asked.url} answered with a web page instead of a model's words.",
                hint="Is the base URL right (most end with /v1), and is there a login page in between?",
                status=200,
                url=self._asked.url,
            )
        if body.lstrip().startswith((b"data:", b":")):  # a stream after all, under a wrong name
            parser = SseParser()
            events = [data for _, data in (*parser.feed(body), *parser.close())]
        else:
            events = [body]
        for data in events:
            if data.strip() != b"[DONE]":
                yield from self._read(reader, data)
        yield self._finish(reader, marked=True)

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
