"""Core thread: the agent on a thread and event loop of its own; events come to the screen in batches."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from msgspec.structs import replace

from letta_code.agent.port import SessionOptions, SessionPort, Status
from letta_code.core.errors import LettaError, UsageError
from letta_code.core.events import Event, LiveEvent, Notice, Rewound, RunMoved, RunResumed, RunStarted
from letta_code.core.messages import Value
from letta_code.tui.ports import OpenAgain, OpenSession

T = TypeVar("T")

BATCHES_A_SECOND = 30
CLOSE_SECONDS = 5.0
# How long somebody else is waited for when a conversation has lost its owner: whom we gave it to, whom another one
# gave it to, and nobody in particular.
GIVEN_SECONDS, MOVED_SECONDS, LOST_SECONDS = 8.0, 8.0, 0.7
NOTICED_SECONDS = 0.5


class Opened(Value):
    """A session is open: its state then; stored events up to `status.last_seq` follow first.

    `anew`: it was open before, and messages were taken back since.
    """

    status: Status
    anew: bool = False


class Failed(Value):
    """The session could not be opened, or its events ended with an error."""

    text: str
    hint: str = ""
    kind: str = "error"


class Handed(Value):
    """The conversation has another owner, and is open again: `before` and `status.owner` are the owners, "" is us.

    What is told from now on goes on where the events ended.  `wanted`: the person here took it over.
    """

    status: Status
    before: str = ""
    wanted: bool = False


CoreItem = Event | LiveEvent | Opened | Handed | Failed


class CoreThread:
    """Owns the core's thread, loop and session.  Everything here is called on the screen's loop unless it says so.

    `wake` is called (on the screen's loop) when a batch is ready, at most 30 times a second and never again until
    `take` was called; `warm` runs in the thread before the session is opened, for imports.
    """

    def __init__(
        self,
        open_session: OpenSession,
        wake: Callable[[], None],
        warm: Callable[[], None],
        open_again: OpenAgain | None = None,
    ) -> None:
        """Without `open_again` a conversation whose owner is gone is not opened again."""
        self._open_session = open_session
        self._open_again = open_again
        self._wake = wake
        self._warm = warm
        self._face_loop: asyncio.AbstractEventLoop | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="letta-core", daemon=True)
        self._lock = threading.Lock()
        self._items: list[CoreItem] = []
        self._woken = False
        self._next_at = 0.0
        self._session: SessionPort | None = None
        self._failure: Exception | None = None
        self._options: SessionOptions | None = None  # what the session was opened with
        self._owner = ""  # who runs the conversation, "" while it is this process
        self._last_seq = 0  # of what was told
        self._moved = False  # whether the last run was given away, and nobody has gone on with it yet
        self._notices: set[str] = set()  # those that no journal has: told once
        self._move: asyncio.Task[str] | None = None  # to the background: the run that went there, and we with it
        self._detached = False  # the screen is gone
        self._taking = False  # the person here takes the conversation over
        self._opened = asyncio.Event()  # belongs to the core's loop
        self._pump: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def started(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def has_session(self) -> bool:
        """Whether a conversation is open."""
        return self._session is not None

    @property
    def refused(self) -> UsageError | None:
        """Why the first session could not be opened where the command line is to blame, else None."""
        return self._failure if isinstance(self._failure, UsageError) else None

    def start(self, options: SessionOptions | None) -> None:
        """Start the thread and open a session; called once, after the first frame.  None: `open` comes later."""
        self._face_loop = asyncio.get_running_loop()
        self._thread.start()
        if options is not None:
            self.open(options)

    def open(self, options: SessionOptions) -> None:
        """Open the first session; called once."""
        self._loop.call_soon_threadsafe(self._begin, options)

    async def call(self, work: Callable[[SessionPort], Awaitable[T]], *, twice: bool = False) -> T:
        """Do something with the session on the core's loop; waits until one is open.  Errors come back as they are.

        `twice`: it may be done again with the conversation's next owner, where this one ended before it answered.
        """

        async def do() -> T:
            session = await self._present()
            try:
                return await work(session)
            except LettaError:
                if not twice or not await self._replaced(session):
                    raise
            return await work(await self._present())

        return await self.run(do())

    async def _present(self) -> SessionPort:
        await self._opened.wait()
        if self._session is None:
            raise self._failure or LettaError("No session is open.")
        return self._session

    async def _replaced(self, session: SessionPort) -> bool:
        """Whether the conversation has another owner now; its end is heard a moment after what failed by it."""
        if self._opened.is_set() and self._owner:
            await asyncio.sleep(NOTICED_SECONDS)
        await self._opened.wait()
        return self._session is not session

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the core's loop; being cancelled here cancels it there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def to_background(self) -> str:
        """Let a process without a face go on with the run; its id, "" when it was done before.

        The conversation is given away then: all that is left is to stop.  Being cancelled keeps it here, but for a
        core that is detached.
        """

        async def move(session: SessionPort) -> str:
            move = self._move = self._loop.create_task(session.to_background("tui"))
            try:
                return await asyncio.shield(move)
            except asyncio.CancelledError:
                if not self._detached:  # the person wants it no more; else only their screen is gone
                    move.cancel()
                    await asyncio.wait([move])
                raise

        return await self.call(move)

    async def take_over(self) -> None:
        """Make this process the owner of the conversation, at the next step boundary; see `SessionPort.take_over`."""

        async def take(session: SessionPort) -> None:
            self._taking = True
            try:
                await session.take_over("tui")
            except BaseException:
                self._taking = False
                raise

        await self.call(take)

    async def reopen(self, options: SessionOptions) -> None:
        """Open another conversation and close this one; what comes from now on is of the new one.

        When the other cannot be opened its error is raised, and this one stays.
        """
        await self.run(self._switch(options))

    @property
    def running(self) -> bool:
        """Whether a run goes on; may be asked on any thread."""
        session = self._session
        return session is not None and session.status.running

    @property
    def moves(self) -> bool:
        """Whether a run of this process is on its way to the background; may be asked on any thread."""
        move = self._move
        return move is not None and not move.done() and not self._owner

    async def last(self) -> None:
        """Without a screen: go on until no run does, or until another process has it; raises what the run raised."""

        async def wait(session: SessionPort) -> None:
            move = self._move
            if move is None:
                await session.detach("tui")
            elif await move:
                return
            await session.idle()

        await self.call(wait)

    def close(self) -> None:
        """Begin to close the session, whatever becomes of the screen; may be called on any thread."""
        if self.started:
            self._loop.call_soon_threadsafe(self._begin_closing)

    async def detach(self) -> None:
        """Tell the screen nothing more: it is gone, the session is not."""
        self._wake = lambda: None
        self._detached = True
        await self.run(self._unfollow())

    async def stop(self) -> None:
        """Close the session and end the thread; gives up after five seconds."""
        if not self.started:
            self._loop.close()
            return
        # The store keeps what was acknowledged; a session that cannot close must not hold the terminal.
        with contextlib.suppress(TimeoutError, LettaError):
            await asyncio.wait_for(self.run(self._close_session()), CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, 1.0)

    def take(self) -> list[CoreItem]:
        """What came since the last call, in order."""
        with self._lock:
            items, self._items, self._woken = self._items, [], False
        if self._face_loop is not None:
            self._next_at = self._face_loop.time() + 1 / BATCHES_A_SECOND
        return items

    # ------------------------------------------------------------ on the core's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._warm()
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=1))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    def _begin(self, options: SessionOptions) -> None:
        if self._closing is None:
            self._opening = self._loop.create_task(self._open(options))

    async def _open(self, options: SessionOptions) -> None:
        self._options = options
        try:
            self._session = await self._open_session(options)
        except Exception as error:  # noqa: BLE001 - the app's border: the person must see why nothing opened
            self._failure = error
            self._post(_failed(error))
        else:
            await self._attach(self._session)
        self._opened.set()

    async def _attach(self, session: SessionPort) -> None:
        self._last_seq, self._moved, self._owner = 0, False, session.status.owner
        self._taking, self._move = False, None
        self._notices.clear()
        self._post(Opened(status=session.status))
        self._pump = self._loop.create_task(self._follow(session))
        await asyncio.sleep(0)  # it listens before anything is done with the session

    async def _switch(self, options: SessionOptions) -> None:
        await self._opened.wait()
        new = await self._open_session(options)
        old, self._session, self._failure = self._session, new, None
        self._options = options
        if self._pump is not None:
            self._pump.cancel()
        with self._lock:
            self._items.clear()
        await self._attach(new)
        if old is not None:
            await old.close()

    async def _follow(self, session: SessionPort) -> None:
        """Tell everything, from one owner of the conversation to the next."""
        following: SessionPort | None = session
        try:
            while following is not None:
                if not await self._told(following):
                    following = await self._next_owner(following)
        except Exception as error:  # noqa: BLE001 - the app's border: a broken stream is told, not swallowed
            self._post(_failed(error))

    async def _told(self, session: SessionPort) -> bool:
        """Tell what happens until it ends; True when messages were taken back: all is to be told anew then."""
        after, until = self._last_seq, session.status.last_seq
        async for event in session.events(after=after):
            if isinstance(event, Rewound) and event.to_seq and (event.seq > until or after > event.to_seq):
                self._last_seq = 0
                self._post(Opened(status=session.status, anew=True))
                return True
            if self._is_news(event):
                self._post(event)
        return False

    def _is_news(self, event: Event | LiveEvent) -> bool:
        self._last_seq = max(self._last_seq, getattr(event, "seq", 0))
        match event:
            case RunMoved():
                self._moved = True
            case RunResumed() | RunStarted():
                self._moved, self._move = False, None
            case Notice(seq=0, text=text):
                if text in self._notices:
                    return False
                self._notices.add(text)
            case _:
                pass
        return True

    async def _next_owner(self, session: SessionPort) -> SessionPort | None:
        """The conversation opened again, after its owner let it go, died, or was taken over; None when we end."""
        if not self._follows(session) or self._open_again is None or self._options is None:
            return None
        move, self._move = self._move, None
        if move is not None:
            await asyncio.wait([move])
            if not move.cancelled() and move.exception() is None and move.result():
                return None
        patience = 0.0
        if not self._taking and move is None:
            moved = self._moved or getattr(session, "released", False)
            patience = MOVED_SECONDS if moved else LOST_SECONDS if self._owner else GIVEN_SECONDS
        conversation = session.status.conversation_id
        options = replace(self._options, conversation=conversation, agent="")
        if not self._owner:  # what the command line said was so when it was ours
            options = replace(options, model="", mode="")
        self._opened.clear()  # what is asked for now is asked of the next owner
        try:
            await session.close()
            new = await self._open_again(options, patience)
            if not self._follows(session):
                await new.close()
                return None
            self._session, self._options = new, options
            before, self._owner = self._owner, new.status.owner
            self._post(Handed(status=new.status, before=before, wanted=self._taking))
            self._moved = self._moved and bool(self._owner)
            return new
        finally:
            self._taking = False
            self._opened.set()

    def _follows(self, session: SessionPort) -> bool:
        return self._session is session and self._closing is None

    def _begin_closing(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = self._loop.create_task(self._close_once())
        return self._closing

    async def _close_session(self) -> None:
        await asyncio.shield(self._begin_closing())

    async def _close_once(self) -> None:
        if self._opening is None:
            return  # the person left before anything was opened
        if self._pump is not None and not self._opened.is_set():
            self._pump.cancel()  # it waits for the next owner
        await self._opened.wait()
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._unfollow()

    async def _unfollow(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None
        with self._lock:
            self._items.clear()

    def _post(self, item: CoreItem) -> None:
        with self._lock:
            self._items.append(item)
            if self._woken:
                return
            self._woken = True
        if self._face_loop is not None and not self._face_loop.is_closed():
            self._face_loop.call_soon_threadsafe(self._wake_in_time)

    # ------------------------------------------------------------ on the screen's thread

    def _wake_in_time(self) -> None:
        loop = asyncio.get_running_loop()
        delay = self._next_at - loop.time()
        if delay > 0:
            loop.call_later(delay, self._wake)
        else:
            self._wake()


def _failed(error: Exception) -> Failed:
    if isinstance(error, LettaError):
        return Failed(text=str(error), hint=error.hint, kind=error.kind)
    return Failed(text=f"{type(error).__name__}: {error}", hint="This is a fault of letta-code; nothing typed is lost.")
