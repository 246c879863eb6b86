"""Telling: what happens in a conversation, said line by line, and how far it was said."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from letta_code.agent.port import SessionPort, Status
from letta_code.core.events import (
    Durable,
    Event,
    LiveEvent,
    MessageQueued,
    Notice,
    RequestAnswered,
    RequestMade,
    UserMessage,
)
from letta_code.core.live import Live
from letta_code.plain.asking import Asking
from letta_code.plain.render import Lines
from letta_code.plain.say import say

_FOUND = 2  # the last events of a journal, where a start says what it found (a rewind that was cut off)
_CATCH_UP_SECONDS = 2.0


class Telling:
    """Of one conversation; what is asked goes to `asking`.

    `typed` are the client ids of what the person typed here: it stands there already.
    """

    def __init__(self, asking: Asking, status: Status) -> None:
        """`status` is how the conversation was opened: what happened before is old."""
        self.lines = Lines(say)
        self.typed: set[str] = set()
        self._asking = asking
        self._old, self._queued = status.last_seq, status.queued
        self._seen = 0 if status.queued or status.running else max(status.last_seq - _FOUND, 0)
        self._moved = asyncio.Event()

    async def follow(self, session: SessionPort) -> None:
        """Say what happens; of what is old only the messages that wait since another face was left."""
        async for event in session.events(self._seen):
            if isinstance(event, Live) or not 0 < event.seq <= self._old:
                self.take(event)
                continue
            found = isinstance(event, Notice) and event.code == "rewind" and event.seq > self._old - _FOUND
            if found or isinstance(event, RequestMade | RequestAnswered):
                self.take(event)
            if isinstance(event, MessageQueued) and event.client_id in self._queued:
                say("Said before, and sent along with your next message:")
                self.lines.typed(event.content)
            self._saw(event.seq)

    def _saw(self, seq: int) -> None:
        self._seen = max(self._seen, seq)  # 0 for a notice that is not stored
        self._moved.set()

    async def caught_up(self, seq: int) -> None:
        """Wait until the events that the run has left behind were said, so that the prompt comes after them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                while self._seen < seq:
                    self._moved.clear()
                    await self._moved.wait()

    def take(self, event: Event | LiveEvent) -> None:
        """Say one event, or have it asked."""
        if isinstance(event, Durable):
            self._saw(event.seq)
        match event:
            case RequestMade(request=request):
                self._asking.made(request)
            case RequestAnswered(request_id=request_id):
                self._asking.answered(request_id)
            case UserMessage(client_id=client_id, content=content) if client_id not in self.typed:
                self.lines.typed(content)  # it waited since before
            case _:
                self.lines.event(event)
