"""Locks between processes: kernel flocks, free at once when their owner dies; who holds one is information only."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

import msgspec

from letta_code.core.ids import utc_now
from letta_code.core.messages import Value
from letta_code.host.files import ensure_private_dir, read_bounded


class Owner(Value, frozen=True):
    """Which process: its id alone may be used again, `boot` and `started` tell it from a later one.

    `started` is the kernel's start tick (0 where the system does not tell), `since` the UTC time of taking the lock,
    `what` what it is (tui, headless …).
    """

    pid: int
    boot: str = ""
    started: int = 0
    host: str = ""
    since: str = ""
    what: str = ""

    def described(self) -> str:
        """As a person reads it: `process 4711 (tui) since 2026-11-21T08:15:30.123Z`."""
        what = f" ({self.what})" if self.what else ""
        host = f" on {self.host}" if self.host and self.host != os.uname().nodename else ""
        return f"process {self.pid}{what}{host} since {self.since or 'an unknown time'}"


def this_process(what: str = "") -> Owner:
    """The identity of the process that calls."""
    pid = os.getpid()
    return Owner(
        pid=pid, boot=_boot_id(), started=_start_tick(pid), host=os.uname().nodename, since=utc_now(), what=what
    )


def is_alive(owner: Owner) -> bool | None:
    """Does that very process still run?  None when this machine cannot know (another host, no start times)."""
    if owner.host != os.uname().nodename:
        return None
    if owner.boot != _boot_id():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, as somebody else
    tick = _start_tick(owner.pid)
    return None if not tick or not owner.started else tick == owner.started


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""  # no /proc (macOS): pids alone must do


def _start_tick(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        return int(text[text.rindex(")") + 2 :].split()[19])  # the name in brackets may hold spaces
    except (OSError, ValueError, IndexError):
        return 0


class LockTimeout(OSError):
    """The lock was held by another for the whole waiting time; `owner` is who, as far as known."""

    def __init__(self, path: Path, owner: Owner | None) -> None:
        holder = owner.described() if owner else "another process"
        super().__init__(errno.EAGAIN, f"locked by {holder}", str(path))
        self.owner = owner


class FileLock:
    """An exclusive lock on a file that is made when missing; who holds it never removes it.

    Removing it would let two processes hold "the" lock on two files of one name.  The file's content is the owner as
    JSON, for people and messages: authority is the kernel's lock alone.  Two locks of one process exclude each other
    as well.  Usable as a context manager (waits without limit).
    """

    def __init__(self, path: Path, *, what: str = "") -> None:
        self.path = path
        self._what = what
        self._descriptor = -1

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor >= 0

    def fileno(self) -> int:
        """The descriptor, to be handed to children that hold the lock as long as they run; -1 when it is not held."""
        return self._descriptor

    def try_lock(self) -> bool:
        """Take the lock if it is free; True when this object holds it now.  Raises `OSError` when it has no file."""
        if self.held:
            return True
        try:
            ensure_private_dir(self.path.parent)
        except FileExistsError as error:
            words = "a file stands where its folder should be"
            raise NotADirectoryError(errno.ENOTDIR, words, str(error.filename)) from error
        descriptor = self._opened()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        self._descriptor = descriptor
        self._sign()
        return True

    def is_taken(self) -> bool:
        """Whether some process holds it now; nothing is made, signed or, for longer than a moment, locked."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.EAGAIN, errno.EACCES)  # else nobody can lock there at all
        finally:
            os.close(descriptor)  # the shared lock goes with it
        return False

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(self.path, flags, 0o600)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR):
                raise
        # A link or a folder was put there: nobody can hold it, so it may go aside, where it is kept.
        self.path.rename(self.path.with_name(f"{self.path.name}.corrupt-{time.time_ns()}"))
        return os.open(self.path, flags, 0o600)

    def _sign(self) -> None:
        with contextlib.suppress(OSError):  # a full disk must not cost the lock: the owner is only information
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, msgspec.json.encode(this_process(self._what)) + b"\n", 0)

    def acquire(self, timeout: float | None = None) -> None:
        """Wait up to `timeout` seconds (None: for ever) for the lock; raises `LockTimeout`."""
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while not self.try_lock():
            if end is not None and time.monotonic() >= end:
                raise LockTimeout(self.path, self.owner())
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            # Closing alone would leave it locked while a child that was just forked still holds a copy.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def owner(self) -> Owner | None:
        """Who took the lock last, None when nobody signed; says nothing about whether it is held now."""
        try:
            return msgspec.json.decode(read_bounded(self.path, 4096), type=Owner)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
