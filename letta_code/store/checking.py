"""Checking: what is wrong with a store's file, its events and their readable copies; nothing here writes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from letta_code.core.errors import StoreDamaged
from letta_code.core.messages import Value
from letta_code.host.files import open_regular
from letta_code.host.locks import Owner, is_alive
from letta_code.store.append import ConversationInDatabase
from letta_code.store.dialect import Database, connect
from letta_code.store.migrations import newest
from letta_code.store.mirror import from_line, is_sound
from letta_code.store.summary import RunStatus

_PAGE = 500  # events that are read at once
_SHOWN = 20  # of each kind that are named

CopyState: TypeAlias = Literal["missing", "behind", "ahead", "torn", "damaged", "unreadable", "foreign"]


class EventsLook(Value, frozen=True):
    """Checksums of events: how many were looked at, of how many; `damaged` names some as `conversation#seq`."""

    looked_at: int
    total: int
    bad: int = 0
    damaged: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()  # conversations whose events are not all there


class CopyLook(Value, frozen=True):
    """What is wrong with one readable copy; `last` is its last event, `wanted` the database's, 0 for none."""

    conversation: str
    state: CopyState
    last: int
    wanted: int
    why: str = ""


class OpenRun(Value, frozen=True):
    """A run that has not ended as far as the store knows; `alive` None where that cannot be told."""

    id: str
    conversation: str
    owner: Owner | None
    alive: bool | None


def look_into(path: Path, seconds: float) -> Database:
    """A connection for reading whose statements end after so many seconds; raises `StoreError`."""
    database = connect(path, read_only=True)
    database.stop_after(seconds)
    try:
        if database.is_foreign():
            raise StoreDamaged(f"{path} is a database of another program")
        if not database.schema_version():
            raise StoreDamaged(f"{path} holds no tables of letta-code")
    except BaseException:
        database.close()
        raise
    return database


def version_of(database: Database) -> tuple[int, int]:
    """The file's version and the one that this program writes."""
    return database.schema_version(), newest()


def references(database: Database) -> list[str]:
    """Rows that name something that is not there."""
    rows = database.query("PRAGMA foreign_key_check")
    return [f"{row[0]} row {row[1]} names no {row[2]}" for row in rows[:_SHOWN]]


def events(database: Database, seconds: float) -> EventsLook:
    """Look at the checksum of every event, for so many seconds; raises `StoreError` where rows cannot be read."""
    end = time.monotonic() + seconds
    total = int(database.query("SELECT COUNT(*) FROM events")[0][0])
    looked_at, bad, damaged, place = 0, 0, list[str](), -1
    sql = "SELECT rowid, conversation_id, seq, crc, body FROM events WHERE rowid > ? ORDER BY rowid LIMIT ?"
    while time.monotonic() < end and (rows := database.query(sql, [place, _PAGE])):
        place = rows[-1][0]
        looked_at += len(rows)
        wrong = [f"{row[1]}#{row[2]}" for row in rows if not is_sound(row[3], row[4])]
        bad += len(wrong)
        damaged += wrong[: _SHOWN - len(damaged)]
    counted = (
        "SELECT c.id FROM conversations c LEFT JOIN events e ON e.conversation_id = c.id "
        "GROUP BY c.id HAVING COUNT(e.seq) <> c.last_seq"
    )
    gaps = tuple(str(row[0]) for row in database.query(counted)) if time.monotonic() < end else ()
    return EventsLook(looked_at=looked_at, total=total, bad=bad, damaged=tuple(damaged), gaps=gaps)


def conversations(database: Database) -> dict[str, int]:
    """Conversation id → seq of its last event."""
    rows = database.query("SELECT id, last_seq FROM conversations ORDER BY updated_at DESC")
    return {str(row[0]): int(row[1]) for row in rows if isinstance(row[1], int)}


def copies(database: Database, directory: Path, seconds: float) -> tuple[list[CopyLook], int, int]:
    """What is wrong with the readable copies, how many were compared, and of how many; the newest first."""
    end = time.monotonic() + seconds
    wanted, found, compared = conversations(database), list[CopyLook](), 0
    for name, last in wanted.items():
        if time.monotonic() > end:
            break
        compared += 1
        look = _copy(directory / f"{name}.jsonl", name, last)
        if look is not None and not (look.state == "behind" and _is_caught_up(database, name, look.last)):
            found.append(look)
    return found, compared, len(wanted)


def _is_caught_up(database: Database, name: str, last: int) -> bool:
    """Whether nothing sound is left to be copied: damage in the database is not copied."""
    return not ConversationInDatabase(database, name).rows_after(last)


def _copy(path: Path, name: str, wanted: int) -> CopyLook | None:
    def look(state: CopyState, last: int = 0, why: str = "") -> CopyLook:
        return CopyLook(conversation=name, state=state, last=last, wanted=wanted, why=why)

    if not path.exists():
        return look("missing")
    if path.is_symlink() or not path.is_file():
        return look("foreign", why="it is a link or no file")
    last, seen, wrong, torn = 0, set[int](), "", False
    try:
        with open_regular(path) as file:
            for number, line in enumerate(file, start=1):
                torn = not line.endswith(b"\n")
                try:
                    row = from_line(line.removesuffix(b"\n"))
                except (ValueError, msgspec.DecodeError) as error:
                    wrong = wrong or ("" if torn else f"line {number}: {error}")
                    continue
                seen.add(row.seq)
                last = max(last, row.seq)
    except OSError as error:
        return look("unreadable", why=error.strerror or str(error))
    if wrong and len(seen) < min(last, wanted):
        return look("damaged", last, wrong)
    if torn:
        return look("torn", last, "its last line is not finished")
    if last > wanted:
        return look("ahead", last)
    if last < wanted:
        return look("behind", last)
    missing = wanted - len(seen)
    return look("damaged", last, f"{missing} events are missing in it") if missing > 0 else None


def open_runs(database: Database) -> list[OpenRun]:
    """The runs that have not ended, with whether their process still runs."""
    values = [RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING]
    rows = database.query("SELECT id, conversation_id, owner FROM runs WHERE status IN (?, ?, ?)", values)
    found: list[OpenRun] = []
    for run, conversation, owner in rows:
        try:
            who = msgspec.json.decode(owner, type=Owner) if owner else None
        except (msgspec.DecodeError, TypeError):
            who = None
        alive = is_alive(who) if who is not None else None
        found.append(OpenRun(id=str(run), conversation=str(conversation), owner=who, alive=alive))
    return found
