"""Strays: commands whose launcher was killed; they carry its mark in their environment, and are ended by that."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from contextlib import suppress

from letta_code.host.launcher import MARK

_ROUNDS = 5  # one may start another while the table is read


def end_strays(launcher: int, kept: Collection[int] = ()) -> int:
    """Kill what the launcher with that process id had started, but for the commands with the keys `kept`.

    Returns how many processes were killed; one that cleared its environment is not found, nor is any without /proc.
    """
    killed = 0
    for _ in range(_ROUNDS):
        found = [pid for pid in _pids() if (key := _key_of(pid, launcher)) is not None and key not in kept]
        if not found:
            break
        for pid in found:
            with suppress(OSError):  # it has ended by itself
                os.kill(pid, signal.SIGKILL)
        killed += len(found)
    return killed


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _key_of(pid: int, launcher: int) -> int | None:
    """The command that a living process belongs to, None when it is none of that launcher's."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # of a zombie it is empty
            _, found, rest = file.read().partition(MARK + str(launcher).encode() + b"-")
    except OSError:
        return None
    number = rest.partition(b"\0")[0]
    return int(number) if found and number.isdigit() else None
