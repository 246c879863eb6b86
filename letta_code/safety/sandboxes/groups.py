"""Groups: control groups of the kernel for confined commands, of either version, where we may make them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress

_ROOT = "/sys/fs/cgroup"
_NAME = "letta-code"
_TRIES = 30


class Group:
    """The control group of a session's commands: who starts them is put into it, and they are born in it.

    To put each command into one as it starts would cost it 9 ms: the kernel waits for all of its processors then.
    """

    def __init__(self, *, threads: int, memory: int) -> None:
        self._limits = (threads, memory)
        self._folders: list[str] = []
        self._made = False
        self._limits_memory = False

    @property
    def joins(self) -> tuple[str, ...]:
        """Files into which a process id is written to put it into the group; none where none can be made."""
        if not self._made:
            self._made = True
            self._make()
        return tuple(f"{folder}/cgroup.procs" for folder in self._folders)

    @property
    def holds_memory(self) -> bool:
        """Whether the kernel holds memory to the limit: the group has it, and could be joined."""
        return self._limits_memory and _read(f"{self._folders[-1]}/cgroup.procs") != ""

    def _make(self) -> None:
        threads, memory = self._limits
        name = f"{_NAME}-{os.getpid()}-{id(self):x}"
        for controller, parent in _parents(_ROOT):
            _sweep(parent)
            folder = f"{parent}/{name}"
            try:
                os.mkdir(folder)
                self._folders.append(folder)
                if controller != "memory":
                    _write(f"{folder}/pids.max", threads)
                if controller != "pids":
                    _write(f"{folder}/memory.{'max' if controller == 'both' else 'limit_in_bytes'}", memory)
                    self._limits_memory = True
            except OSError:
                continue

    def close(self) -> None:
        """Remove it; where something in it still lives, a later session of ours does."""
        for _ in range(_TRIES):  # the kernel takes a moment to let go of what was killed just now
            self._folders = [folder for folder in self._folders if not _removed(folder)]
            if not self._folders:
                return
            time.sleep(0.01)


def _removed(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


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
