"""Conversations: the list of threads, their titles and dates, copies and exports."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from letta_code import __version__
from letta_code.core.errors import StoreError, StoreFull
from letta_code.core.events import ConversationRenamed, ConversationStarted, encode
from letta_code.core.ids import new_id, utc_now
from letta_code.core.messages import Value
from letta_code.core.redaction import Redactor
from letta_code.host.files import atomic_write
from letta_code.store.dialect import Database, Row, SqlValue
from letta_code.store.engine import Engine
from letta_code.store.journal import Journal
from letta_code.store.summary import start_conversation

_LIVING = "agent_id NOT IN (SELECT id FROM agents WHERE deleted_at <> '')"
_COLUMNS = "id, agent_id, cwd, title, opening, created_at, updated_at, last_seq, message_count, forked_from"


class Conversation(Value, frozen=True):
    """A thread as a list shows it.

    `title` was given by a person or a model ("" if none), `opening` is the first line that the person wrote; times are
    UTC; `message_count` counts the user's and the assistant's messages.
    """

    id: str
    agent_id: str
    cwd: str
    title: str
    opening: str
    created_at: str
    updated_at: str
    last_seq: int
    message_count: int
    forked_from: str

    @property
    def name(self) -> str:
        """What to call it on a screen."""
        return self.title or self.opening or "(empty)"


class Conversations:
    """The conversations of a store."""

    def __init__(self, engine: Engine, journal: Journal, redactor: Redactor | None = None) -> None:
        self._engine = engine
        self._redactor = redactor
        self._journal = journal

    async def create(self, agent_id: str, cwd: str) -> Conversation:
        """A new conversation, durable with its first event.

        To save the commit, make the id with `new_id("conv")` and put a `ConversationStarted` before the first events
        that are appended: that does the same.  Raises `StoreError`.
        """
        started = ConversationStarted(conversation_id=new_id("conv"), agent_id=agent_id, cwd=cwd, version=__version__)
        await self._journal.append(started.conversation_id, [started])
        return self._there(started.conversation_id)

    def get(self, conversation_id: str) -> Conversation | None:
        """One conversation by id, None when there is none."""
        rows = self._engine.reader().query(f"SELECT {_COLUMNS} FROM conversations WHERE id = ?", [conversation_id])
        return _conversation(rows[0]) if rows else None

    def _there(self, conversation_id: str) -> Conversation:
        found = self.get(conversation_id)
        if found is None:
            raise StoreError(f"There is no conversation {conversation_id}")
        return found

    def list(
        self, *, agent_id: str = "", cwd: str = "", limit: int | None = 100, empty: bool = False
    ) -> list[Conversation]:
        """The newest first, of an agent, of a folder, or of all; `empty` includes those without a message.

        No `limit`: all.  Those of a deleted agent are left out, unless it is asked for by its id.
        """
        sql = f"SELECT {_COLUMNS} FROM conversations WHERE message_count >= ?"
        values: list[SqlValue] = [0 if empty else 1]
        if agent_id:
            sql += " AND agent_id = ?"
            values.append(agent_id)
        else:
            sql += f" AND {_LIVING}"
        if cwd:
            sql += " AND cwd = ?"
            values.append(cwd)
        sql += " ORDER BY updated_at DESC, id DESC"
        if limit is not None:
            sql += " LIMIT ?"
            values.append(limit)
        rows = self._engine.reader().query(sql, values)
        return [_conversation(row) for row in rows]

    def titled(self, words: str, *, agent_id: str = "", limit: int = 20) -> list[Conversation]:
        """The newest whose title or opening line holds every word, in any case."""
        wanted = words.casefold().split()
        named = self.list(agent_id=agent_id, limit=None)
        fits = (one for one in named if all(word in f"{one.title}\n{one.opening}".casefold() for word in wanted))
        return list(islice(fits, limit)) if wanted else []

    def taken(self, conversation_id: str) -> bool:
        """Whether a new conversation cannot have this id: one has it, or had it and left its readable copy."""
        return self.get(conversation_id) is not None or self._journal.has_mirror(conversation_id)

    def latest_for(self, cwd: str, agent_id: str = "") -> Conversation | None:
        """The conversation of a folder that was used last, None when nothing was said there yet."""
        return next(iter(self.list(cwd=cwd, agent_id=agent_id, limit=1)), None)

    async def rename(self, conversation_id: str, title: str, by: str = "person") -> None:
        """Give it a title (an event like all others).  Raises `StoreError`."""
        await self._journal.append(conversation_id, [ConversationRenamed(title=title, by=by)])

    def export_lines(self, conversation_id: str, *, as_kept: bool = False) -> Iterator[bytes]:
        """Every event's JSON as it was first written, a line each, a notice in the place of a damaged one.

        Secrets that an older version kept are replaced, unless `as_kept` (by who takes them out himself).  Raises
        `StoreError` when there is no such conversation.
        """
        self._there(conversation_id)
        for stored in self._journal.read(conversation_id):
            event = stored.event
            if self._redactor is not None and not as_kept:
                event = self._redactor.redact(event, conversation_id)
            yield (stored.raw if event is stored.event and not stored.damage else encode(event)) + b"\n"

    def export(self, conversation_id: str, path: Path) -> int:
        """Write these lines to a file (0600), replacing it whole; returns how many.  Raises `StoreError`."""
        lines = list(self.export_lines(conversation_id))
        try:
            atomic_write(path, b"".join(lines))
        except OSError as error:
            raise StoreFull(f"{path} could not be written: {error.strerror}") from error
        return len(lines)

    async def copy(self, conversation_id: str, *, up_to: int | None = None, cwd: str = "") -> Conversation:
        """A fork: the events up to a seq (None: all) byte for byte under a new id.

        Then comes a `ConversationStarted` that says what it was forked from; the copied one stays the first.  Raises
        `StoreError`.
        """
        source = self._there(conversation_id)
        last = source.last_seq if up_to is None else min(up_to, source.last_seq)
        started = ConversationStarted(
            conversation_id=new_id("conv"),
            agent_id=source.agent_id,
            cwd=cwd or source.cwd,
            version=__version__,
            forked_from=conversation_id,
        )
        await self._engine.write(lambda database: _copy_rows(database, source, started, last))
        await self._journal.append(started.conversation_id, [started])
        return self._there(started.conversation_id)


def _copy_rows(database: Database, source: Conversation, started: ConversationStarted, last: int) -> None:
    new = started.conversation_id
    with database.transaction():
        start_conversation(database, started, utc_now())
        database.query(
            "INSERT INTO events (conversation_id, seq, type, run_id, at, crc, body) "
            "SELECT ?, seq, type, run_id, at, crc, body FROM events WHERE conversation_id = ? AND seq <= ?",
            [new, source.id, last],
        )
        database.query(
            "INSERT INTO event_keys (conversation_id, name, seq) "
            "SELECT ?, name, seq FROM event_keys WHERE conversation_id = ? AND seq <= ?",
            [new, source.id, last],
        )
        database.query(
            "UPDATE conversations SET title = ?, opening = ?, last_seq = ?, message_count = "
            "(SELECT COUNT(*) FROM events WHERE conversation_id = ? AND type IN ('user_message', 'assistant_message')) "
            "WHERE id = ?",
            [source.title, source.opening, last, new, new],
        )


def _conversation(row: Row) -> Conversation:
    return Conversation(
        id=row[0],
        agent_id=row[1],
        cwd=row[2],
        title=row[3],
        opening=row[4],
        created_at=row[5],
        updated_at=row[6],
        last_seq=row[7],
        message_count=row[8],
        forked_from=row[9],
    )
