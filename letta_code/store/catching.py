"""Catching up: what the readable copies have and the database lost, because its log or its last pages are gone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from letta_code.core.errors import StoreDamaged
from letta_code.core.events import decode
from letta_code.store.dialect import Database
from letta_code.store.mirror import StoredRow, is_mirror, last_seq_of
from letta_code.store.purging import noted_copies
from letta_code.store.rebuild import Told, checked, insert_event
from letta_code.store.salvage import read_mirror
from letta_code.store.summary import Summary, is_conversation_id


def unknown_copies(database: Database, directory: Path, agents_dir: Path | None) -> list[Path]:
    """The readable copies of conversations that the database does not have; costs a listing of the folder.

    A copy is written after its conversation's commit, so the folder is listed first: what is in it and not in the
    database was lost there.  Copies of a removed agent that are still to be removed are not among them.
    """
    try:
        with os.scandir(directory) as entries:
            names = {entry.name.removesuffix(".jsonl") for entry in entries if entry.name.endswith(".jsonl")}
    except OSError:
        return []
    # Whole rows and the indexes: a damaged page of these small tables is found here, where it can be mended.  An agent
    # or a conversation that its index does not know is not there for who asks for it by its id.
    for table in ("agents", "conversations"):
        if wrong := database.damage(table):
            raise StoreDamaged(f"{database.path} is damaged: {' '.join(wrong[-1].split())}")
    names -= {str(row[0]) for row in database.query("SELECT id, title, updated_at FROM conversations NOT INDEXED")}
    found = [directory / f"{name}.jsonl" for name in sorted(names) if is_conversation_id(name)]
    if not found:
        return []
    leaving = noted_copies(agents_dir) if agents_dir else set[Path]()
    return [path for path in found if path not in leaving and is_mirror(path)]


def catch_up(database: Database, path: Path, conversation_id: str) -> int:
    """Put back the events that the readable copy has beyond the database's last one; how many.

    Only where the copy goes on from exactly that event: another story is left alone (the next append keeps it aside).
    The caller holds the conversation's lock.  A writer's job.  Raises `StoreError`.
    """
    last = _last(database, conversation_id)
    if not last or last_seq_of(path) <= last:
        return 0
    try:
        rows = {row.seq: row for row in read_mirror(path)[0]}
    except OSError:
        return 0
    told = _following(rows, last)
    same = database.query("SELECT crc FROM events WHERE conversation_id = ? AND seq = ?", [conversation_id, last])
    if not told or last not in rows or not same or same[0][0] != rows[last].crc:
        return 0
    with database.transaction():
        if _last(database, conversation_id) != last:
            return 0
        summary = Summary(database, conversation_id)
        for row, event in told:
            insert_event(database, conversation_id, row, event)
            summary.see(event)
            summary.see_run(event, event.at, None)
        summary.save(told[-1][0].seq, told[-1][1].at)
    return len(told)


def _last(database: Database, conversation_id: str) -> int:
    rows = database.query("SELECT last_seq FROM conversations WHERE id = ?", [conversation_id])
    return int(rows[0][0]) if rows else 0


def _following(rows: dict[int, StoredRow], last: int) -> Sequence[Told]:
    """The events after the last one; a lost one in between leaves its place empty, as in a rebuilt conversation."""
    told: list[Told] = []
    for seq in sorted(rows):
        if seq > last:
            try:
                told.append((rows[seq], checked(decode(rows[seq].body))))
            except (ValueError, msgspec.DecodeError):
                continue
    return told
