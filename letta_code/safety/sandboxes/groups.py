"""Groups: control groups of the kernel for confined commands, of either version, where we may make some."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import suppress

_ROOT = "/sys/fs/cgroup"
_NAME = "letta-code"


class Group:
    """One command's group: a folder in each hierarchy."""

    def __init__(self, folders: tuple[str, ...], holds_memory: bool) -> None:
        self.folders = folders
        self.holds_memory = holds_memory

    @property
    def joins(self) -> tuple[str, ...]:
        """Files into which a process writes its id to be in the group."""
        return tuple(f"{folder}/cgroup.procs" for folder in self.folders)

    def pids(self) -> list[int]:
        """Its processes."""
        return [int(pid) for pid in _read(f"{self.folders[0]}/cgroup.procs").split()]


class Groups:
    """Makes groups for one sandbox."""

    def __init__(self) -> None:
        self._parents: list[tuple[str, str]] | None = None  # controllers ("pids", "memory", "both") and folder
        self._numbers = itertools.count(1)
        self._ended: list[str] = []  # folders whose last processes were still going

    def make(self, *, threads: int, memory: int) -> Group | None:
        """A group with these limits; None where none can be made."""
        if self._parents is None:
            self._parents = list(_parents(_ROOT))
            for _, parent in self._parents:
                _sweep(parent)
        name = f"{_NAME}-{os.getpid()}-{id(self):x}-{next(self._numbers)}"
        made: list[str] = []
        held: set[str] = set()
        for controller, parent in self._parents:
            folder = f"{parent}/{name}"
            try:
                os.mkdir(folder)
                made.append(folder)
                if controller != "memory":
                    _write(f"{folder}/pids.max", threads)
                    held.add("pids")
                if controller != "pids":
                    _write(f"{folder}/memory.{'max' if controller == 'both' else 'limit_in_bytes'}", memory)
                    held.add("memory")
            except OSError:
                continue
        if "pids" in held:
            return Group(tuple(made), "memory" in held)
        self._remove(made)
        self._parents = []
        return None

    def drop(self, group: Group) -> None:
        """The command has ended; a folder in which something still dies goes with a later one."""
        self._remove([*group.folders])

    def close(self) -> None:
        """Remove what is left."""
        self._remove([])

    def _remove(self, folders: list[str]) -> None:
        waiting, self._ended = [*self._ended, *folders], []
        for folder in waiting:
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                continue
            except OSError:
                self._ended.append(folder)


def _parents(root: str) -> Iterator[tuple[str, str]]:
    """Where groups may be made: below our own in version 1, beside it in version 2 (a group holds either processes
    or groups there; the folder beside it is ours where systemd gave it to the person)."""
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("pids", "memory"):
            yield controllers, f"{root}/{controllers}{path.rstrip('/')}"
        elif not controllers and os.path.isfile(f"{root}/cgroup.controllers"):
            own = f"{root}{path}"
            yield "both", own if path == "/" else os.path.dirname(own)


def _sweep(parent: str) -> None:
    """Remove groups that killed processes of ours left."""
    with suppress(OSError):
        for name in os.listdir(parent):
            words = name.split("-")
            if name.startswith(f"{_NAME}-") and words[2].isdigit() and not os.path.exists(f"/proc/{words[2]}"):
                with suppress(OSError):
                    os.rmdir(f"{parent}/{name}")


def _write(path: str, number: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # never made: it is there where the controller is
    try:
        os.write(descriptor, str(number).encode())
    finally:
        os.close(descriptor)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
