"""Ledger: what happened in one conversation: stored first, then taken into its history, then told to who listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from letta_code.agent.history import History
from letta_code.agent.live.partial import Partial
from letta_code.agent.uncut import finish
from letta_code.core import events as ev
from letta_code.core.errors import StoreFull

STORAGE_RETRY_SECONDS = 1.0


class ConversationJournal(Protocol):
    """Where a conversation's events are kept (the store, for one conversation)."""

    async def append(self, events: Sequence[ev.KnownEvent]) -> Sequence[ev.KnownEvent]:
        """Keep events in one commit; gives them back with `seq` and `at`.  Raises `StoreError`."""
        ...

    async def answer(self, event: ev.RequestAnswered) -> tuple[ev.RequestAnswered, bool]:
        """Keep the first answer to a request; gives the one that stands and whether it is this one."""
        ...

    async def read(self, after: int, until: int) -> Sequence[ev.Event]:
        """Stored events with `after < seq <= until`."""
        ...

    async def close(self) -> None:
        """Give the conversation back to other writers."""
        ...


class Listening(NamedTuple):
    """What somebody gets who begins to listen: the last stored seq, the partial state of now, and then each event.

    None in the queue is the session's end.
    """

    last_seq: int
    partial: tuple[ev.LiveEvent, ...]
    queue: asyncio.Queue[ev.Event | ev.LiveEvent | None]


class Ledger:
    """Writes the journal and keeps the history in step with it.

    `run_id` names the run that goes on ("" for none), which marks what is stored; `heard` is called with each event
    that was stored.
    """

    def __init__(
        self,
        journal: ConversationJournal,
        history: History,
        *,
        run_id: Callable[[], str],
        heard: Callable[[ev.KnownEvent], None],
    ) -> None:
        self.history = history
        self._run_id = run_id
        self._journal = journal
        self._heard = heard
        self._listeners: list[asyncio.Queue[ev.Event | ev.LiveEvent | None]] = []
        self._partial = Partial()
        self._committing = asyncio.Lock()
        self._closing = False

    async def commit(self, *events: ev.KnownEvent) -> None:
        """Keep events in one commit, then take them in and tell of them.

        A full disk pauses here, with a live event, until there is room again.  Cancellation is held back until the
        commit has ended, so that what is stored and what is known never differ.
        """
        if not events:
            return
        run_id = self._run_id()
        marked = [replace(e, run_id=run_id) if run_id and not e.run_id else e for e in events]
        cancelled = await finish(asyncio.ensure_future(self._commit(marked)))
        if cancelled:
            raise asyncio.CancelledError

    async def _commit(self, events: Sequence[ev.KnownEvent]) -> None:
        async with self._committing:
            attempt = 0
            while True:
                try:
                    stored = await self._journal.append(events)
                    break
                except StoreFull as error:
                    attempt += 1
                    if self._closing:
                        raise
                    self.publish(
                        ev.Waiting(phase="storage", seconds=STORAGE_RETRY_SECONDS, attempt=attempt, reason=str(error))
                    )
                    await asyncio.sleep(STORAGE_RETRY_SECONDS)
            self._take_in(stored)

    async def answer(self, event: ev.RequestAnswered) -> tuple[ev.RequestAnswered, bool]:
        """Keep the first answer to a request; gives the one that stands and whether it is this one."""
        marked = replace(event, run_id=self._run_id())
        async with self._committing:
            stands, first = await self._journal.answer(marked)
            if first:
                self._take_in([stands])
        return stands, first

    def _take_in(self, stored: Sequence[ev.KnownEvent]) -> None:
        for event in stored:
            if event.seq <= self.history.last_seq:
                continue  # it was kept before (a client id that is known already)
            self.history.apply(event)
            self.publish(event)
            self._heard(event)

    def publish(self, event: ev.Event | ev.LiveEvent) -> None:
        """Tell all listeners."""
        self._partial.take(event)
        for queue in self._listeners:
            queue.put_nowait(event)

    async def read(self, after: int, until: int) -> Sequence[ev.Event]:
        """Stored events with `after < seq <= until` that count (see `View`)."""
        return self.history.view.of(await self._journal.read(after, until))

    @contextmanager
    def listening(self) -> Generator[Listening]:
        """Listen from this moment on."""
        queue: asyncio.Queue[ev.Event | ev.LiveEvent | None] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            yield Listening(self.history.last_seq, self._partial.now(), queue)
        finally:
            self._listeners.remove(queue)

    async def log(self) -> Sequence[ev.Event]:
        """All stored events, those that count no longer too."""
        return await self._journal.read(0, self.history.last_seq)

    async def follow(self, after: int, first: Sequence[ev.Event]) -> AsyncIterator[ev.Event | ev.LiveEvent]:
        """`first`, stored events after a seq that count, the partial state of now, then all as it happens.

        Who gets a `Rewound` with a `to_seq` as it happens begins anew: what came between counts no longer.
        """
        with self.listening() as (until, so_far, queue):
            view = self.history.view
            for event in (*first, *view.of(await self._journal.read(after, until)), *so_far):
                yield event
            while (item := await queue.get()) is not None:
                yield item

    def closing(self) -> None:
        """From now on a full disk is an error: nobody waits for room any more."""
        self._closing = True

    async def close(self) -> None:
        """End who listens and give the journal back."""
        for queue in self._listeners:
            queue.put_nowait(None)
        await self._journal.close()
