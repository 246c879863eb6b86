"""Backing: copies of the database that were read back, and what a damaged one still holds."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import apsw
import msgspec

from letta_code.core.errors import StoreBusy, StoreDamaged, StoreError
from letta_code.core.ids import utc_now
from letta_code.core.messages import Value
from letta_code.host.files import atomic_write, ensure_private_dir
from letta_code.store.agents import Agent, insert_agent
from letta_code.store.append import ConversationInDatabase
from letta_code.store.dialect import Database, connect, explain
from letta_code.store.mirror import StoredRow, is_sound, to_line
from letta_code.store.passages import Passage, insert_passage
from letta_code.store.salvage import read_mirror
from letta_code.store.summary import is_conversation_id

# Where SQLite's connections lock the file, in every version of it: each holds a shared lock while it is open.
_LOCKED_FROM, _LOCKED_BYTES = 0x40000002, 510
SIDE_FILES = ("", "-wal", "-shm", "-journal")


class Contents(Value, frozen=True):
    """What a copy holds, once its pages and the checksum of each event were read."""

    version: int
    agents: int
    conversations: int
    events: int
    passages: int


class Rescued(Value, frozen=True):
    """What was read from a database that may be damaged."""

    events: dict[str, list[StoredRow]]
    agents: tuple[Agent, ...]
    passages: tuple[Passage, ...]
    problems: tuple[str, ...]


def copy_database(source: Path, target: Path) -> Contents:
    """Write a whole copy of a database, of one moment, while others write; read back before it counts.

    Raises `StoreError` with no copy left, `StoreDamaged` where the source holds damage.
    """
    database = connect(source, read_only=True)
    try:
        database.back_up(target)
    except OSError as error:
        raise StoreError(f"{target} could not be written: {error.strerror}", hint="Make room on that disk.") from error
    finally:
        database.close()
    try:
        return verified(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def verified(path: Path, *, shared: bool = False) -> Contents:
    """What a database holds; raises `StoreDamaged` where a page or an event is not sound.

    `shared` is for the store's own file, which has a log beside it and may be in use: a copy is read alone.
    """
    database = connect(path, read_only=True) if shared else _alone(path)
    try:
        wrong = database.damage()
        if wrong or database.is_foreign():
            what = wrong[0].splitlines()[0] if wrong else "it is not letta-code's"
            raise StoreDamaged(f"{path} is damaged: {what}")
        version, events = database.schema_version(), 0
        for row in database.rows("SELECT conversation_id, seq, crc, body FROM events"):
            events += 1
            if not is_sound(row[2], row[3]):
                raise StoreDamaged(f"{path}: event {row[1]} of {row[0]} is damaged")
        tables = ["agents", "conversations", *(["passages"] if database.has_table("passages") else [])]
        counts = [int(database.query(f"SELECT COUNT(*) FROM {table}")[0][0]) for table in tables]
        agents, talks, passages = (*counts, 0)[:3]
        return Contents(version=version, agents=agents, conversations=talks, events=events, passages=passages)
    finally:
        database.close()


def _alone(path: Path) -> Database:
    """A connection that makes no files beside the database."""
    try:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        connection = apsw.Connection(path.resolve().as_uri() + "?immutable=1", flags)
    except apsw.Error as error:
        raise explain(error, path) from error
    return Database(connection, path, read_only=True)


@contextlib.contextmanager
def nobody_else(path: Path) -> Generator[None]:
    """Hold the database's file, so that no connection of any process has it open, nor can open it.

    This process must have none open either.  Raises `StoreBusy` where another has.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # nothing there, or nothing that could be opened by anybody
        yield
        return
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCKED_BYTES, _LOCKED_FROM)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise StoreBusy(
                f"{path} is in use by another letta-code", hint="End it (every window and background run) first."
            ) from error
        yield
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- a damaged database


def rescued(path: Path, known: Mapping[str, set[int]], *, shared: bool = False) -> Rescued:
    """Everything sound that a database, damaged or not, still gives but the events that are `known` by conversation.

    Changes nothing; `shared` is for the store's own file, which may have a log beside it: a copy is read alone.  Never
    raises for damage: what could not be read is told in `problems`.
    """
    problems: list[str] = []
    events: dict[str, list[StoredRow]] = {}
    try:
        database = connect(path, read_only=True) if shared else _alone(path)
    except StoreError as error:
        return Rescued(events={}, agents=(), passages=(), problems=(str(error),))
    try:
        if database.is_foreign():
            return Rescued(events={}, agents=(), passages=(), problems=(f"{path} is another program's",))
        # A bad page ends a reading: what lies behind it is read from the other end.
        for order in ("ASC", "DESC"):
            # Bytes, so that a text that is none keeps no other row back.
            values = "CAST(conversation_id AS BLOB), seq, CAST(crc AS INTEGER), CAST(body AS BLOB)"
            sql = f"SELECT {values} FROM events ORDER BY rowid {order}"
            problems += _read_events(database, sql, known, events)
            if not problems:
                break
        agents, wrong = _read(database, Agent, "agents")
        passages, worse = _read(database, Passage, "passages")
        problems += [*wrong, *worse]
    except StoreError as error:
        return Rescued(events=events, agents=(), passages=(), problems=(str(error),))
    finally:
        database.close()
    return Rescued(events=events, agents=tuple(agents), passages=tuple(passages), problems=tuple(problems))


def _read_events(
    database: Database, sql: str, known: Mapping[str, set[int]], found: dict[str, list[StoredRow]]
) -> list[str]:
    try:
        for raw, seq, crc, body in database.rows(sql):
            name = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""
            if not (isinstance(seq, int) and seq > 0 and is_conversation_id(name)):
                continue
            if is_sound(crc, body) and seq not in known.get(name, ()):
                rows = found.setdefault(name, [])
                if not any(row.seq == seq for row in rows[-1:]):
                    rows.append(StoredRow(seq=seq, crc=crc, body=body))
    except StoreError as error:
        return [str(error)]
    return []


def _read(database: Database, kind: type[Any], table: str) -> tuple[list[Any], list[str]]:
    """The rows of a table that fit its struct, by the columns that both have."""
    found: list[Any] = []
    try:
        columns = [str(row[1]) for row in database.query(f"PRAGMA table_info({table})")]
        names = [name for name in kind.__struct_fields__ if name in columns]
        for row in database.rows(f"SELECT {', '.join(names)} FROM {table}" if names else "SELECT 1 WHERE 0"):
            values = dict(zip(names, row, strict=True))
            with contextlib.suppress(msgspec.ValidationError, msgspec.DecodeError, TypeError):
                if "tags" in values:
                    values["tags"] = msgspec.json.decode(values["tags"])
                found.append(msgspec.convert(values, kind))
    except StoreError as error:
        return found, [str(error)]
    return found, []


def find_in_backups(directory: Path, conversation_id: str, seq: int) -> tuple[StoredRow | None, str]:
    """One event of the newest copy of the database that has it sound, and that copy's path; None where none has."""
    for path in sorted(directory.glob("letta-*.db"), reverse=True):
        try:
            database = _alone(path)
        except StoreError:
            continue
        try:
            sql = "SELECT crc, body FROM events WHERE conversation_id = ? AND seq = ?"
            for crc, body in database.query(sql, [conversation_id, seq]):
                if isinstance(crc, int) and isinstance(body, bytes) and is_sound(crc, body):
                    return StoredRow(seq=seq, crc=crc, body=body), str(path)
        except StoreError:
            continue
        finally:
            database.close()
    return None, ""


def put_back_rest(database: Database, rescued: Rescued) -> tuple[int, int]:
    """Agents and passages that the database does not have yet; a writer's job; how many of each."""
    agents = passages = 0
    with database.transaction():
        known = {row[0] for row in database.query("SELECT id FROM agents")}
        for agent in rescued.agents:
            if agent.id and agent.id not in known:
                insert_agent(database, agent)
                known.add(agent.id)
                agents += 1
        there = {row[0] for row in database.query("SELECT id FROM passages")}
        for passage in rescued.passages:
            if passage.id and passage.id not in there and passage.agent_id in known:
                insert_passage(database, passage)
                there.add(passage.id)
                passages += 1
    return agents, passages


def side_files(path: Path) -> Iterator[Path]:
    """The files of a database that are there: itself, its log and the log's index."""
    yield from (one for end in SIDE_FILES if os.path.lexists(one := path.with_name(path.name + end)))


def write_copy(path: Path, directory: Path, name: str) -> int:
    """Write a conversation's readable copy anew from the database and what the copy itself has; how many events.

    The caller holds the conversation's lock.  What stood there is kept beside it as `.old`.  Raises `StoreError`,
    `OSError`.
    """
    database = connect(path, read_only=True)
    try:
        rows = {row.seq: row for row in ConversationInDatabase(database, name).rows_after(0)}
    finally:
        database.close()
    copy = directory / f"{name}.jsonl"
    if os.path.lexists(copy):
        if copy.is_file() and not copy.is_symlink():
            rows = {**{row.seq: row for row in read_mirror(copy)[0]}, **rows}
        copy.rename(copy.with_name(f"{name}.{utc_now().replace(':', '').replace('.', '')}.old"))
    ensure_private_dir(directory)
    atomic_write(copy, b"".join(to_line(rows[seq]) for seq in sorted(rows)), mode=0o600)
    return len(rows)
