"""Again: a conversation that changed its owner is opened once more, behind whoever is expected to have it now."""

from __future__ import annotations

import asyncio
import time

from letta_code.agent.live.opening import attach, open_session
from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.config.paths import Paths

LOOK_SECONDS = 0.05


async def open_again(options: SessionOptions, *, patience: float, paths: Paths | None = None) -> SessionPort:
    """The conversation of `options`, followed where somebody takes it within `patience` seconds, else of this process.

    Without that patience, who watches a conversation would snatch it from whom it was given to.  Raises what
    `open_session` raises.
    """
    paths = (paths or Paths.find()).ensure()
    end = time.monotonic() + patience
    while time.monotonic() < end:
        attached = await attach(options, paths)
        if attached is not None and not await _over(attached):
            return attached
        await asyncio.sleep(LOOK_SECONDS)
    while True:
        session = await open_session(options, paths=paths)
        if not await _over(session):
            return session
        await asyncio.sleep(LOOK_SECONDS)


async def _over(session: SessionPort) -> bool:
    """Whether what was opened is the end of somebody: who only looks whether a lock is free holds it for a moment, and
    whoever looks then takes the dead owner, whose name it still bears, for a living one.
    """
    from letta_code.agent.live.attached import AttachedSession

    if not isinstance(session, AttachedSession) or session.status.owner:
        return False
    await session.close()
    return True
