"""The database engine: everything that SQLite does its own way; all other SQL here is plain and PostgreSQL takes it."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import apsw

from letta_code.core.errors import StoreBusy, StoreDamaged, StoreError, StoreFull, StoreReadOnly
from letta_code.host.files import open_regular

SqlValue: TypeAlias = str | int | float | bytes | None
Row: TypeAlias = tuple[Any, ...]

APPLICATION_ID = 0x4C434F44  # "LCOD": tells our files from another program's database of the same name
BUSY_MILLISECONDS = 10_000
# Older ones can lose a write when several connections reset the write-ahead log at the same time.
OLDEST_SQLITE = (3, 51, 3)
WAL_BYTES_KEPT = 16 << 20
_HEAD = b"SQLite format 3\0"
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


class Database:
    """One connection to the store's database.

    Used by one thread at a time.  Every method raises `StoreError` (or a subclass) that says what to do; the caller
    never sees the engine's own errors.
    """

    def __init__(self, connection: apsw.Connection, path: Path, *, read_only: bool) -> None:
        self._connection: Any = connection  # the checker knows apsw's stubs only in part
        self.path = path
        self.read_only = read_only
        self.wal_pages = 0  # pages in the write-ahead log after this connection's last commit

    def query(self, sql: str, values: Sequence[SqlValue] = ()) -> list[Row]:
        """All rows of one statement with `?` for its values; a statement that changes something gives its RETURNING."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except (apsw.Error, UnicodeDecodeError) as error:
            raise explain(error, self.path) from error

    def rows(self, sql: str) -> Generator[Row]:
        """The rows of one statement, one after the other: those before a damaged page come out before the error."""
        try:
            yield from self._connection.execute(sql)
        except (apsw.Error, UnicodeDecodeError) as error:
            raise explain(error, self.path) from error

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        """All or nothing, durable when the block has ended; the write lock is taken at once, so no later step fails
        because another process was quicker."""
        if self.read_only:
            raise StoreReadOnly(f"{self.path} is open for reading only", hint="Nothing can be saved in it.")
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _run(self, sql: str) -> None:
        try:
            self._connection.execute(sql)
        except apsw.Error as error:
            raise explain(error, self.path) from error

    def _roll_back(self) -> None:
        # A full disk makes SQLite roll back by itself; a second one would hide the error that matters.
        if not self._connection.in_transaction:
            return
        with contextlib.suppress(apsw.Error):
            self._connection.execute("ROLLBACK")

    def change_mark(self) -> int:
        """A number that changes when another connection, of whatever process, has committed; costs microseconds."""
        rows = self.query("PRAGMA data_version")
        return int(rows[0][0])

    def schema_version(self) -> int:
        """The number of the newest migration that the file has seen; 0 for a new one."""
        return int(self.query("PRAGMA user_version")[0][0])

    def set_schema_version(self, number: int) -> None:
        """Note a migration; inside its transaction."""
        self.query(f"PRAGMA application_id = {APPLICATION_ID}")
        self.query(f"PRAGMA user_version = {number}")

    def is_foreign(self) -> bool:
        """Whether another program made this database."""
        # One statement, so one state of the file: another process may be making it in this very moment.
        sql = (
            "SELECT (SELECT application_id FROM pragma_application_id), "
            "(SELECT user_version FROM pragma_user_version), EXISTS (SELECT 1 FROM sqlite_master)"
        )
        application, version, filled = self.query(sql)[0]
        return application != APPLICATION_ID and bool(version or filled)

    def has_table(self, name: str) -> bool:
        """Whether the file has a table of this name."""
        return bool(self.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", [name]))

    def prepare_for_writing(self) -> None:
        """Durable commits in a write-ahead log, references checked; for the writer's connection, once."""
        self.query("PRAGMA journal_mode = WAL")
        self.query("PRAGMA synchronous = FULL")
        self.query("PRAGMA foreign_keys = ON")
        self.query(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
        # Replaces the automatic checkpoint, which would run inside somebody's commit.
        self._connection.set_wal_hook(self._committed)

    def _committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self.wal_pages = pages
        return apsw.SQLITE_OK

    def checkpoint(self) -> None:
        """Move the log's pages to the file as far as no reader needs them; waits for nobody."""
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            return
        except apsw.Error as error:
            raise explain(error, self.path) from error
        self.wal_pages = 0

    def back_up(self, target: Path) -> None:
        """Write a whole copy of the database, 0600; an existing file of that name is an error."""
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        try:
            copy = apsw.Connection(str(target))
            try:
                with copy.backup("main", self._connection, "main") as job:
                    job.step()
            finally:
                copy.close()
        except apsw.Error as error:
            target.unlink(missing_ok=True)
            raise explain(error, target) from error

    def damage(self, table: str = "") -> list[str]:
        """What a quick check of the whole file finds, nothing when it is sound; reads every page.

        With `table` that table alone, and whether its indexes know each of its rows.
        """
        try:
            rows = self.query(f"PRAGMA integrity_check({table})" if table else "PRAGMA quick_check(20)")
        except StoreError as error:
            return [str(error)]
        return [str(row[0]) for row in rows if row[0] != "ok"]

    def stop_after(self, seconds: float) -> None:
        """End every statement that still runs so many seconds from now with a `StoreError`; for checks."""
        end = time.monotonic() + seconds
        self._connection.set_progress_handler(lambda: time.monotonic() > end, 50_000)

    def close(self) -> None:
        """Give the connection back; the last one of all processes moves the log into the file."""
        with contextlib.suppress(apsw.Error):  # what was acknowledged is in the log, whatever happens here
            self._connection.close()


def connect(path: Path, *, read_only: bool) -> Database:
    """Open the database file; a writing connection makes it (0600).  Raises `StoreError`."""
    if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < OLDEST_SQLITE:
        raise StoreError(
            f"SQLite {apsw.sqlite_lib_version()} has a bug that can lose data",
            hint="Install the apsw wheel, which brings SQLite 3.51.3 or newer.",
        )
    if not read_only:
        _make_private(path)
    _check_kind(path)
    if not read_only:
        _check_head(path)
    try:
        connection = _opened(path, read_only)
        connection.set_busy_timeout(BUSY_MILLISECONDS)
    except apsw.Error as error:
        raise explain(error, path) from error
    return Database(connection, path, read_only=read_only)


def _make_private(path: Path) -> None:
    # SQLite would make it with the umask's bits; its log and index files take the bits of this one.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _check_kind(path: Path) -> None:
    """A pipe or a device would stop SQLite or make it speak of the disk, so it is named here."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_symlink():
            raise StoreDamaged(f"{path} is a link that leads nowhere", hint="Mend the link or remove it.") from error
        return  # SQLite says what is wrong
    if not stat.S_ISREG(mode):
        raise StoreDamaged(
            f"{path} is {_KINDS.get(stat.S_IFMT(mode), 'a device')}, not a database file",
            hint=f"Move {path.name} away, or move letta-code's home elsewhere with LETTA_HOME.",
        )


def _check_head(path: Path) -> None:
    # With a whole log beside it SQLite would take any file for its own and write the log's pages over it.
    with contextlib.suppress(OSError), open_regular(path) as file:
        head = file.read(len(_HEAD))
        if head and head != _HEAD:
            raise explain(apsw.NotADBError("file is not a database"), path)


def _opened(path: Path, read_only: bool) -> apsw.Connection:
    if not read_only:
        return apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE)
    connection: Any = apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except (apsw.CantOpenError, apsw.ReadOnlyError):
        # A folder that nobody can write has no place for the log's index; then nobody writes the file either.
        connection.close()
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        return apsw.Connection(path.resolve().as_uri() + "?immutable=1", flags)
    return connection


def explain(error: apsw.Error | UnicodeDecodeError, path: Path) -> StoreError:
    """The engine's error, or that of a text that is none, as one that a person can act on."""
    match error:
        case apsw.FullError() | apsw.IOError():
            return StoreFull(
                f"{path} could not be written: {error}",
                hint=f"Nothing of this step was saved. Make room on the disk of {path.parent} and try again.",
            )
        case apsw.CorruptError() | apsw.NotADBError() | UnicodeDecodeError():
            return StoreDamaged(
                f"{path} is damaged: {error}",
                hint="Run `letta-code restore --salvage`: the file is kept aside, and conversations come back from "
                "their readable copies, conversations/*.jsonl, and the newest backup.",
            )
        case apsw.ReadOnlyError():
            return StoreReadOnly(
                f"{path} cannot be written: {error}", hint="Check the rights of the file and its folder."
            )
        case apsw.CantOpenError():
            return StoreError(f"{path} cannot be opened: {error}", hint="Check the rights of the file and its folder.")
        case apsw.BusyError() | apsw.LockedError():
            return StoreBusy(
                f"{path} is locked by another process, and stayed so while it was waited for",
                hint="Look for a letta-code process that hangs or is stopped, and try again.",
            )
        case apsw.ConnectionClosedError():
            return StoreError("The store is closed")
        case _:
            return StoreError(f"{path}: {type(error).__name__}: {error}")
