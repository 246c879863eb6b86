"""Limits: how much one confined command may use, and how it is found out that it uses more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from letta_code.core.messages import Value
from letta_code.safety.sandboxes.groups import Group

_GB = 1_000_000_000


class Limits(Value):
    """Of one command with all it starts: processes, bytes written, and bytes of memory where the kernel does not hold
    it; threads and memory of all commands of the session together where control groups can be made.

    The former are seen by looking every 200 ms, so a command can be over a limit that long before it is killed.  What
    is written counts when it is written, also where it is removed again.
    """

    processes: int = 2_000
    threads: int = 10_000
    memory: int = 0  # 0: four fifths of the machine's
    written: int = 20 * _GB  # never more than half of what is free in the work tree when the command starts


class Meter:
    """Knows what the commands of one sandbox may use; one for all of them."""

    def __init__(self, limits: Limits, tree: str) -> None:
        self._limits = limits
        self._tree = tree
        self._memory = limits.memory or _memory() * 4 // 5
        self.group = Group(threads=limits.threads, memory=self._memory)

    def inside(self, argv: list[str]) -> list[str]:
        """The command, its threads limited by rlimit too: it counts those of the sandbox's own user namespace.

        For root the kernel does not look at it.
        """
        if os.geteuid() == 0:
            return argv
        text = f'ulimit -u {self._limits.threads} 2>/dev/null; exec "$@"'
        return ["/bin/sh", "-c", text, "sh", *argv]

    def watch(self) -> Callable[[int], str]:
        """For one command that starts now: asked with its process, says which limit it has passed, "" for none."""
        most_written = min(self._limits.written, _free(self._tree) // 2)
        return lambda pid: self._exceeded(pid, most_written)

    def _exceeded(self, pid: int, most_written: int) -> str:
        most = self._limits.processes
        pids = list(_tree(pid, most + 10))
        if len(pids) > most:
            return f"it had more than {most:,} processes at the same time."
        if sum(map(_bytes_written, pids)) > most_written:
            return f"it wrote more than {_amount(most_written)} to the disk."
        if not self.group.holds_memory and sum(map(_private_memory, pids)) > self._memory:
            return f"it used more than {_amount(self._memory)} of memory."
        return ""

    def close(self) -> None:
        """Nothing runs any more."""
        self.group.close()


def _tree(pid: int, most: int) -> Iterator[int]:
    """A process and all below it, `most` at most."""
    waiting, seen = [pid], 0
    while waiting and seen < most:
        one = waiting.pop()
        seen += 1
        yield one
        try:
            threads = os.listdir(f"/proc/{one}/task")
        except OSError:
            continue
        for thread in threads:
            waiting += [int(child) for child in _read(f"/proc/{one}/task/{thread}/children").split()]


def _bytes_written(pid: int) -> int:
    """Bytes that a process and the children it has waited for gave to disks, less what was taken back in time."""
    fields = dict(line.split(": ", 1) for line in _read(f"/proc/{pid}/io").splitlines() if ": " in line)
    return int(fields.get("write_bytes", 0)) - int(fields.get("cancelled_write_bytes", 0))


def _private_memory(pid: int) -> int:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free(folder: str) -> int:
    try:
        status = os.statvfs(folder)
    except OSError:
        return 1_000 * _GB
    return status.f_bavail * status.f_frsize


def _amount(count: int) -> str:
    return f"{count / _GB:.1f} GB" if count >= _GB // 10 else f"{count // 1_000_000} MB"


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
