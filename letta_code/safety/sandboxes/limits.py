"""Limits: how much one confined command may use, and how it is found out that it uses more."""

from __future__ import annotations

import os
from collections.abc import Iterator

from letta_code.core.messages import Value
from letta_code.safety.sandboxes.groups import Group, Groups

_GB = 1_000_000_000


class Limits(Value):
    """Of one command with all it starts: processes, processes and threads together, bytes of memory, bytes written.

    More processes, memory without a control group, and bytes are seen by looking every 200 ms, so a command can be
    over a limit that long before it is killed; threads and memory are held by the kernel where control groups can be
    written, threads by its rlimit elsewhere.  What is written counts when it is written, also where it is removed.
    """

    processes: int = 2_000
    threads: int = 10_000
    memory: int = 0  # 0: four fifths of the machine's
    written: int = 20 * _GB  # never more than half of what is free in the work tree when the command starts


class Meter:
    """Knows what one command uses; `join` are the words that start it under the limits."""

    def __init__(self, limits: Limits, groups: Groups, tree: str) -> None:
        self._limits = limits
        self._memory = limits.memory or _memory() * 4 // 5
        self._written = min(limits.written, _free(tree) // 2)
        self._groups = groups
        self._group: Group | None = groups.make(threads=limits.threads, memory=self._memory)

    def around(self, argv: list[str]) -> list[str]:
        """The command of the sandbox, put into its control group first."""
        if self._group is None:
            return argv
        # A shell of 1 ms joins before anything can be started; it cannot be done from outside without a gap.
        text = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done 2>/dev/null; shift; exec "$@"'
        return ["/bin/sh", "-c", text, "sh", *self._group.joins, "--", *argv]

    def inside(self, argv: list[str]) -> list[str]:
        """The command itself, its threads limited by rlimit too: it counts those of the sandbox's user namespace.

        For root the kernel does not look at it.
        """
        if os.geteuid() == 0:
            return argv
        text = f'ulimit -u {self._limits.threads} 2>/dev/null; exec "$@"'
        return ["/bin/sh", "-c", text, "sh", *argv]

    def exceeded(self, pid: int) -> str:
        """Which limit is passed, as a sentence for model and person; "" while none is."""
        most = self._limits.processes
        grouped = self._group.pids() if self._group is not None else []
        pids = grouped or list(_tree(pid, most + 10))  # a group that could not be joined is empty
        held = bool(grouped) and self._group is not None and self._group.holds_memory
        if len(pids) > most:
            return f"it had more than {most:,} processes at the same time."
        written, memory = 0, 0
        for one in pids:
            written += _bytes_written(one)
            if not held:
                memory += _private_memory(one)
        if written > self._written:
            return f"it wrote more than {_amount(self._written)} to the disk."
        if memory > self._memory:
            return f"it used more than {_amount(self._memory)} of memory."
        return ""

    def close(self) -> None:
        """The command has ended."""
        if self._group is not None:
            self._groups.drop(self._group)


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
