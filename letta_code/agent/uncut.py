"""Uncut: work that must not be cut in the middle."""

from __future__ import annotations

import asyncio


async def finish(task: asyncio.Future[None]) -> bool:
    """Wait for a task to its end even when cancelled meanwhile; True when that happened.  Raises what it raised."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    return cancelled
