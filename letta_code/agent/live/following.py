"""Following: the stored events of a conversation that another process runs, and its live ones, in their order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from letta_code.agent.context import Context, Counter
from letta_code.agent.history import History
from letta_code.agent.live import wire
from letta_code.agent.live.link import Link
from letta_code.agent.live.partial import Partial
from letta_code.agent.live.words import silent_text
from letta_code.agent.port import Status
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.core.view import goes_back
from letta_code.host.locks import Owner

if TYPE_CHECKING:
    from letta_code.agent.workers import Workers
    from letta_code.llm.model import ModelInfo
    from letta_code.memory.desk import Desk
    from letta_code.store.database import Store

PAGE = 500
POLL_SECONDS = 0.1  # how often the store is looked at without the owner's word
QUIET_SECONDS = 1.0  # how long its word is waited for
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # between attempts to connect
WELCOME_SECONDS = 0.5
SILENT_SECONDS = 15.0  # three missed beats (`agent/heartbeat.py`): then the owner is stopped or hangs
SILENT_AGAIN = 5.0

Queue = asyncio.Queue[ev.Event | ev.LiveEvent | None]


class Following:
    """Follows a conversation to its owner's end, whatever the connection does."""

    def __init__(
        self,
        *,
        store: Store,
        path: Path,
        owner: Owner,
        history: History,
        state: Status,
        counter: Counter,
        desk: Desk | None = None,
        notices: Sequence[ev.Notice] = (),
        workers: Workers | None = None,
    ) -> None:
        """`path` is the owner's socket, `state` what is known without the owner; `store` is closed at the end."""
        self.conversation_id = state.conversation_id
        self.history = history
        self.owner = owner
        self._store = store
        self._desk = desk
        self._notices = notices
        self._workers = workers
        self._context = Context(history, counter)
        self._counter = counter
        self._state = state
        self._model: ModelInfo | None = None
        self._link = Link(path, owner)
        self._partial = Partial()
        self._mark = history.last_seq  # everything up to here was announced by the owner
        self._ahead: set[str] = set()  # messages and calls that ended beyond it
        self._listeners: list[Queue] = []
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._failure: BaseException | None = None
        self._silent_told = 0.0
        self.released = False  # its owner gave it to somebody, who is about to have it
        self._closed = False
        self._dialled = asyncio.Event()
        self._pump = asyncio.create_task(self._follow(), name=f"follow {self.conversation_id}")

    async def ready(self) -> None:
        """Wait a moment for the owner's first word: it may have begun just now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WELCOME_SECONDS):
                await self._dialled.wait()

    # ------------------------------------------------------------ following

    async def _follow(self) -> None:
        """Follow the owner to its end, whatever the connection does."""
        pause = FIRST_PAUSE
        try:
            while True:
                welcome = await self._dial()
                if welcome is not None:
                    pause = FIRST_PAUSE
                    if not self._welcomed(welcome) or await self._hear():
                        break
                if self._owner_gone():
                    break
                await self._watch(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            await self._catch_up()
        except asyncio.CancelledError:
            raise
        except LettaError as error:
            self._failure = error
        finally:
            self._end()

    async def _dial(self) -> wire.Welcome | None:
        """The owner's welcome, None when there is none; what is stored meanwhile is told."""
        dialling = asyncio.create_task(self._link.connect())
        try:
            while not dialling.done():
                await asyncio.wait([dialling], timeout=POLL_SECONDS)
                if not dialling.done():
                    await self._catch_up()
        finally:
            dialling.cancel()
        return dialling.result()

    def _welcomed(self, welcome: wire.Welcome) -> bool:
        """Take over the present; False when another process is the owner by now."""
        if welcome.pid != self.owner.pid:
            return False
        self._state, self._model = welcome.status, welcome.model
        self._mark = welcome.last_seq
        self._take_up_to(welcome.last_seq)
        old, text = self._partial.text()
        self._partial = Partial()
        present = [event for raw in welcome.partial if (event := wire.told_event(raw)) and not self._late(event)]
        for event in present:
            self._partial.take(event)
        if text and not (self._partial.text()[0] == old and self._partial.text()[1].startswith(text)):
            self._publish(ev.DraftDropped(message_id=old))  # it was begun again meanwhile
        for event in present:
            self._publish(event)
        self._dialled.set()
        return True

    async def _hear(self) -> bool:
        """Tell what the owner tells until the connection ends; True when it said that this is the end."""
        try:
            while True:
                said = await self._link.hear(QUIET_SECONDS)
                if said is not None:
                    self._answers()
                match said:
                    case None:
                        await self._catch_up()  # it may be stopped; others write too
                    case wire.Wake():
                        self._mark = max(self._mark, said.seq)
                        self._take_up_to(said.seq)
                    case wire.Told():
                        event = wire.told_event(said.event)
                        if event is not None and not self._late(event):
                            self._partial.take(event)
                            self._publish(event)
                    case wire.State():
                        self._state, self._model = said.status, said.model
                        self._pulse()
                    case wire.Bye():
                        self.released = said.reason == "released"
                        return True
                    case _:
                        pass
        except ConnectionError:
            return False
        finally:
            self._link.hang_up()

    def _late(self, event: ev.Event | ev.LiveEvent) -> bool:
        """Whether a live event speaks of what is over: the store was read further than the owner had announced."""
        if self._mark >= self.history.last_seq:
            self._ahead.clear()
            return False
        match event:
            case ev.TextDelta() | ev.ReasoningDelta() | ev.CallDelta() | ev.DraftDropped():
                return event.message_id in self._ahead
            case ev.ToolStarted() | ev.ToolOutput():
                return event.call_id in self._ahead
            case _:
                return isinstance(event, ev.Waiting)

    async def _watch(self, seconds: float) -> None:
        """Follow the store alone for a while."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            await asyncio.sleep(min(POLL_SECONDS, left))
            await self._catch_up()

    async def _catch_up(self) -> None:
        """Tell everything that is stored."""
        more = True
        while more:
            more = self._take_page(PAGE, None) == PAGE
            await asyncio.sleep(0)  # others get their turn between pages
        self._look_at_owner()

    def _answers(self) -> None:
        if self._silent_told:
            self._silent_told = 0.0
            self._publish(ev.Waiting(after_seq=self.history.last_seq, phase="answers"))

    def _look_at_owner(self) -> None:
        """Tell that the owner does not answer while a run goes on, every few seconds, and that it does again."""
        history = self.history
        goes_on = history.run is not None and history.run_moved is None and not self._ended.is_set()
        silent = self._store.runs.silent_for(self.conversation_id) if goes_on else 0.0
        if silent < SILENT_SECONDS:
            self._answers()
        elif not self._silent_told <= silent < self._silent_told + SILENT_AGAIN:
            self._silent_told = silent
            text = silent_text(f"process {self.owner.pid}", silent)
            self._publish(ev.Waiting(after_seq=history.last_seq, phase="silent", seconds=silent, reason=text))

    def _take_up_to(self, seq: int) -> None:
        while self.history.last_seq < seq and self._take_page(min(PAGE, seq - self.history.last_seq), seq):
            pass

    def _take_page(self, limit: int, until: int | None) -> int:
        page = self._store.read(self.conversation_id, self.history.last_seq, limit)
        for stored in page:
            if until is None or stored.seq <= until:
                self._take(stored.event)
        return len(page)

    def _take(self, event: ev.Event) -> None:
        if goes_back(event):
            known = [stored.event for stored in self._store.read(self.conversation_id) if stored.seq <= event.seq]
            now = History()
            now.extend(known)
            self.history.become(now)
        else:
            self.history.apply(event)
        if event.seq > self._mark:
            match event:
                case ev.AssistantMessage():
                    self._ahead.add(event.message_id)
                case ev.ToolResult():
                    self._ahead.add(event.call_id)
                case _:
                    pass
        self._partial.take(event)
        self._publish(event)

    def _publish(self, event: ev.Event | ev.LiveEvent) -> None:
        for queue in self._listeners:
            queue.put_nowait(event)
        self._pulse()

    def _pulse(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _owner_gone(self) -> bool:
        now = self._store.runs.writer(self.conversation_id)
        return now is None or now != self.owner

    def _end(self) -> None:
        self._ended.set()
        self._dialled.set()
        self._link.over(self._outcome)
        for queue in self._listeners:
            queue.put_nowait(None)
        self._pulse()

    def _outcome(self, act: wire.Act) -> object:
        """What came of an act whose owner ended before it answered."""
        match act:
            case wire.TakeOver():
                return ""
            case wire.ToBackground() if self.history.run is None or self.history.run_moved is not None:
                return wire.Moved(run_id=self.history.run.run_id) if self.history.run else wire.Moved()
            case wire.Send() if act.client_id in self.history.client_ids:
                return act.client_id
            case _:
                return self._over()

    def _over(self) -> LettaError:
        return LettaError(
            f"{self.owner.described()} does not run this conversation any more.", hint="Open the conversation again."
        )

    async def events(self, after: int = 0) -> AsyncIterator[ev.Event | ev.LiveEvent]:
        """Stored events after a seq, the partial state of now, then all as it happens, to the owner's end."""
        queue: Queue = asyncio.Queue()
        self._listeners.append(queue)
        try:
            until, view, partial = self.history.last_seq, self.history.view, self._partial.now()
            if self._ended.is_set():
                queue.put_nowait(None)
            stored = await asyncio.to_thread(self._store.read, self.conversation_id, after) if after < until else []
            known = view.of(one.event for one in stored if one.seq <= until)
            for event in (*self._notices, *known, *partial):
                yield event
            while (item := await queue.get()) is not None:
                yield item
        finally:
            self._listeners.remove(queue)
        if self._failure is not None:
            raise self._failure
