"""Wishes: compactions that a person asked for, and waits for."""

from __future__ import annotations

import asyncio

from letta_code.core.errors import LettaError
from letta_code.core.events import ContextCompacted


class Wish:
    """What the summary is to keep, and where the outcome goes; made on the event loop."""

    def __init__(self, instructions: str = "") -> None:
        self.instructions = instructions
        self._outcome: asyncio.Future[ContextCompacted] = asyncio.get_running_loop().create_future()

    @property
    def dropped(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._outcome.cancelled()

    def fulfil(self, event: ContextCompacted) -> None:
        """It is done."""
        if not self._outcome.done():
            self._outcome.set_result(event)

    def fail(self, error: LettaError) -> None:
        """It was not done."""
        if not self._outcome.done():
            self._outcome.set_exception(error)

    async def outcome(self) -> ContextCompacted:
        """Wait for it; raises the `LettaError` that it failed with."""
        return await self._outcome


class Wishes:
    """Those that nobody has taken up yet."""

    def __init__(self) -> None:
        self._open: list[Wish] = []

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, instructions: str) -> Wish:
        """One more."""
        self._open.append(wish := Wish(instructions))
        return wish

    def take(self) -> list[Wish]:
        """All; who takes them answers them."""
        taken, self._open = self._open, []
        return taken

    def fail(self, error: LettaError) -> None:
        """None of them was done."""
        for wish in self.take():
            wish.fail(error)
