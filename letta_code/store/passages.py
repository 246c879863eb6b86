"""Passages: the entries of archival memory, in the store and in a readable mirror beside the agent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from letta_code.core.errors import StoreError
from letta_code.core.ids import new_id, utc_now
from letta_code.core.messages import Value
from letta_code.core.redaction import Redactor
from letta_code.host.files import append_line, open_regular
from letta_code.store.dialect import Database, Row, SqlValue
from letta_code.store.engine import Engine

MIRROR = "passages.jsonl"
_COLUMNS = "id, agent_id, content, tags, created_at, conversation_id, seq, source, trust, deleted_at, change"


class Passage(Value, frozen=True):
    """One entry: `tags` in order, times in UTC, `conversation_id` and `seq` the event that it was kept at.

    `source` is user, agent, tool:<id> or web:<url>, `trust` trusted or untrusted.  A deleted one keeps its text, so
    that it can be brought back.  `change` counts the changes of all passages: a later change has a greater number.
    """

    id: str
    agent_id: str
    content: str
    tags: tuple[str, ...] = ()
    created_at: str = ""
    conversation_id: str = ""
    seq: int = 0
    source: str = ""
    trust: str = ""
    deleted_at: str = ""
    change: int = 0


class Passages:
    """The passages of all agents; `agents_dir` is where each agent's folder is (None: no mirror is written).

    `redactor` takes secrets out of what is kept (None: nothing can be).
    """

    def __init__(self, engine: Engine, agents_dir: Path | None, redactor: Redactor | None = None) -> None:
        self._engine = engine
        self._agents_dir = agents_dir
        self._redactor = redactor

    async def insert(self, passage: Passage) -> tuple[Passage, bool]:
        """Keep a passage, without secrets; id, time and change are given here.

        Where the agent has one of the same text (but for case and white space) that one gets the new tags and is
        returned, with True.  Raises `StoreError`.
        """
        if self._redactor is None:
            raise StoreError(
                f"{self._engine.path} was opened without a redactor: passages could be kept with secrets in them.",
                hint="Give one to Store.open(redactor=…).",
            )
        passage = self._redactor.redact(passage, passage.conversation_id)
        new = msgspec.structs.replace(passage, id=new_id("passage"), created_at=passage.created_at or utc_now())
        return await self._engine.write(lambda database: self._inserted(database, new))

    def _inserted(self, database: Database, new: Passage) -> tuple[Passage, bool]:
        digest = digest_of(new.content)
        with database.transaction():
            sql = f"SELECT {_COLUMNS} FROM passages WHERE agent_id = ? AND digest = ? AND deleted_at = ''"
            rows = database.query(sql, [new.agent_id, digest])
            if rows:
                known = _passage(rows[0])
                tags = tuple(dict.fromkeys([*known.tags, *new.tags]))
                kept = known if tags == known.tags else self._changed(database, known.id, "tags", _json(tags))
            else:
                kept = _insert(database, msgspec.structs.replace(new, change=_next_change(database)), digest)
        self._mirror(kept)
        return kept, bool(rows)

    async def delete(self, passage_id: str) -> Passage:
        """Take a passage out of memory (`restore` brings it back); raises `StoreError` when there is none."""
        return await self._engine.write(lambda database: self._set(database, passage_id, "deleted_at", utc_now()))

    async def restore(self, passage_id: str) -> Passage:
        """Bring a deleted passage back; raises `StoreError` when there is none."""
        return await self._engine.write(lambda database: self._set(database, passage_id, "deleted_at", ""))

    def _set(self, database: Database, passage_id: str, column: str, value: str) -> Passage:
        with database.transaction():
            passage = self._changed(database, passage_id, column, value)
        self._mirror(passage)
        return passage

    def _changed(self, database: Database, passage_id: str, column: str, value: str) -> Passage:
        sql = f"UPDATE passages SET {column} = ?, change = ? WHERE id = ? RETURNING {_COLUMNS}"
        rows = database.query(sql, [value, _next_change(database), passage_id])
        if not rows:
            raise StoreError(f"There is no passage {passage_id}")
        return _passage(rows[0])

    def get(self, passage_id: str) -> Passage | None:
        """One passage, deleted or not; None when there is none."""
        rows = self._engine.reader().query(f"SELECT {_COLUMNS} FROM passages WHERE id = ?", [passage_id])
        return _passage(rows[0]) if rows else None

    def list(self, agent_id: str, *, limit: int | None = 100, before: str = "") -> list[Passage]:
        """An agent's passages, the newest first (no `limit`: all), those made before a time where one is given."""
        sql = f"SELECT {_COLUMNS} FROM passages WHERE agent_id = ? AND deleted_at = ''"
        values: list[SqlValue] = [agent_id]
        if before:
            sql += " AND created_at < ?"
            values.append(before)
        sql += " ORDER BY created_at DESC, id DESC"
        if limit is not None:
            sql += " LIMIT ?"
            values.append(limit)
        rows = self._engine.reader().query(sql, values)
        return [_passage(row) for row in rows]

    def count(self, agent_id: str) -> int:
        """How many passages an agent has."""
        sql = "SELECT COUNT(*) FROM passages WHERE agent_id = ? AND deleted_at = ''"
        return int(self._engine.reader().query(sql, [agent_id])[0][0])

    def tags(self, agent_id: str) -> dict[str, int]:
        """Tag → how many passages have it, the most used first."""
        sql = "SELECT tags FROM passages WHERE agent_id = ? AND deleted_at = '' AND tags <> '[]'"
        counts: dict[str, int] = {}
        for (text,) in self._engine.reader().query(sql, [agent_id]):
            for tag in _tags(text):
                counts[tag] = counts.get(tag, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def changed_since(self, change: int, limit: int) -> list[Passage]:
        """Passages of all agents that changed after a number, deleted ones as well, in order of their change."""
        sql = f"SELECT {_COLUMNS} FROM passages WHERE change > ? ORDER BY change LIMIT ?"
        return [_passage(row) for row in self._engine.reader().query(sql, [change, limit])]

    def last_change(self) -> int:
        """The number of the newest change, 0 when there is none."""
        return int(self._engine.reader().query("SELECT COALESCE(MAX(change), 0) FROM passages")[0][0])

    def _mirror(self, passage: Passage) -> None:
        """Add the passage as it is now to the agent's readable copy, from which a lost database is made again."""
        if self._agents_dir is None:
            return
        folder = self._agents_dir / passage.agent_id
        if folder.is_dir():
            with contextlib.suppress(OSError):  # the store has it: a copy that cannot be written stops nothing
                append_line(folder / MIRROR, msgspec.json.encode(passage))


def put_back(database: Database, agents_dir: Path) -> int:
    """Put back the passages that the database does not have from all mirrors; a writer's job; returns how many.

    Agents that the database does not know are left out.  Lines that cannot be read are passed over.
    """
    newest: dict[str, Passage] = {}
    for path in sorted(agents_dir.glob(f"*/{MIRROR}")):
        for passage in _mirrored(path):
            newest[passage.id] = passage
    count = 0
    with database.transaction():
        known = {row[0] for row in database.query("SELECT id FROM passages")}
        agents = {row[0] for row in database.query("SELECT id FROM agents")}
        for passage in newest.values():
            if passage.id not in known and passage.agent_id in agents:
                insert_passage(database, passage)
                count += 1
    return count


def insert_passage(database: Database, passage: Passage) -> Passage:
    """Make the row of a passage that has its id and times, inside a transaction; its change is given here."""
    return _insert(
        database, msgspec.structs.replace(passage, change=_next_change(database)), digest_of(passage.content)
    )


def _mirrored(path: Path) -> Iterator[Passage]:
    try:
        with open_regular(path) as file:
            lines = file.read().split(b"\n")
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            yield msgspec.json.decode(line, type=Passage)


def digest_of(content: str) -> str:
    """What two texts have in common that differ only in case and white space."""
    return sha256(" ".join(content.casefold().split()).encode("utf-8", "replace")).hexdigest()


def _next_change(database: Database) -> int:
    return int(database.query("SELECT COALESCE(MAX(change), 0) + 1 FROM passages")[0][0])


def _insert(database: Database, new: Passage, digest: str) -> Passage:
    database.query(
        f"INSERT INTO passages ({_COLUMNS}, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            new.id,
            new.agent_id,
            new.content,
            _json(new.tags),
            new.created_at,
            new.conversation_id,
            new.seq,
            new.source,
            new.trust,
            new.deleted_at,
            new.change,
            digest,
        ],
    )
    return new


def _json(tags: Sequence[str]) -> str:
    return msgspec.json.encode(list(tags)).decode()


def _tags(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])


def _passage(row: Row) -> Passage:
    return Passage(
        id=row[0],
        agent_id=row[1],
        content=row[2],
        tags=_tags(row[3]),
        created_at=row[4],
        conversation_id=row[5],
        seq=row[6],
        source=row[7],
        trust=row[8],
        deleted_at=row[9],
        change=row[10],
    )
