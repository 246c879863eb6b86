"""Heartbeat: while a run goes on, the time of its conversation's lock file says so to whoever lists runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress

from letta_code.core import events as ev
from letta_code.host.locks import FileLock

SECONDS = 5.0


class Heartbeat:
    """Beats from a run's beginning to its end, as the journal tells them; a stopped or hung process falls silent."""

    def __init__(self, lock: FileLock, seconds: float = SECONDS) -> None:
        self._lock = lock
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def hear(self, events: Iterable[ev.Event]) -> None:
        """Take stored events into account; called on the event loop."""
        for event in events:
            match event:
                case ev.RunStarted() | ev.RunResumed():
                    self.stop()
                    self._beat()
                case ev.RunFinished() | ev.RunMoved():
                    self.stop()
                case _:
                    pass

    def _beat(self) -> None:
        if self._lock.held:
            with suppress(OSError):
                os.utime(self._lock.fileno())
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._beat)

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
