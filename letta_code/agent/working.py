"""Working: the runs of one session, one after the other, in one task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from letta_code.agent.run import Run
from letta_code.core import events as ev

if TYPE_CHECKING:
    from letta_code.agent.compaction import IdleCompaction

Activity: TypeAlias = "Run | IdleCompaction"


class Working:
    """Does a run and what follows it.  `activity` is what goes on now, None for nothing."""

    def __init__(
        self, sending: asyncio.Lock, following: Callable[[Activity], Activity | None], rests: Callable[[], None]
    ) -> None:
        """`following` says what comes after a run, asked while `sending` is held; `rests` is called when it was all."""
        self.activity: Activity | None = None
        self._sending = sending
        self._following = following
        self._rests = rests
        self._task: asyncio.Task[None] | None = None

    @property
    def run(self) -> Run | None:
        """The run that goes on now."""
        return self.activity if isinstance(self.activity, Run) else None

    @property
    def run_id(self) -> str:
        """Its id, "" where nothing goes on."""
        return self.activity.run_id if self.activity else ""

    def start(self, activity: Activity) -> None:
        """Begin with a run."""
        self.activity = activity
        self._task = asyncio.create_task(self._all(activity), name=f"run {activity.run_id}")

    async def _all(self, activity: Activity) -> None:
        try:
            while True:
                await activity.work()
                async with self._sending:  # what is said now either is queued already or starts a run of its own
                    following = self._following(activity)
                    if following is None:
                        self.activity = None
                        return
                    activity = self.activity = following
        finally:
            self.activity = None
            self._rests()

    async def interrupt(self) -> None:
        """Stop it; the history is balanced and durable when this returns."""
        if self.activity is not None:
            await self.activity.begun.wait()  # a task that is cancelled before its first step never runs at all
        if self.activity is not None and self._task is not None:
            self.activity.stop(ev.StopReason.INTERRUPTED, self._task)
            await asyncio.wait([self._task])

    async def give_away(self, *, background: bool, by: str) -> None:
        """Leave the run open at its next step boundary; returns when nothing goes on here any more."""
        if self.run is not None and self._task is not None:
            self.run.leave(background=background, by=by)
            await asyncio.wait([self._task])

    def stay(self) -> bool:
        """Keep the run here after all; False when it is too late for that."""
        if self.run is None or self._task is None or self._task.done():
            return False
        self.run.stay()
        return True

    async def over(self) -> None:
        """Wait until nothing goes on; raises what a bug let through."""
        while self.activity is not None and self._task is not None:
            await asyncio.wait([self._task])
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()
