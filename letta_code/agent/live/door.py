"""Door: lets other processes in to a session a moment after it was opened, so that its start pays nothing for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what only a follower needs is loaded when the first request is out
    from letta_code.agent.live.hosting import Hosting
    from letta_code.agent.session import Session
    from letta_code.config.paths import Paths

DELAY = 0.25  # seconds


def socket_path(paths: Paths, conversation_id: str) -> Path:
    """Where the owner of a conversation is reached."""
    return paths.run / f"{conversation_id}.sock"


class LateDoor:
    """Implements the session's `Door`; made on the event loop."""

    def __init__(self, session: Session, path: Path, delay: float = DELAY) -> None:
        """`path` is the socket's; the session holds the conversation's writer lock."""
        self._hosting: Hosting | None = None
        self._opening = asyncio.create_task(self._open(session, path, delay), name="door")

    async def _open(self, session: Session, path: Path, delay: float) -> None:
        await asyncio.sleep(delay)
        from letta_code.agent.live.hosting import Hosting

        self._hosting = Hosting(session, path)
        await self._hosting.begin()

    def shut(self) -> None:
        """See `Door`."""
        self._opening.cancel()
        if self._hosting is not None:
            self._hosting.shut()

    async def ended(self) -> None:
        """See `Door`."""
        if self._hosting is not None:
            await self._hosting.ended()
