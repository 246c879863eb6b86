"""One append: what happens in its transaction, and what follows the commit."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import msgspec

from letta_code.core.errors import StoreError
from letta_code.core.events import (
    AssistantMessage,
    ConversationRenamed,
    ConversationStarted,
    KnownEvent,
    MessageQueued,
    RequestAnswered,
    RequestMade,
    RunFinished,
    RunStarted,
    StopReason,
    UnknownEvent,
    UserMessage,
    decode,
    encode,
    type_of,
)
from letta_code.core.ids import utc_now
from letta_code.core.messages import text_of
from letta_code.host.locks import this_process
from letta_code.store.dialect import Database
from letta_code.store.mirror import Mirror, StoredRow

OPENING_CHARACTERS = 200
_ID_CHARACTERS = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-")


class RunStatus:
    """The values of a run's status."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"  # for an answer
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    ORPHANED = "orphaned"  # its process died


_END_STATUS = {
    StopReason.ERROR: RunStatus.FAILED,
    StopReason.INTERRUPTED: RunStatus.INTERRUPTED,
    StopReason.ORPHANED: RunStatus.ORPHANED,
}


class ConversationInDatabase:
    """A conversation's rows, as its mirror asks for them."""

    def __init__(self, database: Database, conversation_id: str) -> None:
        self._database = database
        self._conversation_id = conversation_id

    def last_seq(self) -> int:
        """The seq of its last event, 0 when there is none."""
        rows = self._database.query("SELECT last_seq FROM conversations WHERE id = ?", [self._conversation_id])
        return int(rows[0][0]) if rows else 0

    def rows_after(self, seq: int) -> list[StoredRow]:
        """Its events after a seq, in order."""
        rows = self._database.query(
            "SELECT seq, crc, body FROM events WHERE conversation_id = ? AND seq > ? ORDER BY seq",
            [self._conversation_id, seq],
        )
        return [StoredRow(seq=row[0], crc=row[1], body=row[2]) for row in rows]


class AppendWork:
    """The writer's job for one append; `wake` is told the conversation once its events are durable."""

    def __init__(
        self, conversation_id: str, events: Sequence[KnownEvent], mirror: Mirror | None, wake: Callable[[str], None]
    ) -> None:
        self._conversation_id = conversation_id
        self._events = tuple(events)
        self._mirror = mirror
        self._wake = wake

    def __call__(self, database: Database) -> tuple[KnownEvent, ...]:
        """Keep the events; the ones kept, in the order they were given."""
        if not self._events:
            return ()
        with database.transaction():
            transaction = _Transaction(database, self._conversation_id, self._events[0])
            kept = tuple(transaction.keep(event) for event in self._events)
            transaction.finish()
        if transaction.rows:
            if self._mirror is not None:
                source = ConversationInDatabase(database, self._conversation_id)
                self._mirror.record(self._conversation_id, transaction.rows, source)
            self._wake(self._conversation_id)
        return kept


class _Transaction:
    """What one append changes: events, their once-only names, the conversation's summary and its runs."""

    def __init__(self, database: Database, conversation_id: str, first: KnownEvent) -> None:
        self._database = database
        self._id = conversation_id
        self._now = utc_now()
        self.rows: list[StoredRow] = []
        self._last = self._locked_last_seq(first)
        self._messages = 0
        self._title: str | None = None
        self._opening = ""

    def _locked_last_seq(self, first: KnownEvent) -> int:
        # An update that changes nothing: it locks the row in engines that lock rows.
        sql = "UPDATE conversations SET last_seq = last_seq WHERE id = ? RETURNING last_seq"
        rows = self._database.query(sql, [self._id])
        if rows:
            return int(rows[0][0])
        if not isinstance(first, ConversationStarted) or first.conversation_id != self._id:
            raise StoreError(f"There is no conversation {self._id}", hint="Look at the list of conversations.")
        start_conversation(self._database, first, self._now)
        return 0

    def keep(self, event: KnownEvent) -> KnownEvent:
        own, others = _once_names(event)
        if own:
            seq = self._known(own, *others)
            if seq:
                return self._kept_before(seq)
        self._last += 1
        event = msgspec.structs.replace(event, seq=self._last, at=self._now)
        body = encode(event)
        crc = zlib.crc32(body)
        self._database.query(
            "INSERT INTO events (conversation_id, seq, type, run_id, at, crc, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [self._id, self._last, type_of(event), event.run_id, self._now, crc, body],
        )
        if own:
            self._database.query(
                "INSERT INTO event_keys (conversation_id, name, seq) VALUES (?, ?, ?)", [self._id, own, self._last]
            )
        self.rows.append(StoredRow(seq=self._last, crc=crc, body=body))
        self._summarise(event)
        return event

    def _known(self, *names: str) -> int:
        marks = ", ".join("?" * len(names))
        sql = f"SELECT seq FROM event_keys WHERE conversation_id = ? AND name IN ({marks}) ORDER BY seq"
        rows = self._database.query(sql, [self._id, *names])
        return int(rows[0][0]) if rows else 0

    def _kept_before(self, seq: int) -> KnownEvent:
        rows = self._database.query(
            "SELECT crc, body FROM events WHERE conversation_id = ? AND seq = ?", [self._id, seq]
        )
        if rows and zlib.crc32(rows[0][1]) == rows[0][0]:
            event = decode(rows[0][1])
            if not isinstance(event, UnknownEvent):
                return event
        raise StoreError(f"Event {seq} of {self._id} was kept before but cannot be read")

    def _summarise(self, event: KnownEvent) -> None:
        match event:
            case UserMessage():
                self._messages += 1
                self._opening = self._opening or _first_line(text_of(event.content))
            case AssistantMessage():
                self._messages += 1
            case ConversationRenamed():
                self._title = event.title
            case RunStarted():
                self._run_started(event)
            case RunFinished():
                status = _END_STATUS.get(event.reason, RunStatus.FINISHED)
                sql = "UPDATE runs SET status = ?, ended_at = ? WHERE id = ?"
                self._database.query(sql, [status, self._now, event.run_id])
            case RequestMade():
                self._runs_to(RunStatus.WAITING, RunStatus.RUNNING)
            case RequestAnswered():
                self._runs_to(RunStatus.RUNNING, RunStatus.WAITING)
            case _:
                pass

    def _run_started(self, event: RunStarted) -> None:
        if not event.run_id:
            raise StoreError("A run without an id was to be kept")
        owner = msgspec.json.encode(this_process()).decode()
        self._database.query(
            "INSERT INTO runs (id, conversation_id, status, owner, started_at, ended_at) VALUES (?, ?, ?, ?, ?, '') "
            "ON CONFLICT (id) DO UPDATE SET status = excluded.status, owner = excluded.owner",
            [event.run_id, self._id, RunStatus.RUNNING, owner, self._now],
        )

    def _runs_to(self, status: str, before: str) -> None:
        # The one writer of a conversation has one live run; the answer may come from a face that does not know its id.
        sql = "UPDATE runs SET status = ? WHERE conversation_id = ? AND status = ?"
        self._database.query(sql, [status, self._id, before])

    def finish(self) -> None:
        if not self.rows:
            return
        self._database.query(
            "UPDATE conversations SET last_seq = ?, updated_at = ?, message_count = message_count + ?, "
            "title = COALESCE(?, title), opening = CASE WHEN opening = '' THEN ? ELSE opening END WHERE id = ?",
            [self._last, self._now, self._messages, self._title, self._opening, self._id],
        )


def _once_names(event: KnownEvent) -> tuple[str, tuple[str, ...]]:
    """The name under which an event may be kept once ("" for any number), and other names that forbid it too."""
    match event:
        case UserMessage(client_id=client_id) if client_id:
            return f"message:{client_id}", ()
        case MessageQueued(client_id=client_id) if client_id:
            # Delivered already, or at once: sending it again must not queue it.
            return f"queued:{client_id}", (f"message:{client_id}",)
        case RequestAnswered(request_id=request_id):
            return f"answer:{request_id}", ()
        case _:
            return "", ()


def _first_line(text: str) -> str:
    for line in text.splitlines():
        if line.strip():
            return line.strip()[:OPENING_CHARACTERS]
    return ""


def start_conversation(database: Database, event: ConversationStarted, now: str) -> None:
    """Make the row of a new conversation, inside a transaction; raises `StoreError` for a bad id or unknown agent."""
    name = event.conversation_id
    if not name or len(name) > 80 or not _ID_CHARACTERS.issuperset(name):
        raise StoreError(f"{name!r} cannot be a conversation's id")
    if not database.query("SELECT 1 FROM agents WHERE id = ?", [event.agent_id]):
        raise StoreError(f"There is no agent {event.agent_id}")
    database.query(
        "INSERT INTO conversations (id, agent_id, cwd, title, opening, created_at, updated_at, last_seq, "
        "message_count, forked_from) VALUES (?, ?, ?, '', '', ?, ?, 0, 0, ?)",
        [name, event.agent_id, event.cwd, now, now, event.forked_from],
    )
