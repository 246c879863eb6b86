"""What one face heard over all its lives, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from sys import path

path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # the checkout: letta_code as it is here

from letta_code.core import events as ev

WRONGS = ("lost", "repeated", "different", "text holes", "text that is no beginning", "text behind its message")


class Stream:
    """The events of one face; each of its lives begins after the last stored event that it has."""

    def __init__(self, name: str, plant: str = "") -> None:
        self.name = name
        self.lives = 0
        self.live_events = 0
        self.durable: list[tuple[int, bytes]] = []
        self._given = 0
        self.wrong: Counter[str] = Counter()
        self.pieces: list[tuple[str, str]] = []  # message and its text as it stood on the screen
        self._text: dict[str, str] = {}
        self._over: set[str] = set()
        self._plant = plant

    @property
    def last(self) -> int:
        """The seq of the last stored event that the face was given."""
        return self._given

    def begin(self) -> None:
        """Another life: nothing is on its screen."""
        self.lives += 1
        self._text.clear()

    def take(self, event: ev.Event | ev.LiveEvent, raw: bytes) -> None:
        """An event came, as the bytes that it was sent as."""
        if isinstance(event, ev.Durable | ev.UnknownEvent):
            self._given = max(self._given, event.seq)
        if self._planted(event):
            return
        if isinstance(event, ev.Durable | ev.UnknownEvent):
            if event.seq:
                self.durable.append((event.seq, raw))
            if isinstance(event, ev.AssistantMessage):
                self._over.add(event.message_id)
            return
        self.live_events += 1
        if isinstance(event, ev.DraftDropped):
            self._text.pop(event.message_id, None)
        if not isinstance(event, ev.TextDelta):
            return
        before = self._text.get(event.message_id, "")
        self.wrong["text holes"] += event.offset > len(before)
        self.wrong["text behind its message"] += event.message_id in self._over
        self._text[event.message_id] = before[: event.offset] + event.text
        self.pieces.append((event.message_id, self._text[event.message_id]))

    def _planted(self, event: ev.Event | ev.LiveEvent) -> bool:
        """Whether this event is to be dropped, once, so that it is seen whether that is found."""
        ripe = self._plant == "event" and isinstance(event, ev.ToolResult)
        ripe = ripe or (self._plant == "text" and isinstance(event, ev.TextDelta) and event.offset > 0)
        if ripe:
            self._plant = ""
        return ripe

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
