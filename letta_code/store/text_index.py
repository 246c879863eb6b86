"""Text index: full text search of messages and passages (SQLite FTS5), in a file that may be deleted at any time.

It is filled from the store when something is searched, never when something is appended: an append costs what it cost,
and the store's writer never waits for the index.  All SQL here is SQLite's own: another engine gets another module.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from letta_code.core.errors import StoreBusy, StoreDamaged, StoreError, StoreFull, StoreReadOnly
from letta_code.core.events import Event, Rewound, ToolResult, decode
from letta_code.core.messages import Value
from letta_code.core.view import View
from letta_code.host.files import ensure_private_dir
from letta_code.store.dialect import Database, Row, SqlValue, connect
from letta_code.store.engine import Engine
from letta_code.store.passages import Passage, Passages
from letta_code.store.text_window import Spoken, Window, message_filter, passage_filter

_VERSION = 2  # of the tables below: it stands in the file's name, so that two versions never fight over one file
_PAGE = 500  # events that are indexed in one transaction …
_PAGE_BYTES = 2_000_000  # … and how large they may be, but for the first one
_BUSY_MILLISECONDS = 3_000  # that another process is waited for: what is indexed is searched even so
_PART = 20_000  # characters of a message that are one entry: snippets of a longer one take seconds
_OVERLAP = 400  # characters that two parts share, so that phrases at their border are found
_SNIPPET = 48  # words of a snippet
_TOKENIZER = "porter unicode61 remove_diacritics 2"
_TABLES = (
    "CREATE TABLE marks (name TEXT PRIMARY KEY, mark INTEGER NOT NULL)",
    """CREATE TABLE messages (
        id INTEGER PRIMARY KEY, conversation_id TEXT NOT NULL, seq INTEGER NOT NULL, agent_id TEXT NOT NULL,
        role TEXT NOT NULL, at TEXT NOT NULL, message_id TEXT NOT NULL, start INTEGER NOT NULL, text TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX messages_by_place ON messages (conversation_id, seq, start)",
    "CREATE INDEX messages_by_time ON messages (agent_id, at)",
    f"CREATE VIRTUAL TABLE message_text USING fts5 (text, content='messages', content_rowid='id', "
    f"tokenize='{_TOKENIZER}')",
    """CREATE TABLE passages (
        id INTEGER PRIMARY KEY, passage_id TEXT NOT NULL UNIQUE, agent_id TEXT NOT NULL, at TEXT NOT NULL,
        tags TEXT NOT NULL, text TEXT NOT NULL, body BLOB NOT NULL)""",
    f"CREATE VIRTUAL TABLE passage_text USING fts5 (text, content='passages', content_rowid='id', "
    f"tokenize='{_TOKENIZER}')",
)


class MessageHit(Value, frozen=True):
    """A message that was found: `text` is a snippet around the words, or all of the `entry` of the index."""

    conversation_id: str
    seq: int
    role: str
    at: str
    message_id: str
    text: str
    entry: int = 0


class Behind(Value, frozen=True):
    """How many events are not indexed yet; `busy` when another process kept us from doing it."""

    events: int = 0
    busy: bool = False


class PassageHit(Value, frozen=True):
    """A passage that was found; a greater `score` is a better match."""

    passage: Passage
    score: float = 0.0


class TextIndex:
    """The index of one home, in `directory`; made when first needed.  Safe in several threads and processes.

    `of` says what of an event is searched (None: nothing).  Raises `StoreError`; a damaged file is then gone, and the
    next call makes it anew.  A file that is only busy (`StoreBusy`) stays.
    """

    def __init__(
        self, engine: Engine, passages: Passages, directory: Path, of: Callable[[Event], Spoken | None]
    ) -> None:
        self._engine = engine
        self._passages = passages
        self._path = directory / f"text-{_VERSION}.db"
        self._of = of
        self._guard = threading.Lock()
        self._database: Database | None = None

    def close(self) -> None:
        """Give the file back."""
        with self._guard:
            database, self._database = self._database, None
            if database is not None:
                database.close()

    @contextlib.contextmanager
    def _open(self) -> Generator[Database]:
        with self._guard:
            if self._database is None:
                self._database = self._connected()
            try:
                yield self._database
            except (StoreBusy, StoreFull, StoreReadOnly):
                raise  # the file is sound, and others may be using it
            except StoreError as error:
                if isinstance(error, StoreDamaged) or self._database.damage():
                    self._thrown_away()
                raise
            except (TypeError, ValueError) as error:  # a value that we never wrote: nothing, or bytes that are no text
                self._thrown_away()
                words = f"{self._path} holds a value that is none of ours"
                raise StoreDamaged(words, hint="It is made anew.") from error

    def _thrown_away(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        self._remove()

    def _connected(self) -> Database:
        ensure_private_dir(self._path.parent)
        with contextlib.suppress(StoreDamaged):
            return self._prepared()
        self._remove()
        return self._prepared()

    def _remove(self) -> None:
        """Throw the file away: it holds only what can be made again."""
        for suffix in ("", "-wal", "-shm"):
            _throw_away(self._path.with_name(self._path.name + suffix))

    def _prepared(self) -> Database:
        database = connect(self._path, read_only=False)
        try:
            database.query(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
            database.query("PRAGMA journal_mode = WAL")
            database.query("PRAGMA synchronous = NORMAL")  # a power loss may cost the last entries: they are made again
            if database.schema_version() == 0:  # reading waits for nobody
                self._make_tables(database)
            if not database.has_table("marks"):
                raise StoreDamaged(f"{self._path} has no tables of ours", hint="It is made anew.")
        except BaseException:
            database.close()
            raise
        return database

    def _make_tables(self, database: Database) -> None:
        with database.transaction():
            if database.schema_version() == 0:  # no other process was quicker
                for statement in _TABLES:
                    database.query(statement)
                database.set_schema_version(_VERSION)

    # ------------------------------------------------------------ filling

    def catch_up(self, agent_id: str, seconds: float | None = None) -> Behind:
        """Index what was said since the last time; stops after `seconds`, or when another process holds the file.

        A conversation whose events were replaced (a restored store) is indexed anew.
        """
        end = None if seconds is None else time.monotonic() + seconds
        sql = "SELECT id, last_seq FROM conversations WHERE agent_id = ? ORDER BY updated_at DESC"
        last = {str(row[0]): int(row[1]) for row in self._engine.reader().query(sql, [agent_id])}
        marks: dict[str, int] = {}
        busy = False
        try:
            with self._open() as database:
                marks.update((str(row[0]), int(row[1])) for row in database.query("SELECT name, mark FROM marks"))
                self._index_passages(database, marks.get("", 0))
                for conversation, seq in last.items():
                    if marks.get(conversation, 0) > seq:
                        marks[conversation] = self._forget(database, conversation)
                    while marks.get(conversation, 0) < seq and (end is None or time.monotonic() < end):
                        mark = marks.get(conversation, 0)
                        marks[conversation] = self._index_page(database, agent_id, conversation, mark)
        except StoreBusy:
            busy = True
        return Behind(events=sum(max(seq - marks.get(name, 0), 0) for name, seq in last.items()), busy=busy)

    def _forget(self, database: Database, conversation: str) -> int:
        with database.transaction():
            rows = database.query("SELECT id, text FROM messages WHERE conversation_id = ?", [conversation])
            for number, text in rows:
                database.query(
                    "INSERT INTO message_text (message_text, rowid, text) VALUES ('delete', ?, ?)", [number, text]
                )
            database.query("DELETE FROM messages WHERE conversation_id = ?", [conversation])
            database.query("DELETE FROM marks WHERE name = ?", [conversation])
        return 0

    def _index_page(self, database: Database, agent_id: str, conversation: str, mark: int) -> int:
        until = self._page_end(conversation, mark)
        sql = "SELECT seq, at, body FROM events WHERE conversation_id = ? AND seq > ? AND seq <= ? ORDER BY seq"
        rows = self._engine.reader().query(sql, [conversation, mark, until])
        found = [(int(seq), str(at), spoken) for seq, at, body in rows if (spoken := self._spoken(body))]
        last = int(rows[-1][0]) if rows else mark + 1
        with database.transaction():
            # Another process may have indexed these meanwhile: inside the transaction its mark is seen.
            known = database.query("SELECT mark FROM marks WHERE name = ?", [conversation])
            if known and int(known[0][0]) != mark:
                return int(known[0][0])
            for seq, at, spoken in found:
                for start, text in _parts(spoken.text):
                    number = database.query(
                        "INSERT INTO messages (conversation_id, seq, agent_id, role, at, message_id, start, text) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                        [conversation, seq, agent_id, spoken.role, at, spoken.message_id, start, text],
                    )[0][0]
                    database.query("INSERT INTO message_text (rowid, text) VALUES (?, ?)", [number, text])
            _set_mark(database, conversation, last)
        return last

    def _page_end(self, conversation: str, mark: int) -> int:
        """The last event of a page: few large ones, so that no transaction holds up others for long."""
        sql = "SELECT seq, LENGTH(body) FROM events WHERE conversation_id = ? AND seq > ? ORDER BY seq LIMIT ?"
        end, size = mark, 0
        for seq, length in self._engine.reader().query(sql, [conversation, mark, _PAGE]):
            size += int(length)
            if size > _PAGE_BYTES and end > mark:
                break
            end = int(seq)
        return end

    def _spoken(self, body: object) -> Spoken | None:
        if not isinstance(body, bytes):
            return None
        try:
            return self._of(decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None  # damaged: reading the conversation says so

    def catch_up_passages(self) -> None:
        """Index the passages that changed since the last time; they are few, so always all of them."""
        with self._open() as database:
            rows = database.query("SELECT mark FROM marks WHERE name = ''")
            self._index_passages(database, int(rows[0][0]) if rows else 0)

    def _index_passages(self, database: Database, mark: int) -> None:
        if mark > self._passages.last_change():
            with database.transaction():
                database.query("DELETE FROM passages")
                database.query("INSERT INTO passage_text (passage_text) VALUES ('rebuild')")
                _set_mark(database, "", 0)
            mark = 0
        while changed := self._passages.changed_since(mark, _PAGE):
            with database.transaction():
                for passage in changed:
                    _put_passage(database, passage)
                mark = changed[-1].change
                _set_mark(database, "", mark)

    # ------------------------------------------------------------ searching

    def unknown(self, agent_id: str, conversations: Sequence[str]) -> list[str]:
        """Those of these ids that are no conversation of the agent."""
        marks = ", ".join("?" * len(conversations))
        sql = f"SELECT id FROM conversations WHERE agent_id = ? AND id IN ({marks})"
        known = {row[0] for row in self._engine.reader().query(sql, [agent_id, *conversations])}
        return [name for name in conversations if name not in known]

    def view(self, conversation_id: str) -> View:
        """Which events of a conversation still count."""
        sql = "SELECT body FROM events WHERE conversation_id = ? AND type = 'rewound' ORDER BY seq"
        bodies = (row[0] for row in self._engine.reader().query(sql, [conversation_id]))
        back: list[tuple[int, int]] = []
        for body in bodies:
            with contextlib.suppress(msgspec.DecodeError):  # a damaged row is told where the conversation is read
                event = decode(body) if isinstance(body, bytes) else None
                if isinstance(event, Rewound) and event.to_seq:
                    back.append((event.seq, event.to_seq))
        return View(back, sys.maxsize if back else 0)

    def taint(self, conversation_id: str, seq: int) -> str:
        """The first source of text from outside that a conversation held by an event, "" when there was none."""
        sql = (
            "SELECT body FROM events WHERE conversation_id = ? AND type = 'tool_result' AND seq <= ?"
            ' AND instr(body, CAST(\'"taint":"\' AS BLOB)) > 0 ORDER BY seq LIMIT 1'
        )
        for (body,) in self._engine.reader().query(sql, [conversation_id, seq]):
            with contextlib.suppress(msgspec.DecodeError):
                event = decode(body) if isinstance(body, bytes) else None
                if isinstance(event, ToolResult):
                    return event.taint
        return ""

    def messages(self, match: str, window: Window, limit: int) -> list[MessageHit]:
        """The best messages for an FTS5 expression; a forked copy of a message is told once."""
        where, values = message_filter(window)
        sql = (
            "SELECT m.conversation_id, m.seq, m.role, m.at, m.message_id, '', m.id "
            "FROM message_text f JOIN messages m ON m.id = f.rowid "
            f"WHERE message_text MATCH ? AND {where} ORDER BY f.rank, m.at DESC LIMIT ?"
        )
        found = self._distinct(sql, [match, *values], limit)
        # Snippets of what is told only: they cost more than finding.
        sql = (
            f"SELECT snippet(message_text, 0, '', '', ' … ', {_SNIPPET}) FROM message_text "
            "WHERE message_text MATCH ? AND rowid = ?"
        )
        with self._open() as database:
            snippets = [database.query(sql, [match, hit.entry]) for hit in found]
        return [replace(hit, text=rows[0][0] if rows else "") for hit, rows in zip(found, snippets, strict=True)]

    def newest_messages(self, window: Window, limit: int, part: str = "") -> list[MessageHit]:
        """The newest messages, those that hold `part` word for word where it is given."""
        where, values = message_filter(window)
        if part:
            where, values = f"{where} AND instr(lower(m.text), ?) > 0", [*values, part.lower()]
        else:
            where += " AND m.start = 0"
        sql = (
            "SELECT m.conversation_id, m.seq, m.role, m.at, m.message_id, m.text, m.id FROM messages m "
            f"WHERE {where} ORDER BY m.at DESC, m.seq DESC LIMIT ?"
        )
        return self._distinct(sql, values, limit)

    def text_of(self, conversation_id: str, seq: int) -> str:
        """The whole text of a message that is indexed; "" of any other."""
        sql = "SELECT start, text FROM messages WHERE conversation_id = ? AND seq = ? ORDER BY start"
        with self._open() as database:
            rows = database.query(sql, [conversation_id, seq])
        whole = ""
        for start, text in rows:
            whole = whole[: int(start)] + str(text)
        return whole

    def _distinct(self, sql: str, values: Sequence[SqlValue], limit: int) -> list[MessageHit]:
        asked = limit * 2
        with self._open() as database:
            while True:
                rows = database.query(sql, [*values, asked])
                found: dict[str, MessageHit] = {}
                for row in rows:
                    hit = _message_hit(row)
                    first = found.setdefault(hit.message_id or f"{hit.conversation_id} {hit.seq}", hit)
                    if hit.conversation_id < first.conversation_id:  # the older one is the original
                        found[hit.message_id] = hit
                if len(found) >= limit or len(rows) < asked:
                    return list(found.values())[:limit]
                asked *= 4

    def passages(self, match: str, window: Window, limit: int) -> list[PassageHit]:
        """The best passages for an FTS5 expression."""
        where, values = passage_filter(window)
        sql = (
            "SELECT p.body, -f.rank FROM passage_text f JOIN passages p ON p.id = f.rowid "
            f"WHERE passage_text MATCH ? AND {where} ORDER BY f.rank, p.at DESC LIMIT ?"
        )
        with self._open() as database:
            return [_passage_hit(row) for row in database.query(sql, [match, *values, limit])]

    def newest_passages(self, window: Window, limit: int, part: str = "") -> list[PassageHit]:
        """The newest passages, those that hold `part` word for word where it is given."""
        where, values = passage_filter(window)
        if part:
            where, values = f"{where} AND instr(lower(p.text), ?) > 0", [*values, part.lower()]
        sql = f"SELECT p.body, 0.0 FROM passages p WHERE {where} ORDER BY p.at DESC, p.passage_id DESC LIMIT ?"
        with self._open() as database:
            return [_passage_hit(row) for row in database.query(sql, [*values, limit])]


def _parts(text: str) -> Generator[tuple[int, str]]:
    """A text in entries of the index, each with where it starts."""
    start = 0
    while len(text) - start > _PART:
        yield start, text[start : start + _PART]
        start += _PART - _OVERLAP
    yield start, text[start:]


def throw_away(directory: Path) -> None:
    """Remove the index of a home, of every version: it is made anew by the next search.  Raises `OSError`."""
    for path in directory.glob("text-*"):
        if ".corrupt-" not in path.name:
            _throw_away(path)


def _throw_away(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():  # not ours, so it is kept
        path.rename(path.with_name(f"{path.name}.corrupt-{time.time_ns()}"))
    else:
        path.unlink(missing_ok=True)


def _set_mark(database: Database, name: str, mark: int) -> None:
    database.query(
        "INSERT INTO marks (name, mark) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET mark = excluded.mark",
        [name, mark],
    )


def _put_passage(database: Database, passage: Passage) -> None:
    rows = database.query("SELECT id, text FROM passages WHERE passage_id = ?", [passage.id])
    for number, text in rows:
        database.query("INSERT INTO passage_text (passage_text, rowid, text) VALUES ('delete', ?, ?)", [number, text])
        database.query("DELETE FROM passages WHERE id = ?", [number])
    if passage.deleted_at:
        return
    text = "\n".join([passage.content, *passage.tags])
    number = database.query(
        "INSERT INTO passages (passage_id, agent_id, at, tags, text, body) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        [
            passage.id,
            passage.agent_id,
            passage.created_at,
            msgspec.json.encode(passage.tags).decode(),
            text,
            msgspec.json.encode(passage),
        ],
    )[0][0]
    database.query("INSERT INTO passage_text (rowid, text) VALUES (?, ?)", [number, text])


def _message_hit(row: Row) -> MessageHit:
    return MessageHit(
        conversation_id=row[0], seq=row[1], role=row[2], at=row[3], message_id=row[4], text=row[5], entry=row[6]
    )


def _passage_hit(row: Row) -> PassageHit:
    return PassageHit(passage=msgspec.json.decode(row[0], type=Passage), score=row[1])
