"""Lasting: one conversation for a face that prints, whoever owns it: it is opened again when it has another owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from letta_code.agent.live.words import change_text
from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.core.messages import ContentPart
from letta_code.core.requests import Answer

OpenAgain = Callable[[SessionOptions, float], Awaitable[SessionPort]]

GIVEN_SECONDS, LOST_SECONDS = 8.0, 0.7  # how long a new owner is waited for
NOTICED_SECONDS = 0.3  # the owner's end is heard a moment after what failed by it


class LastingSession:
    """Acts as `SessionPort`; what is not written out here is the present session's.  `events` has one reader."""

    def __init__(self, session: SessionPort, options: SessionOptions, open_again: OpenAgain | None) -> None:
        self.session = session
        self._options = options
        self._open_again = open_again
        self._open = asyncio.Event()
        self._open.set()
        self._owner = session.status.owner
        self._leaves = False  # the owner is about to give it away
        self._taking = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    async def events(self, after: int = 0) -> AsyncIterator[ev.Event | ev.LiveEvent]:
        """As `SessionPort.events`, from one owner to the next; a change is told by a notice that is not stored."""
        seen, told = after, set[str]()
        while True:
            async for event in self.session.events(seen):
                seen = max(seen, getattr(event, "seq", 0))
                if isinstance(event, ev.Notice) and not event.seq:
                    if event.text in told:
                        continue
                    told.add(event.text)
                self._note(event)
                yield event
            if self._open_again is None:
                return
            yield ev.Notice(level="info", text=await self._next_owner(self._open_again), code="owner")

    def _note(self, event: ev.Event | ev.LiveEvent) -> None:
        match event:
            case ev.Waiting(phase="moving") | ev.RunMoved():
                self._leaves = True
            case ev.RunStarted() | ev.RunResumed() | ev.RunFinished() | ev.Waiting(phase="stays"):
                self._leaves = False
            case _:
                pass

    async def _next_owner(self, open_again: OpenAgain) -> str:
        self._open.clear()
        try:
            await self.session.close()
            given = self._leaves or not self._owner or getattr(self.session, "released", False)
            patience = 0.0 if self._taking else GIVEN_SECONDS if given else LOST_SECONDS
            options = replace(self._options, conversation=self.session.status.conversation_id, agent="")
            if not self._owner:  # what the command line said was so when it was ours
                options = replace(options, model="", mode="")
            self.session, self._options = await open_again(options, patience), options
            before, self._owner = self._owner, self.session.status.owner
            self._leaves = False
            return change_text(self._owner, before, wanted=self._taking)
        finally:
            self._taking = False
            self._open.set()

    async def idle(self) -> ev.RunFinished | None:
        """Wait until no run goes on, with whatever owner."""
        while True:
            session = self.session
            end = await session.idle()
            if not await self._replaced(session):
                return end

    async def _replaced(self, session: SessionPort) -> bool:
        if self._open_again is not None and (self._owner or self._leaves):
            await asyncio.sleep(NOTICED_SECONDS)
        await self._open.wait()
        return self.session is not session

    async def _twice(self, work: Callable[[SessionPort], Awaitable[Any]]) -> Any:
        await self._open.wait()
        session = self.session
        try:
            return await work(session)
        except LettaError:
            if not await self._replaced(session):
                raise
        return await work(self.session)

    async def send(self, content: str | tuple[ContentPart, ...], *, client_id: str = "") -> str:
        """As `SessionPort.send`; the next owner gets what the last one did not take any more."""
        return await self._twice(lambda session: session.send(content, client_id=client_id))

    async def answer(self, request_id: str, answer: Answer, by: str) -> ev.RequestAnswered:
        """As `SessionPort.answer`."""
        return await self._twice(lambda session: session.answer(request_id, answer, by))

    async def take_over(self, by: str) -> None:
        """As `SessionPort.take_over`; returns when the conversation runs here."""
        session = self.session
        self._taking = True
        try:
            await session.take_over(by)
        except BaseException:
            self._taking = False
            raise
        await self._replaced(session)
