"""Driver: textual's driver for a terminal that can be taken away, given back, or be gone."""

from __future__ import annotations

import os
import signal
import termios
import threading
from contextlib import suppress
from typing import IO, Any, cast

from textual.app import App
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Event

from letta_code.host.hangup import hung_up

# Modes off, alternate screen left, cursor shown.
_RESET = b"\x1b[?2004l\x1b[?7h\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[<u\x1b[?1049l\x1b[?25h"
_TRIES = 50  # to come back to a terminal that says no


class TerminalGone(Event):
    """Nobody is at the other end of the terminal any more."""


class TerminalDriver(LinuxDriver):
    """Textual's driver, without its faults around stops and ends.

    Textual 8.2 reads a dead terminal in a busy loop, blocks for ever when a write to it has failed, enters application
    mode twice (and then takes raw for what was before) when something else than itself stopped the process, and
    handles both signals between any two instructions, so that a stop in the middle of a write never ends.  Here both
    are handled on the event loop.
    """

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._told = False
        self._stopped_by_us = False
        self._file = cast(Any, _Output(self._file, self._gone))
        self.exit_event = _Exit(self.fileno)
        self._loop.add_signal_handler(signal.SIGTSTP, self._stop)
        self._loop.add_signal_handler(signal.SIGCONT, self._continued)

    def run_input_thread(self) -> None:
        """Read until we are told to stop, or nobody types there any more."""
        with suppress(OSError):
            super().run_input_thread()
        if not cast(_Exit, self.exit_event).asked:
            self._gone()

    def _gone(self) -> None:
        """Called on any thread, any number of times; told once."""
        if not self._told:
            self._told = True
            with suppress(RuntimeError):  # the loop has ended: so has the app
                self.send_message(TerminalGone())

    def give_back(self) -> None:
        """The terminal's settings as they were, for an end that cannot wait for anything else."""
        with suppress(OSError, termios.error):
            if self.attrs_before is not None:
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
        with suppress(OSError):
            os.set_blocking(self._file.fileno(), False)
            os.write(self._file.fileno(), _RESET)

    # ------------------------------------------------------------ stop and go on

    def _stop(self) -> None:
        """Stop as the kernel would: all of our process group, and not where no shell could bring it back."""
        if self._auto_restart:
            self.suspend_application_mode()
            self._stopped_by_us = True
        stop_group()
        if self._auto_restart:
            self._come_back()

    def _continued(self) -> None:
        """SIGCONT: after a stop of ours nothing is left to do; after another's the terminal is the shell's."""
        if self._stopped_by_us:
            self._stopped_by_us = False
        elif self._auto_restart:
            self.suspend_application_mode()
            self._come_back()

    def _come_back(self) -> None:
        self._must_signal_resume = True
        for _ in range(_TRIES):  # `bg` continues us where the terminal is another's: we are stopped again inside
            self.resume_application_mode()
            if self._writer_thread is not None and self._writer_thread.is_alive():
                return
        # The terminal says no for good. What is still written goes nowhere, but must not block.
        self._writer_thread = WriterThread(cast(Any, self._file))
        self._writer_thread.start()
        self._gone()


def stop_group() -> None:
    """Stop our process group until somebody continues it; at once back where it is orphaned."""
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    try:
        os.kill(0, signal.SIGTSTP)
    finally:
        signal.signal(signal.SIGTSTP, before)


class _Exit(threading.Event):
    """Tells the input thread to end: it was asked to, or its terminal has hung up."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    @property
    def asked(self) -> bool:
        """Whether it was asked to."""
        return super().is_set()

    def is_set(self) -> bool:
        """Whether to end, for either reason."""
        return super().is_set() or hung_up(self._descriptor)


class _Output:
    """The terminal as a file: after the first write that fails nothing is written, so that nobody waits for it."""

    def __init__(self, file: IO[str], gone: Any) -> None:
        self._to = file
        self._gone = gone
        self._dead = False

    def write(self, text: str) -> int:
        """Write, or drop."""
        self._do(lambda: self._to.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        self._do(self._to.flush)

    def fileno(self) -> int:
        """The terminal's descriptor."""
        return self._to.fileno()

    def isatty(self) -> bool:
        """Whether it is one."""
        return self._to.isatty()

    def _do(self, work: Any) -> None:
        if self._dead:
            return
        try:
            work()
        except BlockingIOError:  # some program left the terminal non-blocking; what was written waits in the buffer
            os.set_blocking(self.fileno(), True)
        except (OSError, ValueError):
            self._dead = True
            self._gone()
