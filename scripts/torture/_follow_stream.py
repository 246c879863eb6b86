"""What one face heard over all its lives, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from sys import path

path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # the checkout: letta_code as it is here

from letta_code.core import events as ev

FOREIGN, DROPPED = "msg-of-a-foreign-process", "msg-that-was-dropped"  # drafts of the strangers
WRONGS = (
    "lost",
    "repeated",
    "different",
    "text holes",
    "text that is no beginning",
    "text behind its message",
    "output behind its result",
    "call before its message",
    "draft left standing",
    "foreign owner believed",
)


class Stream:
    """The events of one face; each of its lives begins after the last stored event that it has."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lives = 0
        self.live_events = 0
        self.last = 0  # the seq of the last stored event that the face was given
        self.durable: list[tuple[int, bytes]] = []
        self.wrong: Counter[str] = Counter()
        self.pieces: list[tuple[str, str]] = []  # message and its text as it stood on the screen
        self._text: dict[str, str] = {}
        self._over: set[str] = set()  # messages and calls
        self._calls: set[str] = set()
        self._passed: set[str] = set()  # messages whose text stood there when another one's came

    def begin(self) -> None:
        """Another life: nothing is on its screen."""
        self.lives += 1
        self._text.clear()

    def take(self, event: ev.Event | ev.LiveEvent, raw: bytes) -> None:
        """An event came, as the bytes that it was sent as."""
        if isinstance(event, ev.Durable | ev.UnknownEvent):
            self._stored(event, raw)
            return
        self.live_events += 1
        match event:
            case ev.DraftDropped():
                self._text.pop(event.message_id, None)
            case ev.TextDelta():
                self._grow(event)
            case ev.ToolStarted() | ev.ToolOutput():
                self.wrong["call before its message"] += event.call_id not in self._calls
                self.wrong["output behind its result"] += event.call_id in self._over
            case _:
                pass

    def _stored(self, event: ev.Event, raw: bytes) -> None:
        if event.seq:
            self.last = max(self.last, event.seq)
            self.durable.append((event.seq, raw))
        match event:
            case ev.AssistantMessage():
                self._over.add(event.message_id)
                self._calls.update(call.id for call in event.tool_calls)
                self._text.pop(event.message_id, None)
            case ev.ToolResult():
                self._over.add(event.call_id)
            case _:
                pass

    def _grow(self, event: ev.TextDelta) -> None:
        before = self._text.get(event.message_id, "")
        self.wrong["foreign owner believed"] += event.message_id == FOREIGN
        self.wrong["text holes"] += event.offset > len(before)
        self.wrong["text behind its message"] += event.message_id in self._over
        self._passed.update(message for message in self._text if message != event.message_id)
        self._text[event.message_id] = before[: event.offset] + event.text
        self.pieces.append((event.message_id, self._text[event.message_id]))

    def judge(self, stored: list[tuple[int, bytes]]) -> None:
        """Compare with the store: every event once, in order, byte for byte; every text its message's beginning."""
        heard = Counter(seq for seq, _ in self.durable)
        self.wrong["lost"] += sum(seq not in heard for seq, _ in stored)
        self.wrong["repeated"] += sum(count - 1 for count in heard.values())
        self.wrong["different"] += self.durable != stored and not (self.wrong["lost"] or self.wrong["repeated"])
        final: dict[str, str] = {}
        for _, raw in stored:
            event = ev.decode(raw)
            if isinstance(event, ev.AssistantMessage):
                final[event.message_id] = event.text
        self.wrong["text that is no beginning"] += sum(
            not final.get(message_id, text).startswith(text) for message_id, text in self.pieces
        )
        self.wrong["draft left standing"] += len(self._passed - final.keys() - {FOREIGN})
