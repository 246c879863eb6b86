"""One append: what happens in its transaction, and what follows the commit."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from letta_code.core.errors import StoreError
from letta_code.core.events import (
    ConversationStarted,
    KnownEvent,
    RunResumed,
    RunStarted,
    UnknownEvent,
    decode,
    encode,
    type_of,
)
from letta_code.core.ids import utc_now
from letta_code.core.redaction import Redactor
from letta_code.host.locks import this_process
from letta_code.store.dialect import Database
from letta_code.store.mirror import Mirror, StoredRow, is_sound
from letta_code.store.summary import Summary, once_names, start_conversation


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
        """Its sound events after a seq, in order; damage is not copied."""
        rows = self._database.query(
            "SELECT seq, crc, body FROM events WHERE conversation_id = ? AND seq > ? ORDER BY seq",
            [self._conversation_id, seq],
        )
        return [StoredRow(seq=row[0], crc=row[1], body=row[2]) for row in rows if is_sound(row[1], row[2])]


class AppendWork:
    """The writer's job for one append; `wake` is told the conversation once its events are durable."""

    def __init__(
        self,
        conversation_id: str,
        events: Sequence[KnownEvent],
        mirror: Mirror | None,
        wake: Callable[[str], None],
        redactor: Redactor,
    ) -> None:
        self._conversation_id = conversation_id
        self._events = tuple(events)
        self._redactor = redactor
        self._mirror = mirror
        self._wake = wake

    def __call__(self, database: Database) -> tuple[KnownEvent, ...]:
        """Keep the events; the ones kept, in the order they were given."""
        if not self._events:
            return ()
        events = [self._redactor.redact(event, self._conversation_id) for event in self._events]
        with database.transaction():
            transaction = _Transaction(database, self._conversation_id, events[0])
            kept = tuple(transaction.keep(event) for event in events)
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
        self._summary = Summary(database, conversation_id)

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
        own, others = once_names(event)
        if own:
            seq = self._known(own, *others)
            if seq:
                return self._kept_before(seq)
        self._last += 1
        event, body = _encoded(msgspec.structs.replace(event, seq=self._last, at=self._now))
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
        self._summary.see(event)
        begins = isinstance(event, RunStarted | RunResumed)
        self._summary.see_run(event, self._now, this_process() if begins else None)
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
        if rows and is_sound(*rows[0]):
            event = decode(rows[0][1])
            if not isinstance(event, UnknownEvent):
                return event
        raise StoreError(f"Event {seq} of {self._id} was kept before but cannot be read")

    def finish(self) -> None:
        if self.rows:
            self._summary.save(self._last, self._now)


def _encoded(event: KnownEvent) -> tuple[KnownEvent, bytes]:
    """The event and its JSON; half a surrogate pair, which no UTF-8 can hold, becomes the replacement character."""
    try:
        return event, encode(event)
    except UnicodeEncodeError:
        whole = msgspec.convert(_without_surrogates(msgspec.to_builtins(event)), type(event))
        return whole, encode(whole)


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return "".join("\ufffd" if "\ud800" <= sign <= "\udfff" else sign for sign in value)
        case list() | tuple():
            return [_without_surrogates(item) for item in cast("list[Any]", value)]
        case dict():
            pairs = cast("dict[str, Any]", value).items()
            return {_without_surrogates(name): _without_surrogates(item) for name, item in pairs}
        case _:
            return value
