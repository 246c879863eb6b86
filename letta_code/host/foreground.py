"""Foreground: a program that takes the terminal over for a while, such as an editor."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

KILL_SECONDS = 1.0  # between a signal that was passed on and the KILL of a program that does not care


def run_in_foreground(argv: Sequence[str]) -> int:
    """Run a program on our terminal and wait for its end; its exit code, or minus the signal that ended it.

    Ctrl-C is the program's while it runs, and Ctrl-Z stops both; a SIGTERM or SIGHUP of ours ends it first.  Raises
    `OSError` when it cannot be started.
    """
    pid = 0
    hurry = threading.Timer(KILL_SECONDS, lambda: _signal(pid, signal.SIGKILL))
    hurry.daemon = True

    def pass_on(number: int, frame: FrameType | None) -> None:
        _signal(pid, number)
        if not hurry.is_alive():
            with suppress(RuntimeError):  # the second signal: it has been started
                hurry.start()
        then = before[number]
        if callable(then):
            then(number, frame)

    wanted = {signal.SIGINT: signal.SIG_IGN, signal.SIGTSTP: signal.SIG_DFL, signal.SIGCONT: signal.SIG_DFL}
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (*wanted, signal.SIGTERM, signal.SIGHUP)}
    for number, handler in wanted.items():
        signal.signal(number, handler)
    try:
        pid = os.posix_spawnp(argv[0], list(argv), os.environ, setsigdef=[signal.SIGINT])
        for number in (signal.SIGTERM, signal.SIGHUP):
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, pass_on)
        _, status = os.waitpid(pid, 0)
    finally:
        hurry.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
    return os.waitstatus_to_exitcode(status)


def _signal(pid: int, number: int) -> None:
    if pid:
        with suppress(OSError):
            os.kill(pid, number)
