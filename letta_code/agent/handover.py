"""Handover: an owner's side of giving a conversation away: to a process without a face, or to who wants it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from letta_code.core.events import RunDetached

if TYPE_CHECKING:
    from letta_code.agent.job import Job
    from letta_code.agent.session import Session
    from letta_code.agent.workers import Workers
    from letta_code.agent.working import Working


class Handover:
    """Of one session.

    `leaving`: another process goes on; `faceless`: runs are to go on without a face, whatever becomes of the one here;
    `workers` start processes without a face, None where there are none.
    """

    def __init__(self, session: Session, working: Working) -> None:
        self.leaving = False
        self.faceless = session.options.background
        self.workers: Workers | None = None
        self._session = session
        self._working = working

    async def release(self, *, background: bool, by: str) -> str:
        """Give the conversation to another process at the next step boundary, and close.

        Returns the id of the run that is still open then, "" where none is.
        """
        session = self._session
        self.leaving = True
        try:
            if background:  # before the step's end, which may be far: the wish outlives the terminal and this process
                await self.detach(by)
            await self._working.give_away(background=background, by=by)
        except asyncio.CancelledError:  # whoever wanted it to leave wants it no more
            if self._working.stay():
                self.leaving = False
                await self._attach(by)
            else:  # too late: the conversation is free for anybody
                session.begin_closing()
            raise
        await session.close()
        return session.history.run.run_id if session.history.run else ""

    async def to_background(self, by: str) -> str:
        """See `SessionPort.to_background`."""
        if self._working.run is None or self.workers is None:
            return ""
        run_id = await self.release(background=True, by=by)
        if run_id:
            await self.workers.begin(self.job())
        return run_id

    async def detach(self, by: str) -> None:
        """See `SessionPort.detach`."""
        if self.workers is not None:
            self.workers.keep(self.job())
        self.faceless = True
        await self._say_detached(by)

    async def _attach(self, by: str) -> None:
        self.faceless = self._session.options.background
        await self._say_detached(by)

    async def _say_detached(self, by: str) -> None:
        history = self._session.history
        run = history.run  # one that is not stored yet begins so
        if run is not None and history.run_background != self.faceless:
            await self._session.commit(RunDetached(run_id=run.run_id, background=self.faceless, by=by))

    def job(self) -> Job:
        """What a process without a face is told that goes on with the conversation; also once that is closed."""
        from letta_code.agent.job import job_of

        session = self._session
        return job_of(session.options, session.conversation_id, mode=session.mode, model=session.model_name)
