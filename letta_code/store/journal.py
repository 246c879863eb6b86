"""The journal: append events, read them back as they were written, follow them from any process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Generator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from letta_code.core.errors import StoreError
from letta_code.core.events import Event, KnownEvent, Notice, RequestAnswered, decode
from letta_code.core.messages import Value
from letta_code.core.redaction import Redactor
from letta_code.store.append import AppendWork
from letta_code.store.dialect import Row
from letta_code.store.engine import Engine
from letta_code.store.mirror import Mirror, is_sound
from letta_code.store.salvage import find_in_mirror

T = TypeVar("T", bound=KnownEvent)

POLL_SECONDS = 0.1
PAGE = 500


class StoredEvent(Value, frozen=True):
    """An event as it is kept: `raw` is its JSON, byte for byte as first written.

    A row that is damaged beyond help is told as a `Notice` in its place: `damage` says what is wrong, `raw` is what is
    left of it.
    """

    seq: int
    event: Event
    raw: bytes
    damage: str = ""


class Journal:
    """The events of all conversations.  Reading blocks for as long as a query takes; appending never blocks."""

    def __init__(
        self, engine: Engine, mirror: Mirror | None, backups: Path | None = None, redactor: Redactor | None = None
    ) -> None:
        self._engine = engine
        self._redactor = redactor
        self._mirror = mirror
        self._backups = backups
        self._followers = _Followers()
        self._mended: set[str] = set()  # conversations with events from their readable copies, as a person was told

    async def append(self, conversation_id: str, events: Sequence[KnownEvent]) -> tuple[KnownEvent, ...]:
        """Keep events, all or none, in one commit; returns them with `seq` and `at` set once they are durable.

        A conversation begins with the append whose first event is its `ConversationStarted`.  What may happen once only
        is not kept twice: for a user's or queued message with a known client id, or an answer to an answered request,
        the event that is already kept is returned in its place (told by its smaller seq).  Any process may append.
        Secrets in them are replaced before (the kept events are returned so).  Raises `StoreError` (`StoreFull`,
        `StoreReadOnly`, or no redactor was given): nothing was kept.
        """
        if self._redactor is None:
            raise StoreError(
                f"{self._engine.path} was opened without a redactor: events could be kept with secrets in them.",
                hint="Give one to Store.open(redactor=…).",
            )
        work = AppendWork(conversation_id, events, self._mirror, self._followers.wake, self._redactor)
        return await self._engine.write(work)

    async def answer(self, conversation_id: str, answer: RequestAnswered) -> RequestAnswered:
        """Keep an answer if it is the first to its request; returns the first one, whoever gave it."""
        kept = (await self.append(conversation_id, [answer]))[0]
        if not isinstance(kept, RequestAnswered):
            raise StoreError(f"The answer to {answer.request_id} in {conversation_id} is damaged")
        return kept

    def read(self, conversation_id: str, after: int = 0, limit: int | None = None) -> list[StoredEvent]:
        """The events after a seq, in order, at most `limit`; none for a conversation that does not exist."""
        sql = "SELECT seq, crc, body FROM events WHERE conversation_id = ? AND seq > ? ORDER BY seq"
        values: list[str | int] = [conversation_id, after]
        if limit is not None:
            sql += " LIMIT ?"
            values.append(limit)
        rows = self._engine.reader().query(sql, values)
        return self._checked(conversation_id, after, rows)

    def newest(self, conversation_id: str, kind: type[T]) -> T | None:
        """The newest event of one kind; None without, and where it is damaged.  Reads that row only."""
        tag = str(kind.__struct_config__.tag)
        sql = "SELECT crc, body FROM events WHERE conversation_id = ? AND type = ? ORDER BY seq DESC LIMIT 1"
        rows = self._engine.reader().query(sql, [conversation_id, tag])
        event = _sound(*rows[0]) if rows else None
        return event if isinstance(event, kind) else None

    def _checked(self, conversation_id: str, after: int, rows: list[Row]) -> list[StoredEvent]:
        checked: list[StoredEvent] = []
        seq = after
        for number, crc, body in rows:
            if number != seq + 1:
                lost = range(seq + 1, number)
                checked += [self._restored(conversation_id, one, b"", "it is missing") for one in lost]
            seq = number
            event = _sound(crc, body)
            if event is not None:
                checked.append(StoredEvent(seq=seq, event=event, raw=body))
            else:
                left = body if isinstance(body, bytes) else b""
                checked.append(self._restored(conversation_id, seq, left, "its checksum differs"))
        return checked

    def _restored(self, conversation_id: str, seq: int, left: bytes, damage: str) -> StoredEvent:
        """A damaged event from the mirror or a copy of the database that still has it, else a notice in its place."""
        path = self._mirror.path(conversation_id) if self._mirror else None
        row, where = (find_in_mirror(path, seq) if path else None), "its readable copy"
        if row is None and self._backups is not None:
            from letta_code.store.backing import find_in_backups

            row, where = find_in_backups(self._backups, conversation_id, seq)
        if row is not None:
            self._tell_mended(conversation_id, where)
            return StoredEvent(seq=seq, event=decode(row.body), raw=row.body)
        notice = Notice(
            seq=seq,
            at=self._time_of(conversation_id, seq),
            level="error",
            code="damaged_event",
            text=f"Event {seq} of {conversation_id} was set aside: {damage}.",
            hint=f"Its remains ({len(left)} bytes) stay in {self._engine.path}.",
        )
        return StoredEvent(seq=seq, event=notice, raw=left, damage=damage)

    def _time_of(self, conversation_id: str, seq: int) -> str:
        """When a damaged event was kept, as its row says; "" where it is gone."""
        sql = "SELECT at FROM events WHERE conversation_id = ? AND seq = ?"
        rows = self._engine.reader().query(sql, [conversation_id, seq])
        return str(rows[0][0]) if rows else ""

    def _tell_mended(self, conversation_id: str, where: str) -> None:
        if conversation_id not in self._mended:
            self._mended.add(conversation_id)
            self._engine.notices += (
                f"{self._engine.path} has damaged events of {conversation_id}; they were read from {where}. "
                "`letta-code doctor` says how the store is.",
            )

    def last_seq(self, conversation_id: str) -> int:
        """The seq of the conversation's last event, 0 when it does not exist."""
        rows = self._engine.reader().query("SELECT last_seq FROM conversations WHERE id = ?", [conversation_id])
        return int(rows[0][0]) if rows else 0

    async def follow(self, conversation_id: str, after: int = 0) -> AsyncIterator[StoredEvent]:
        """The events after a seq, then each as it is kept, by this process (at once) or another (within 0.1 s).

        Ends when the store is closed.  Costs a few microseconds ten times a second while nothing happens.
        """
        mark = -1
        with self._followers.one(conversation_id) as wake:
            while not self._engine.closed:
                wake.clear()
                try:
                    now = self._engine.reader().change_mark()
                    page = self.read(conversation_id, after, PAGE) if now != mark else []
                except StoreError:
                    if self._engine.closed:  # by another thread, just now
                        return
                    raise
                mark = now
                for stored in page:
                    after = stored.seq
                    yield stored
                if not page:
                    await _woken(wake)
                elif len(page) == PAGE:
                    mark = -1  # there may be more of what was seen

    @property
    def mirror_problem(self) -> str:
        """Why the readable copy could not be written last time; "" when all is well."""
        return self._mirror.problem if self._mirror else ""

    def has_mirror(self, conversation_id: str) -> bool:
        """Whether a readable copy of that name is there."""
        return self._mirror is not None and self._mirror.path(conversation_id).exists()

    def close(self) -> None:
        """Wake every follower, so that it ends."""
        self._followers.wake("")


def _sound(crc: object, body: object) -> Event | None:
    """The event of a row, None where the row does not hold what was written to it."""
    if not is_sound(crc, body):
        return None
    assert isinstance(body, bytes)
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


async def _woken(wake: asyncio.Event) -> None:
    """Until somebody in this process appended, or the time to look for another process's work."""
    timer = asyncio.get_running_loop().call_later(POLL_SECONDS, wake.set)
    try:
        await wake.wait()
    finally:
        timer.cancel()


class _Followers:
    """Who waits for which conversation in this process; woken from the writer's thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: dict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}

    @contextlib.contextmanager
    def one(self, conversation_id: str) -> Generator[asyncio.Event]:
        """An event of the running loop that is set whenever the conversation grows."""
        wake = asyncio.Event()
        entry = (asyncio.get_running_loop(), wake)
        with self._guard:
            self._waiting.setdefault(conversation_id, set()).add(entry)
        try:
            yield wake
        finally:
            with self._guard:
                others = self._waiting[conversation_id]
                others.discard(entry)
                if not others:
                    del self._waiting[conversation_id]

    def wake(self, conversation_id: str) -> None:
        """Wake the followers of a conversation, of all with ""."""
        with self._guard:
            if not self._waiting:
                return
            names = [conversation_id] if conversation_id else list(self._waiting)
            entries = [entry for name in names for entry in self._waiting.get(name, ())]
        for loop, wake in entries:
            with contextlib.suppress(RuntimeError):  # its loop was closed without ending the follower
                loop.call_soon_threadsafe(wake.set)
