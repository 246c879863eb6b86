"""Bringing files back: by temporary file and rename, below the root only, and never over what no snapshot holds."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from letta_code.host.files import write_all
from letta_code.host.git_objects import blob_name

LINK, PLAIN, PROGRAM, NOTHING = "120000", "100644", "100755", "000000"
TEMPORARY = re.compile(rb"\.letta-restore-[0-9a-f]{16}\.tmp")  # of a restore that was killed
_LARGEST = 1 << 30  # bytes of a file that are compared: more than any snapshot holds
_PASS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class State(NamedTuple):
    """What a path is: git's mode (000000 for nothing), the name of its content, permission bits (-1: not known)."""

    mode: str
    blob: str
    bits: int = -1

    def same(self, other: State) -> bool:
        """Whether nothing that both know differs."""
        return self[:2] == other[:2] and (self.bits == other.bits or -1 in (self.bits, other.bits))


class Step(NamedTuple):
    """One path to be changed: what it must be now, and what it becomes."""

    path: bytes
    now: State
    then: State


ABSENT = State(NOTHING, "0" * 40)


class Refused(OSError):
    """A path is left alone; the text says why."""


def steps_of(output: bytes) -> list[Step]:
    """`diff-tree -r -z --raw --no-abbrev`: what turns the one tree into the other."""
    fields = output.split(b"\0")
    steps: list[Step] = []
    for head, path in zip(fields[::2], fields[1::2], strict=False):
        old_mode, new_mode, old, new, _ = head.decode("ascii").lstrip(":").split(" ")
        steps.append(Step(path, State(old_mode, old), State(new_mode, new)))
    return steps


class Blobs:
    """Contents from a running `git cat-file --batch`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._asks, self._answers = process.stdin, process.stdout

    def read(self, blob: str) -> bytes:
        """The content; raises `Refused` when the store does not have it whole."""
        try:
            self._asks.write(blob.encode() + b"\n")
            self._asks.flush()
            head = self._answers.readline().split()
            if len(head) != 3 or head[1] != b"blob":
                raise Refused(errno.EIO, "its content is missing in the store of snapshots")
            size = int(head[2])
            content = self._answers.read(size + 1)[:-1]
        except (BrokenPipeError, ValueError) as error:
            raise Refused(errno.EIO, "the store of snapshots cannot be read") from error
        if len(content) != size:
            raise Refused(errno.EIO, "its content is damaged in the store of snapshots")
        return content


class Tree:
    """The work tree below `root`, as descriptors: no link on the way is ever followed."""

    def __init__(self, root: str, blobs: Blobs) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._blobs = blobs
        self._folder: tuple[bytes, int] | None = None  # the one used last: steps come sorted

    def close(self) -> None:
        """Give the descriptors back."""
        self._forget()
        os.close(self._root)

    def _forget(self) -> None:
        if self._folder is not None:
            os.close(self._folder[1])
            self._folder = None

    def remove(self, step: Step) -> bool:
        """Remove a file that is as the step says; False when nothing was there.  Raises `OSError`."""
        above, name = os.path.split(step.path)
        try:
            folder = self._open(above, make=False)
            found = _state(folder, name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if found == ABSENT:
            return False
        _expect(found, step.now)
        os.unlink(name, dir_fd=folder)
        return True

    def remove_empty(self, folders: Iterable[bytes]) -> None:
        """Remove those of the folders that are empty; the deepest first."""
        self._forget()
        for path in sorted(folders, key=lambda path: path.count(b"/"), reverse=True):
            above, name = os.path.split(path)
            with suppress(OSError):  # not empty: what is in it stays
                os.rmdir(name, dir_fd=self._open(above, make=False))
            self._forget()

    def write(self, step: Step) -> bool:
        """Make a path what the step says; False when it is so already.  Raises `OSError` with nothing half done."""
        above, name = os.path.split(step.path)
        folder = self._open(above, make=True)
        found = _state(folder, name)
        if found.same(step.then):
            return False
        _expect(found, step.now)
        if step.then.mode != LINK and found.blob == step.then.blob and found.mode in (PLAIN, PROGRAM):
            self._set_mode(folder, name, step.then)
        else:
            self._put(folder, name, step.then)
        return True

    def make(self, path: bytes) -> None:
        """Make a folder where nothing is; raises `OSError`."""
        self._open(path, make=True)

    def _set_mode(self, folder: int, name: bytes, then: State) -> None:
        descriptor = os.open(name, _READ, dir_fd=folder)
        try:
            bits = then.bits if then.bits >= 0 else _bits(os.fstat(descriptor).st_mode, then.mode)
            os.fchmod(descriptor, bits)
        finally:
            os.close(descriptor)

    def _put(self, folder: int, name: bytes, then: State) -> None:
        content = self._blobs.read(then.blob)
        temporary = b".letta-restore-%s.tmp" % os.urandom(8).hex().encode()
        try:
            if then.mode == LINK:
                os.symlink(content, temporary, dir_fd=folder)
            else:
                bits = then.bits if then.bits >= 0 else _wanted_bits(folder, name, then.mode)
                self._fill(folder, temporary, content, bits)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise

    def _fill(self, folder: int, name: bytes, content: bytes, bits: int | None) -> None:
        private = bits is not None and bits >= 0  # others never see it before its rights are set
        descriptor = os.open(name, _NEW, 0o600 if private else 0o666, dir_fd=folder)  # less the umask
        try:
            write_all(descriptor, content)
            if bits is not None:
                os.fchmod(descriptor, bits if bits >= 0 else _bits(os.fstat(descriptor).st_mode, PROGRAM))
        finally:
            os.close(descriptor)

    def _open(self, path: bytes, *, make: bool) -> int:
        """The folder at `path`; no part of it may be a link."""
        if not path:
            return self._root
        if self._folder is not None and self._folder[0] == path:
            return self._folder[1]
        self._forget()
        folder = os.dup(self._root)
        try:
            for part in path.split(b"/"):
                inner = _enter(folder, part, make=make)
                os.close(folder)
                folder = inner
        except BaseException:
            os.close(folder)
            raise
        self._folder = (path, folder)
        return folder


def _enter(folder: int, name: bytes, *, make: bool) -> int:
    if name in (b"", b".", b".."):
        raise Refused(errno.EINVAL, "its path leads out of the folder")
    try:
        return os.open(name, _PASS, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
        return os.open(name, _PASS, dir_fd=folder)
    except OSError as error:
        if make and error.errno in (errno.ENOTDIR, errno.ELOOP):
            shown = name.decode("utf-8", "backslashreplace")
            raise Refused(errno.ENOTDIR, f"{shown} on its way is a link or a file now") from error
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
        raise


def _state(folder: int, name: bytes) -> State:
    """What is at a name; raises `Refused` for what is neither file nor link."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return ABSENT
    if stat.S_ISLNK(status.st_mode):
        return State(LINK, blob_name(os.readlink(name, dir_fd=folder)))
    if stat.S_ISDIR(status.st_mode):
        raise Refused(errno.EISDIR, "a folder with files that no snapshot holds is there")
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
        raise Refused(errno.EINVAL, "something that no snapshot holds is there")
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            content = file.readall() if stat.S_ISREG(status.st_mode) else b""
    finally:
        os.close(descriptor)
    mode = PROGRAM if status.st_mode & 0o100 else PLAIN
    return State(mode, blob_name(content), stat.S_IMODE(status.st_mode) & 0o777)


def _expect(found: State, now: State) -> None:
    if found.same(now):
        return
    if now == ABSENT:
        raise Refused(errno.EEXIST, "a file that no snapshot holds is there (ignored, too large, or new)")
    raise Refused(errno.EBUSY, "it changed after the snapshot was taken")


def _bits(old: int, mode: str) -> int:
    """Permission bits with or without the right to run, for those who may read."""
    plain = stat.S_IMODE(old) & 0o666
    return plain | (plain & 0o444) >> 2 if mode == PROGRAM else plain


def _wanted_bits(folder: int, name: bytes, mode: str) -> int | None:
    """Bits for a file that replaces another; None (-1 for a program) for those of any new file."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        status = None
    if status is not None and stat.S_ISREG(status.st_mode):
        return _bits(status.st_mode, mode)
    return -1 if mode == PROGRAM else None
