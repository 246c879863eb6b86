"""Our own files: written whole or not at all, private, and never read without a limit."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import BinaryIO

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700


def ensure_private_dir(path: Path) -> None:
    """Make a folder and its missing parents, each 0700; folders that exist keep their mode (they may be another's).

    Raises `OSError`: no right to make it, no room, or something that is no folder stands there.
    """
    if path.is_dir():
        return
    if path.parent != path:
        ensure_private_dir(path.parent)
    # Another process may make it at the same moment; mkdir still refuses a file of that name.
    try:
        path.mkdir(mode=PRIVATE_DIR)
    except FileExistsError:
        if not path.is_dir():
            raise


def atomic_write(
    path: Path, data: bytes, *, mode: int | None = None, durable: bool = True, follow: bool = True
) -> None:
    """Replace a file's content; a reader or a crash sees the old or the new bytes, never a mixture.

    A symbolic link to a file is followed and stays one (people keep their dotfiles elsewhere) unless `follow` is false,
    which is for files that nobody keeps elsewhere: what a link leads to there is not ours.  A link to a device or pipe
    is replaced itself.  `mode` None keeps the bits of the file that is there, 0600 for a new one.  `durable` waits for
    the disk, folder entry included.  Raises `OSError` with the old file untouched and nothing left beside it.
    """
    target = _target(path) if follow else path
    temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, PRIVATE_FILE)
    try:
        try:
            write_all(descriptor, data)
            os.fchmod(descriptor, _mode_for(target) if mode is None else mode)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_dir(target.parent)


def _target(path: Path) -> Path:
    """The file that is replaced: never a device of the system, wherever somebody let our file lead to."""
    target = Path(os.path.realpath(path))
    with contextlib.suppress(OSError):
        kind = target.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            return path
    return target


def _mode_for(target: Path) -> int:
    try:
        found = target.lstat().st_mode
    except OSError:  # none yet
        return PRIVATE_FILE
    return stat.S_IMODE(found) if stat.S_ISREG(found) else PRIVATE_FILE  # a link that is replaced says nothing


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, going on after short writes; raises `OSError` when the disk takes no more."""
    view = memoryview(data)
    while view:
        written = os.write(descriptor, view)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]


def sync_dir(path: Path) -> None:
    """Make the entries of a folder durable (a new or renamed file survives a power loss only after this)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes.

    Never hangs on a FIFO or device and never reads more than the limit: both raise `OSError` (EINVAL, EFBIG).
    """
    # O_NONBLOCK: opening a FIFO without a writer would wait for one for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        parts: list[bytes] = []
        room = limit + 1
        while room > 0 and (part := os.read(descriptor, min(room, 1 << 20))):
            parts.append(part)
            room -= len(part)
    finally:
        os.close(descriptor)
    if room <= 0:
        raise OSError(errno.EFBIG, f"longer than {limit} bytes", str(path))
    return b"".join(parts)


def open_regular(path: Path) -> BinaryIO:
    """A regular file, open for reading.

    Never hangs on a FIFO and never reads a device: both raise `OSError` (EINVAL), as whatever else stops it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def append_line(path: Path, line: bytes) -> None:
    """Add one line (given without its newline) to a 0600 file that several processes append to.

    The line is there whole or not at all: what a full disk cut off is taken back.  Raises `OSError`, and `ValueError`
    when the line holds a newline.
    """
    if b"\n" in line:
        raise ValueError("a line must not hold a newline")
    # O_NONBLOCK: opening a FIFO that nobody reads would wait for ever.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, PRIVATE_FILE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        append_whole(descriptor, line + b"\n", os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def append_whole(descriptor: int, data: bytes, size: int) -> None:
    """Write to the end of an O_APPEND file of `size` bytes that the caller has locked; takes a part write back.

    One `os.write`, so that readers see whole lines.  Raises `OSError` with the file as it was.
    """
    written = -1
    try:
        written = os.write(descriptor, data)
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        if written > 0:
            os.ftruncate(descriptor, size)
        raise


def write_new(path: Path, data: bytes) -> None:
    """Make a 0600 file that must not exist yet; raises `FileExistsError`, `OSError` with nothing left behind."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, PRIVATE_FILE)
    try:
        write_all(descriptor, data)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)
