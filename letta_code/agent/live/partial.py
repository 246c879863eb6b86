"""Partial: what goes on right now and is not stored yet, for a face that joins in the middle."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from letta_code.core import events as ev

OUTPUT_LIMIT = 200_000  # characters of a running call's output that are kept, the newest

_CALL_PHASES = ("sent", "first_part", "retry")  # of a model call: over when its answer comes


class Grown:
    """Text that came in pieces, each with its place; at most `limit` characters are kept, the newest (0: all)."""

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._pieces: deque[tuple[int, str]] = deque()
        self._size = 0

    def place(self, offset: int, text: str) -> None:
        """More text, to stand at `offset`; what stood from there on stands no longer."""
        while self._pieces and self._pieces[-1][0] + len(self._pieces[-1][1]) > offset:
            start, old = self._pieces.pop()
            self._size -= len(old)
            if start < offset:
                self._add(start, old[: offset - start])
        self._add(offset, text)
        while self._limit and self._size > self._limit:
            start, old = self._pieces.popleft()
            self._size -= len(old)
            if self._size < self._limit:
                rest = self._limit - self._size
                self._pieces.appendleft((start + len(old) - rest, old[-rest:]))
                self._size += rest

    def _add(self, offset: int, text: str) -> None:
        self._pieces.append((offset, text))
        self._size += len(text)

    def pieces(self) -> Iterator[tuple[int, str]]:
        """What stands, in as few pieces as there are gaps."""
        begin, end, texts = 0, -1, list[str]()
        for offset, text in self._pieces:
            if offset != end and texts:
                yield begin, "".join(texts)
                texts = []
            if not texts:
                begin = offset
            texts.append(text)
            end = offset + len(text)
        if texts:
            yield begin, "".join(texts)


class Partial:
    """Takes in every event of a conversation as it is told, and says what a newcomer must hear of the present."""

    def __init__(self) -> None:
        self._message_id = ""
        self._text = Grown()
        self._reasoning = Grown()
        self._written: dict[str, ev.CallDelta] = {}
        self._running: dict[str, tuple[ev.ToolStarted, Grown]] = {}
        self._waiting: ev.Waiting | None = None
        self._meter: ev.ContextMeter | None = None

    def take(self, event: ev.Event | ev.LiveEvent) -> None:
        """Take an event in, durable or live."""
        match event:
            case ev.TextDelta() | ev.ReasoningDelta() | ev.CallDelta():
                self._grow(event)
            case ev.ToolOutput():
                if known := self._running.get(event.call_id):
                    known[1].place(event.offset, event.text)
            case ev.ToolStarted():
                self._running[event.call_id] = (event, Grown(OUTPUT_LIMIT))
            case ev.DraftDropped():
                self._drop()
            case ev.Waiting():
                self._waiting = None if event.phase == "done" else event
            case ev.ContextMeter():
                self._meter = event
            case _:
                self._stored(event)

    def _grow(self, event: ev.TextDelta | ev.ReasoningDelta | ev.CallDelta) -> None:
        if event.message_id != self._message_id:
            self._drop()
            self._message_id = event.message_id
        if self._waiting is not None and self._waiting.phase in _CALL_PHASES:
            self._waiting = None
        match event:
            case ev.TextDelta():
                self._text.place(event.offset, event.text)
            case ev.ReasoningDelta():
                self._reasoning.place(event.offset, event.text)
            case ev.CallDelta():
                self._written[event.call_id] = event

    def _stored(self, event: ev.Event) -> None:
        if self._waiting is not None and self._waiting.phase == "storage":
            self._waiting = None
        match event:
            case ev.AssistantMessage():
                self._drop()
                if self._waiting is not None and self._waiting.phase in _CALL_PHASES:
                    self._waiting = None
            case ev.ToolResult():
                self._running.pop(event.call_id, None)
            case ev.ContextCompacted():
                if self._waiting is not None and self._waiting.phase in ("loading", "compacting"):
                    self._waiting = None
            case ev.RunFinished() | ev.RunMoved():
                self._drop()
                self._running.clear()
                self._waiting = None
            case _:
                pass

    def _drop(self) -> None:
        self._message_id = ""
        self._text, self._reasoning = Grown(), Grown()
        self._written.clear()

    def now(self) -> tuple[ev.LiveEvent, ...]:
        """The present as live events: the whole answer so far, what runs with its output, what is waited for."""
        told: list[ev.LiveEvent] = []
        message_id = self._message_id
        told += [ev.ReasoningDelta(message_id=message_id, offset=o, text=t) for o, t in self._reasoning.pieces()]
        told += [ev.TextDelta(message_id=message_id, offset=o, text=t) for o, t in self._text.pieces()]
        told += self._written.values()
        for started, output in self._running.values():
            told.append(started)
            told += [ev.ToolOutput(call_id=started.call_id, offset=o, text=t) for o, t in output.pieces()]
        told += [event for event in (self._waiting, self._meter) if event is not None]
        return tuple(told)

    def text(self) -> tuple[str, str]:
        """The message that is being written, and its text so far; "" and "" where there is none."""
        return self._message_id, "".join(text for _, text in self._text.pieces())
