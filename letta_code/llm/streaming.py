"""An answer's bytes to stream parts: what the clients of all dialects over HTTP have in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Protocol

import msgspec

from letta_code.core.errors import BadRequest, ProviderError, StreamBroken
from letta_code.llm.faults import Asked, fault_in_stream
from letta_code.llm.model import Finish, StreamPart, UsagePiece
from letta_code.llm.redact import Secret
from letta_code.llm.sse import SseParser
from letta_code.llm.transport import Answer, HttpPost, Watch

_TRIED_AGAIN = "What had come is kept."


class Reader(Protocol):
    """Reads one answer of a dialect, event by event.

    `finish` is set once the answer itself is complete (counts may follow), `ended` with the dialect's end mark, `error`
    to the JSON of an error that came inside the stream.
    """

    finish: str
    ended: bool
    error: bytes

    def read(self, data: bytes) -> Iterator[StreamPart]:
        """The parts in one event's data; raises `msgspec.DecodeError` for what is none of the dialect's."""
        ...

    def reason(self) -> str:
        """stop, tool_calls, length or refusal; "" when the answer is not complete."""
        ...


async def stream_answer(post: HttpPost, body: bytes, watch: Watch, reader: Reader) -> AsyncGenerator[StreamPart, None]:
    """Send the body and yield the answer's parts, ending with `Finish`; raises a `ProviderError` for every fault."""
    parts = _Parts(reader, post.asked, post.secret)
    async with post.answer(body, watch) as answer:
        if "json" in answer.content_type or "html" in answer.content_type:
            for part in parts.whole(await answer.whole(), answer.content_type):
                yield part
            return
        try:
            async with aclosing(parts.streamed(answer, watch)) as streamed:
                async for part in streamed:
                    yield part
        except ProviderError:
            if not watch.complete:
                raise
            # The answer itself is whole, only its end mark got lost.
        yield parts.finish()


class _Parts:
    def __init__(self, reader: Reader, asked: Asked, secret: Secret) -> None:
        self._reader = reader
        self._asked = asked
        self._secret = secret

    async def streamed(self, answer: Answer, watch: Watch) -> AsyncGenerator[StreamPart, None]:
        """The parts as the bytes come, up to the end of the stream; what follows the end mark is not read."""
        parser = SseParser()
        async for chunk in answer.chunks:
            if self._reader.ended:
                continue
            for data in self._events(parser, chunk):
                for part in self._read(data):
                    if not isinstance(part, UsagePiece):
                        watch.started()
                    yield part
            if self._reader.ended:
                watch.ended()
            elif self._reader.finish:
                watch.finished()
        for _, data in parser.close():
            for part in self._read(data):
                yield part

    def whole(self, body: bytes, content_type: str) -> Iterator[StreamPart]:
        """An answer that is no stream: a server that cannot stream sends one JSON object, a wrong address a page."""
        if "html" in content_type:
            raise BadRequest(
                f"{self._asked.shown} answered with a web page instead of a model's words.",
                hint="Is the base URL right (most end with /v1), and is there a login page in between?",
                status=200,
                url=self._asked.shown,
            )
        events = [body]
        if body.lstrip().startswith((b"data:", b"event:", b":")):  # a stream after all, under a wrong name
            parser = SseParser()
            events = [data for _, data in (*parser.feed(body), *parser.close())]
        for data in events:
            yield from self._read(data)
        self._reader.ended = True
        yield self.finish()

    def finish(self) -> Finish:
        """The end of the answer; raises `StreamBroken` when it is not complete."""
        reason = self._reader.reason()
        if not reason:
            raise StreamBroken(
                f"{self._asked.shown} ended its answer in the middle", hint=_TRIED_AGAIN, url=self._asked.shown
            )
        return Finish(reason=reason)

    def _events(self, parser: SseParser, chunk: bytes) -> Iterator[bytes]:
        try:
            events = parser.feed(chunk)
        except ValueError as error:
            raise StreamBroken(f"{self._asked.shown} sent {error}", url=self._asked.shown) from error
        return (data for _, data in events)

    def _read(self, data: bytes) -> Iterator[StreamPart]:
        if not data.strip():
            return
        try:
            yield from self._reader.read(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            sent = data[:120].decode("utf-8", "replace")
            said = f"{self._asked.shown} sent what is no part of an answer ({error}): {sent}"
            raise StreamBroken(said, hint=_TRIED_AGAIN, url=self._asked.shown) from error
        if self._reader.error:
            raise fault_in_stream(self._reader.error, self._asked, self._secret)
