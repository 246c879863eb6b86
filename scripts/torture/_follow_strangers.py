"""Who else listens where an owner is looked for: another process, and the owner itself with a draft that it drops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
from _follow_stream import DROPPED, FOREIGN

from letta_code.agent.live import wire
from letta_code.agent.port import Status
from letta_code.core import events as ev
from letta_code.host.sockets import Lines, listen

OWN_SECONDS = 2.0  # between two of them the owner is heard
THEIR_SECONDS = 1.2


class Strangers:
    """Stands now and then in the owner's place at `path`; `cut` ends the connections that faces have."""

    def __init__(self, path: Path, conversation: str, cut: Callable[[], None], rng: random.Random) -> None:
        self._path = path
        self._conversation = conversation
        self._cut = cut
        self._rng = rng
        self.heard = {FOREIGN: 0, DROPPED: 0}  # how often a face said hello to one

    async def come_and_go(self, owner: Callable[[], int]) -> None:
        """One after the other, until cancelled; `owner` is the owner's process, 0 when there is none."""
        turn = 0
        while True:
            await asyncio.sleep(self._rng.uniform(0.5, 1.0) * OWN_SECONDS)
            pid = await asyncio.to_thread(owner)
            if pid and self._path.exists():
                await self._stand_in(*((FOREIGN, os.getpid()) if turn % 2 else (DROPPED, pid)))
                turn += 1

    async def _stand_in(self, message: str, pid: int) -> None:
        aside = self._path.with_suffix(".aside")
        os.rename(self._path, aside)  # the owner goes on listening there
        try:
            listener = await listen(self._path, lambda lines: self._talk(lines, message, pid))
            try:
                self._cut()
                await asyncio.sleep(THEIR_SECONDS)
            finally:
                listener.close()
        finally:
            with contextlib.suppress(FileNotFoundError):  # the owner has ended, and with it the place
                os.rename(aside, self._path)

    async def _talk(self, lines: Lines, message: str, pid: int) -> None:
        if await lines.read() is None:
            return
        self.heard[message] += 1
        draft = ev.TextDelta(message_id=message, offset=0, text="Of nobody's answer")
        welcome = wire.Welcome(
            status=Status(conversation_id=self._conversation, agent_id="", running=True),
            last_seq=0,
            partial=(msgspec.Raw(ev.encode(draft)),),
            pid=pid,
        )
        lines.write(wire.encode(welcome))
        await asyncio.sleep(THEIR_SECONDS / 3)
        lines.cut()
