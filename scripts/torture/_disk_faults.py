"""A disk that fails on order: every write of this process below a folder is counted, and one of them made to fail.

The seam is the operating system's own: the functions of `os` that change files, and SQLite's file layer (a VFS of
apsw).  letta-code itself has no line for it.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from typing import Any

import apsw

# full: from that write on there is no room until somebody makes some; eio: that one write fails; short: half of it is
# written, then there is no room; fsync: that write is the first fsync from there on, which fails once.
KINDS = ("full", "eio", "short", "fsync")


class Disk:
    """Counts the writes below `root`; fails the one that `arm` names.  Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._root = ""
        self._kind = ""
        self._at = 0
        self._where = ""
        self.count = 0  # of the writes to where the fault is to be
        self.full = False  # whether there is no room just now
        self.struck: list[str] = []  # what failed: the operation and the path
        self.places: list[str] = []  # where each write went

    def watch(self, root: str) -> None:
        """Begin anew with another folder, without a fault."""
        with self._guard:
            self._root, self._kind, self._at, self._where = root, "", 0, ""
            self.count, self.full, self.struck = 0, False, []
            self.places = []

    def arm(self, kind: str, at: int, where: str) -> None:
        """Let the write of that number fail, counted from 1 among those whose path holds `where`."""
        with self._guard:
            self._kind, self._at, self._where = kind, at, where

    def make_room(self) -> None:
        """There is room again, and the disk is well."""
        with self._guard:
            self._kind, self.full = "", False

    def ask(self, operation: str, path: str, *, takes_room: bool = True) -> int:
        """Count one write; 0 where it may be done, else the error it fails with, -1 for a short one."""
        if not self._root or not path.startswith(self._root):
            return 0
        with self._guard:
            self.count += self._where in path[len(self._root) :]
            self.places.append(path[len(self._root) :])
            struck = self._struck(operation, takes_room)
            if struck:
                self.struck.append(f"{operation} {path[len(self._root) :]}")
            return struck

    def _struck(self, operation: str, takes_room: bool) -> int:
        if self.full:
            return errno.ENOSPC if takes_room else 0
        if not self._kind or self.count < self._at:
            return 0
        match self._kind:
            case "full" if takes_room:
                self.full = True
                return errno.ENOSPC
            case "short" if operation.endswith("write"):
                self.full = True
                return -1
            case "eio":
                self._kind = ""
                return errno.EIO
            case "fsync" if operation.endswith("sync"):
                self._kind = ""
                return errno.EIO
            case _:
                return 0


DISK = Disk()


def _place(target: Any, folder: int | None = None) -> str:
    """The path that an operation goes to, given as a descriptor, a path, or a name in an open folder."""
    if isinstance(target, int):
        try:
            return os.readlink(f"/proc/self/fd/{target}")
        except OSError:
            return ""
    path = os.fsdecode(target)
    if folder is not None and not path.startswith("/"):
        return f"{_place(folder)}/{path}"
    return os.path.abspath(path)


def _fail(code: int, path: Any) -> None:
    if code:
        code = errno.ENOSPC if code < 0 else code
        raise OSError(code, os.strerror(code), None if isinstance(path, int) else path)


def _writing(name: str) -> None:
    real: Callable[..., Any] = getattr(os, name)

    def write(descriptor: int, data: Any, *more: Any) -> int:
        code = DISK.ask(name, _place(descriptor))
        if code < 0 and len(data) > 1:
            return real(descriptor, bytes(data)[: len(data) // 2], *more)
        _fail(code, descriptor)
        return real(descriptor, data, *more)

    setattr(os, name, write)


def _simple(name: str, *, takes_room: bool, folder: str = "", last: bool = False) -> None:
    """Replace a function whose first argument (`last`: its second) is what it changes."""
    real: Callable[..., Any] = getattr(os, name)

    def call(*args: Any, **named: Any) -> Any:
        path = _place(args[1 if last else 0], named.get(folder) if folder else None)
        _fail(DISK.ask(name, path, takes_room=takes_room), args[0])
        return real(*args, **named)

    setattr(os, name, call)


def _opening() -> None:
    real = os.open

    def opened(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT:
            where = _place(path, dir_fd)
            if not os.path.lexists(where):
                _fail(DISK.ask("create", where), path)
        return real(path, flags, mode, dir_fd=dir_fd)

    os.open = opened


class _Files(apsw.VFS):
    """SQLite's files, which ask the disk before they write."""

    def __init__(self) -> None:
        super().__init__("failing", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(name, flags)


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else (name or "")
        self._path = str(path)
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        code = DISK.ask("sqlite write", self._path)
        if code < 0:
            super().xWrite(data[: len(data) // 2], offset)
        _sqlite_fails(code, apsw.SQLITE_IOERR_WRITE)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        _sqlite_fails(DISK.ask("sqlite truncate", self._path, takes_room=False), apsw.SQLITE_IOERR_TRUNCATE)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        _sqlite_fails(DISK.ask("sqlite sync", self._path, takes_room=False), apsw.SQLITE_IOERR_FSYNC)
        super().xSync(flags)


def _sqlite_fails(code: int, otherwise: int) -> None:
    if code:
        raise apsw.exception_for(apsw.SQLITE_FULL if code in (-1, errno.ENOSPC) else otherwise)


_FILES: list[_Files] = []  # a VFS lives as long as its object


def install() -> None:
    """From now on this process writes through the disk that fails on order; it does nothing until told to watch."""
    if _FILES:
        return
    for name in ("write", "pwrite"):
        _writing(name)
    _simple("fsync", takes_room=False)
    _simple("ftruncate", takes_room=False)
    _simple("mkdir", takes_room=True, folder="dir_fd")
    _simple("replace", takes_room=False, folder="dst_dir_fd", last=True)
    _simple("rename", takes_room=False, folder="dst_dir_fd", last=True)
    _simple("link", takes_room=True, folder="dst_dir_fd", last=True)
    _simple("symlink", takes_room=True, folder="dir_fd", last=True)
    _opening()
    _FILES.append(_Files())
