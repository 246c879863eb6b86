"""The connections of one process to the store: one that writes, one that reads for each thread."""

from __future__ import annotations

import contextlib
import errno
import stat
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from letta_code.core.errors import StoreError, StoreFull, StoreReadOnly
from letta_code.host.files import ensure_private_dir
from letta_code.host.locks import FileLock, LockTimeout
from letta_code.store.dialect import Database, connect
from letta_code.store.migrations import MIGRATIONS, Migration, is_restoring, migrate, newest
from letta_code.store.writer import Writer

T = TypeVar("T")

OPEN_SECONDS = 30.0  # how long to wait for another process that makes or migrates the store
# Of 4 KiB: a log longer than this is worth a checkpoint while nothing happens …
IDLE_PAGES = 256
# … and this long at once, after the commit was acknowledged; it bounds the log at about 16 MB.
URGENT_PAGES = 4096


class Engine:
    """Gives every thread its reading connection and hands writing work to the writer.

    `notices` are sentences for the person: what was found while opening; `is_restoring` says that
    conversations are still to be put back from their mirrors.
    """

    def __init__(self, path: Path, run_dir: Path, database: Database, notices: Sequence[str] = ()) -> None:
        self.path = path
        self.run_dir = run_dir
        self.read_only = database.read_only
        self.is_restoring = is_restoring(database)
        self.notices: tuple[str, ...] = tuple(notices)
        self.closed = False
        self._checkpoint_lock = FileLock(run_dir / "checkpoint.lock")
        self._writer = Writer(database, self._after_commit)
        self._local = threading.local()
        self._readers: weakref.WeakSet[Database] = weakref.WeakSet()
        self._guard = threading.Lock()  # around `closed` and `_readers`

    def reader(self) -> Database:
        """The calling thread's connection for reading; raises `StoreError` once the store is closed."""
        database: Database | None = getattr(self._local, "database", None)
        if self.closed:
            raise StoreError("The store is closed")
        if database is None:
            database = connect(self.path, read_only=True)
            with self._guard:
                if not self.closed:
                    self._local.database = database
                    self._readers.add(database)
                    return database
            database.close()  # the store was closed by another thread, which could not know of this one
            raise StoreError("The store is closed")
        return database

    async def write(self, work: Callable[[Database], T]) -> T:
        """Do the work on the writer's thread; returns after its commit."""
        self._check_writable()
        return await self._writer.write(work)

    def write_now(self, work: Callable[[Database], T]) -> T:
        """The same, blocking."""
        self._check_writable()
        return self._writer.write_now(work)

    def _check_writable(self) -> None:
        if self.read_only:
            raise StoreReadOnly(
                f"{self.path} is open for reading only", hint=" ".join(self.notices) or "Nothing can be saved in it."
            )

    def _after_commit(self, database: Database, idle: bool) -> None:
        if database.wal_pages < (IDLE_PAGES if idle else URGENT_PAGES):
            return
        # Elsewhere another process does it, or there is no room: the log only stays longer for a while.
        with contextlib.suppress(OSError, StoreError):
            if self._checkpoint_lock.try_lock():
                try:
                    database.checkpoint()
                finally:
                    self._checkpoint_lock.release()

    def close(self) -> None:
        """Finish what was given to the writer and close every connection; harmless when done twice."""
        with self._guard:
            self.closed = True
            readers = list(self._readers)
        for database in readers:
            database.close()
        self._writer.close()  # last: the connection that may write moves the log into the file


def open_engine(
    path: Path,
    run_dir: Path,
    *,
    read_only: bool = False,
    migrations: Sequence[Migration] = MIGRATIONS,
    was_lost: Callable[[], bool] = lambda: False,
) -> Engine:
    """Open the store's database, making or migrating it first where needed.

    A file of a newer version, or one that may not be written, is opened for reading only, with a notice.
    `was_lost` is asked when the file is made: whether there are conversations to be put back.  Raises
    `StoreError` when the file is damaged, another program's, or out of reach.
    """
    if read_only:
        return Engine(path, run_dir, _own(connect(path, read_only=True)))
    try:
        ensure_private_dir(path.parent)
        moved = _odd_files_aside(path)
        database = connect(path, read_only=False)
    except OSError as error:
        what = f"{path} cannot be written: {error.strerror}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise StoreFull(what, hint=f"Make room on the disk of {path.parent}.") from error
        raise StoreReadOnly(what, hint="Check the rights of the file and its folder.") from error
    try:
        engine = _opened(path, run_dir, database, migrations, was_lost)
        engine.notices += moved
        return engine
    except StoreReadOnly as error:
        database.close()
        return Engine(path, run_dir, _own(connect(path, read_only=True)), [f"{error}. Nothing will be saved."])
    except BaseException:
        database.close()
        raise


def _odd_files_aside(path: Path) -> tuple[str, ...]:
    """A link, folder or pipe in the place of a file of SQLite's would stop every start; it is kept beside."""
    told: list[str] = []
    for odd in (path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")):
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(odd.lstat().st_mode):
                kept = odd.with_name(f"{odd.name}.corrupt-{time.time_ns()}")
                odd.rename(kept)
                told.append(f"{odd} was no file; it is kept as {kept}.")
    return tuple(told)


def _opened(
    path: Path, run_dir: Path, database: Database, migrations: Sequence[Migration], was_lost: Callable[[], bool]
) -> Engine:
    notices: list[str] = []
    version = _own(database).schema_version()
    if version > newest(migrations):
        database.close()
        notices.append(
            f"{path} was written by a newer letta-code (its version {version}, ours {newest(migrations)}): it is open "
            "for reading only. Update letta-code to go on with these conversations."
        )
        return Engine(path, run_dir, connect(path, read_only=True), notices)
    if version == newest(migrations):
        database.prepare_for_writing()
    else:
        notices.extend(_brought_up_to_date(run_dir, database, migrations, was_lost))
    return Engine(path, run_dir, database, notices)


def _own(database: Database) -> Database:
    if not database.is_foreign():
        return database
    raise StoreError(
        f"{database.path} is a database of another program",
        hint="Nothing was changed in it. Move letta-code's home elsewhere with LETTA_HOME.",
    )


def _brought_up_to_date(
    run_dir: Path, database: Database, migrations: Sequence[Migration], was_lost: Callable[[], bool]
) -> list[str]:
    lock = FileLock(run_dir / "store.lock", what="making the store")
    try:
        lock.acquire(OPEN_SECONDS)
    except LockTimeout as error:
        raise StoreError(
            f"{database.path} is being made or migrated: {error.strerror}", hint="Try again later."
        ) from error
    except OSError as error:
        raise StoreReadOnly(
            f"{lock.path} cannot be locked: {error.strerror}",
            hint=f"Look at {run_dir}, or set LETTA_HOME.",
        ) from error
    try:
        database.prepare_for_writing()
        copy = migrate(database, migrations, was_lost)
    finally:
        lock.release()
    return [f"The store was brought up to date; a copy from before is at {copy}."] if copy else []
