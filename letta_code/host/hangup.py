"""Hangup: what a process does whose terminal has gone away."""

from __future__ import annotations

import os
import select
import signal


def hung_up(descriptor: int) -> bool:
    """Whether nobody is at the other end of a terminal (or pipe) any more; reads from it end at once, for ever."""
    poll = select.poll()
    poll.register(descriptor, select.POLLHUP)
    try:
        return any(what & (select.POLLHUP | select.POLLNVAL) for _, what in poll.poll(0))
    except OSError:
        return True


def let_go() -> None:
    """Go on without the terminal: what of stdin, stdout and stderr has hung up is /dev/null, SIGHUP is ignored.

    A dead terminal's reads end at once and its writes fail: whoever still used it would spin or die of it.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        if hung_up(descriptor):
            os.dup2(null, descriptor)
    if null > 2:
        os.close(null)
