"""Signals that end the full screen: heard on the event loop, and also when that is stuck in a terminal nobody reads."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable

# The promise is that nothing is left 3 s after a signal; the launcher needs the rest.
PATIENCE = 2.4


class EndSignals:
    """SIGINT, SIGTERM and SIGHUP.  A SIGHUP that was ignored when we started (nohup) stays ignored.

    `on_signal` is called on the event loop, each time.  `on_first` and, so many seconds after it, `on_late` are called
    on a thread of their own, once: for the process that is still there because its event loop is not.  `waits` says
    (on that thread) that a signal is no reason to end.
    """

    def __init__(
        self,
        on_signal: Callable[[int], None],
        *,
        waits: Callable[[int], bool],
        on_first: Callable[[], None],
        on_late: Callable[[int], None],
        patience: float = PATIENCE,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_signal = on_signal
        self._waits = waits
        self._on_first = on_first
        self._on_late = on_late
        self._patience = patience
        # A handler may run between any two instructions: writing a byte is all that it does.
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._came)
        threading.Thread(target=self._listen, name="end-signals", daemon=True).start()

    def _came(self, number: int, _frame: object) -> None:
        os.write(self._write, bytes([number]))

    def _listen(self) -> None:
        first = True
        while heard := os.read(self._read, 1):
            number = heard[0]
            ending = first and not self._waits(number)
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._on_signal, number)
            if ending:
                first = False
                threading.Thread(target=self._hurry, args=(number,), name="end-late", daemon=True).start()

    def _hurry(self, number: int) -> None:
        self._on_first()
        time.sleep(self._patience)
        self._on_late(number)
