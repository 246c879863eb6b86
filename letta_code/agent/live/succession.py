"""Succession: one conversation from owner to owner: a face goes on with it when another process has it, or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeAlias, TypeVar

from msgspec.structs import replace

from letta_code.agent.port import SessionOptions, SessionPort, Status
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.core.messages import Value

T = TypeVar("T")

# Opens a conversation that has lost its owner: so many seconds somebody else is expected to take it.
OpenAgain: TypeAlias = Callable[[SessionOptions, float], Awaitable[SessionPort]]

# How long a new owner is waited for: one whom it was given to, and nobody in particular.
GIVEN_SECONDS, LOST_SECONDS = 8.0, 0.7
NOTICED_SECONDS = 0.5  # the owner's end is heard a moment after what failed by it


class Handed(Value):
    """The conversation has another owner, and is open again: `before` and `status.owner` are the owners, "" is us.

    What is told from now on goes on where the events ended.  `wanted`: the person here took it over.
    """

    status: Status
    before: str = ""
    wanted: bool = False


class Succession:
    """`session` is the conversation as it is open now; it changes only while `events` is read."""

    def __init__(self, session: SessionPort, options: SessionOptions, open_again: OpenAgain | None) -> None:
        """`options` are what it was opened with; without `open_again` it ends with the owner that it has."""
        self.session = session
        self.moving: asyncio.Task[str] | None = None  # to the background: the run, and the person here with it
        self._options = options
        self._open_again = open_again
        self._open = asyncio.Event()
        self._open.set()
        self._owner = session.status.owner  # "" while it is this process
        self._given = False  # its owner gives it away, and nobody has gone on with it yet
        self._taking = False  # the person here takes it over
        self._left = False
        self._told: set[str] = set()  # notices that no journal has: told once

    async def present(self) -> SessionPort:
        """The session of now; waits while the owner changes."""
        await self._open.wait()
        return self.session

    @property
    def changing(self) -> bool:
        """Whether the next owner is waited for."""
        return not self._open.is_set()

    @property
    def moves(self) -> bool:
        """Whether a run of this process is on its way to the background."""
        return self.moving is not None and not self.moving.done() and not self._owner

    # ------------------------------------------------------------ events

    async def events(self, after: int = 0) -> AsyncGenerator[ev.Event | ev.LiveEvent | Handed]:
        """As `SessionPort.events`, from one owner to the next, with a `Handed` between them; for one reader.

        Ends where the conversation was left, and where its run was given to the background from here.
        """
        seen = after
        while True:
            async for event in self.session.events(seen):
                seen = max(seen, getattr(event, "seq", 0))
                if self._is_news(event):
                    yield event
            handed = await self._next_owner()
            if handed is None:
                return
            yield handed

    def _is_news(self, event: ev.Event | ev.LiveEvent) -> bool:
        match event:
            case ev.Waiting(phase="moving") | ev.RunMoved():
                self._given = True
            case ev.RunStarted() | ev.RunResumed() | ev.Waiting(phase="stays"):
                self._given, self.moving = False, None
            case ev.RunFinished():
                self._given = False
            case ev.Notice(seq=0, text=text):
                if text in self._told:
                    return False
                self._told.add(text)
            case _:
                pass
        return True

    async def _next_owner(self) -> Handed | None:
        """Open it again, after its owner let it go, died, or was taken over; None where nobody here wants it."""
        open_again = self._open_again
        if self._left or open_again is None:
            return None
        moving, self.moving = self.moving, None
        if moving is not None and await _given_away(moving):
            return None
        patience = 0.0 if self._taking or moving is not None else self._patience()
        options = replace(self._options, conversation=self.session.status.conversation_id, agent="")
        if not self._owner:  # what the command line said was so when it was ours
            options = replace(options, model="", mode="")
        self._open.clear()  # what is asked for now is asked of the next owner
        try:
            await self.session.close()
            session = await open_again(options, patience)
            if self._left:
                await session.close()
                return None
            self.session, self._options = session, options
            before, self._owner = self._owner, session.status.owner
            self._given = self._given and bool(self._owner)
            return Handed(status=session.status, before=before, wanted=self._taking)
        finally:
            self._taking = False
            self._open.set()

    def _patience(self) -> float:
        given = self._given or not self._owner or getattr(self.session, "released", False)
        return GIVEN_SECONDS if given else LOST_SECONDS

    # ------------------------------------------------------------ acts

    async def call(self, work: Callable[[SessionPort], Awaitable[T]], *, twice: bool = False) -> T:
        """Do something with the session of now.

        `twice`: it may be done again with the conversation's next owner, where this one ended before it answered.
        """
        session = await self.present()
        try:
            return await work(session)
        except LettaError:
            if not twice or not await self.replaced(session):
                raise
        return await work(await self.present())

    async def replaced(self, session: SessionPort) -> bool:
        """Whether the conversation has another owner now than in a session of before; waits until that is known."""
        if self._open_again is not None and not self.changing and (self._owner or self._given):
            await asyncio.sleep(NOTICED_SECONDS)
        return await self.present() is not session

    def to_background(self, by: str) -> asyncio.Task[str]:
        """Begin `SessionPort.to_background`; being cancelled keeps the run here where it is not too late for that."""

        async def move() -> str:
            return await self.session.to_background(by)

        self.moving = asyncio.create_task(move(), name="to the background")
        return self.moving

    async def take_over(self, by: str) -> None:
        """Make the owner give the conversation away; see `SessionPort.take_over`.  Nobody else is waited for then."""
        session = await self.present()
        self._taking = True
        try:
            await session.take_over(by)
        except BaseException:
            self._taking = False
            raise

    def leave(self) -> None:
        """From now on no next owner is wanted."""
        self._left = True

    async def close(self) -> None:
        """Leave the conversation, and close the session of now."""
        self.leave()
        await (await self.present()).close()


async def _given_away(moving: asyncio.Task[str]) -> bool:
    """Whether a run that was to move to the background is there."""
    await asyncio.wait([moving])
    return not moving.cancelled() and moving.exception() is None and bool(moving.result())
