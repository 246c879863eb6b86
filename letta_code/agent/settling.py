"""Settling: the standard blocks of memory get their files behind the scenes, and what is wrong with memory is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from letta_code.core.errors import LettaError
from letta_code.core.events import Notice

if TYPE_CHECKING:
    from letta_code.memory.desk import Desk

log = logging.getLogger(__name__)


class Settling:
    """Done once a session, in a quiet moment; nothing depends on it: blocks are shown as they are to be.

    `quiet` is what else waits for such a moment.
    """

    def __init__(
        self,
        desk: Desk | None,
        count: Callable[[str], int],
        tell: Callable[[Notice], None],
        quiet: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._quiet = [quiet] if quiet else []
        self._desk = desk
        self._count = count
        self._tell = tell
        self._task: asyncio.Task[None] | None = None

    def also(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do this too in that moment."""
        self._quiet.append(work)

    def begin(self) -> None:
        """Start it; harmless when done twice."""
        if self._desk is not None and self._task is None:
            self._task = asyncio.create_task(self._all(self._desk), name="memory")

    async def end(self) -> None:
        """Wait for it."""
        if self._task is not None:
            await self._task
            if self._desk is not None and not self._desk.settled:  # another task came meanwhile
                await self._settle(self._desk)

    async def _all(self, desk: Desk) -> None:
        await self._settle(desk)
        for work in self._quiet:
            await work()

    async def _settle(self, desk: Desk) -> None:
        try:
            await desk.settle()
            warnings = await asyncio.to_thread(desk.blocks.warnings, self._count)
        except LettaError as error:
            log.warning("memory could not be settled: %s", error)
            warnings = (f"The standard memory blocks could not be written: {error}",)
        for text in desk.found():  # there may be no next message that would bring it as news
            self._tell(Notice(level="info", text=text, code="memory"))
        for text in warnings:
            self._tell(Notice(level="warning", text=text, hint="`/memory` shows and mends it.", code="memory"))
