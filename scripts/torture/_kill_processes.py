"""Processes as the kernel tells of them: who was started by whom, an end by SIGKILL, and who is left after it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LEFT_SECONDS = 3.0  # what a dead process had started is gone after that


class Process(NamedTuple):
    """One process: `started` is the kernel's tick, so that a number that was given again is not taken for it."""

    pid: int
    parent: int
    started: int
    command: str

    @property
    def is_worker(self) -> bool:
        """Whether it is meant to outlive whoever started it."""
        return self.command.endswith("letta_code worker")


def process(pid: int) -> Process | None:
    """A living process; None when it is gone (or a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name may hold anything, brackets too
    if fields[0] in ("Z", "X"):
        return None
    words = command.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    return Process(pid, int(fields[1]), int(fields[19]), words)


def below(pid: int) -> list[Process]:
    """What a process started, and what those started; not its workers, and nothing of theirs."""
    children: dict[int, list[Process]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (found := process(int(name))) is not None:
            children.setdefault(found.parent, []).append(found)
    tree: list[Process] = []
    todo = [pid]
    while todo:
        for child in children.get(todo.pop(), ()):
            if not child.is_worker:
                tree.append(child)
                todo.append(child.pid)
    return tree


def kill(pid: int) -> list[Process]:
    """End a process in the middle; what it had started.  It is stopped first, so that nothing is missed."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        tree = below(pid)
        os.kill(pid, signal.SIGKILL)
        return tree
    return []


def launcher_of(pid: int) -> Process | None:
    """The process that starts the commands of a letta-code process."""
    return next((one for one in below(pid) if one.parent == pid and "launcher.py" in one.command), None)


def wait_gone(pid: int, seconds: float = 10.0) -> bool:
    """Wait until a killed process is really gone."""
    end = time.monotonic() + seconds
    while process(pid) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


class Remains:
    """What dead processes had started, looked at again when it should have ended."""

    def __init__(self, find: Callable[[str, str], None]) -> None:
        self._find = find
        self._due: list[tuple[float, str, Process]] = []
        self._lock = threading.Lock()

    def add(self, where: str, processes: list[Process]) -> None:
        """These must be gone soon."""
        due = time.monotonic() + LEFT_SECONDS
        with self._lock:
            self._due += [(due, where, one) for one in processes]

    def look(self, *, wait: bool = False) -> None:
        """Look at what is due; with `wait` at everything."""
        with self._lock:
            if wait and self._due:
                time.sleep(max(0.0, max(due for due, _, _ in self._due) - time.monotonic()))
            now = time.monotonic()
            past = [one for one in self._due if one[0] <= now]
            self._due = [one for one in self._due if one[0] > now]
        for _, where, one in past:
            left = process(one.pid)
            if left is not None and left.started == one.started and not left.is_worker:
                self._find("left over", f"{where}: process {left.pid}, {left.command[:100]}")
                with suppress(ProcessLookupError):
                    os.kill(left.pid, signal.SIGKILL)
