"""Left: a session whose screen is gone goes on until nothing runs, then the process ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

from letta_code.tui.core_thread import CoreThread

log = logging.getLogger(__name__)


async def stay(core: CoreThread) -> int:
    """Wait until no run goes on here and none is queued, then close; 0, or 128 + N when signal N ended it before."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def end(number: int) -> None:
        if not ended.done():
            ended.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    log.warning("the terminal is gone; the run goes on in the background as process %d", os.getpid())
    waiting = asyncio.ensure_future(core.last())
    await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
    if waiting.done() and waiting.exception() is not None:
        log.error("the run in the background failed", exc_info=waiting.exception())
    await core.stop()
    waiting.cancel()
    return 128 + ended.result() if ended.done() else 0
