"""Foreground: a program that takes the terminal over for a while, such as an editor."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence


def run_in_foreground(argv: Sequence[str]) -> int:
    """Run a program on our terminal and wait for its end; its exit code, or minus the signal that ended it.

    Ctrl-C is the program's while it runs.  Raises `OSError` when it cannot be started.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pid = os.posix_spawnp(argv[0], list(argv), os.environ, setsigdef=[signal.SIGINT])
        _, status = os.waitpid(pid, 0)
    finally:
        signal.signal(signal.SIGINT, before)
    return os.waitstatus_to_exitcode(status)
