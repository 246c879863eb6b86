"""Signals of a headless run: the first asks the run to stop, the second ends the process at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import NoReturn

# What is still under way this long after the first signal is left to the next resume.
PATIENCE = 1.9


class Signals:
    """SIGHUP, SIGINT and SIGTERM.  One that was ignored when we started (nohup, `&`) stays ignored."""

    def __init__(
        self,
        on_first: Callable[[], None],
        on_last: Callable[[], None] = lambda: None,
        on_hangup: Callable[[], None] | None = None,
    ) -> None:
        """`on_first` is called on the event loop, once.  Must be made on a running event loop.

        With `on_hangup` a SIGHUP ends nothing: that is called instead, on the event loop.

        `on_last` is called right before the process is ended in the middle, perhaps on another thread; it must be
        short and not raise.
        """
        self.number = 0
        self._on_last = on_last
        self._on_first = on_first
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is signal.SIG_IGN:
                continue
            if number == signal.SIGHUP and on_hangup is not None:
                loop.add_signal_handler(number, on_hangup)
            else:
                loop.add_signal_handler(number, self._came, number)

    @property
    def exit_code(self) -> int:
        """128 + the first signal, 0 while none came."""
        return 128 + self.number if self.number else 0

    def _came(self, number: int) -> None:
        if self.number:
            self._end()
        self.number = number
        threading.Thread(target=self._watch, name="signal-watch", daemon=True).start()
        self._on_first()

    def _watch(self) -> NoReturn:
        time.sleep(PATIENCE)
        self._end()

    def _end(self) -> NoReturn:
        try:
            self._on_last()
        finally:
            os._exit(128 + self.number)
