"""Core thread: the agent on a thread and event loop of its own; events come to the screen in batches."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from letta_code.agent.port import SessionOptions, SessionPort, Status
from letta_code.core.errors import LettaError, UsageError
from letta_code.core.events import Event, LiveEvent
from letta_code.core.messages import Value
from letta_code.tui.ports import OpenSession

T = TypeVar("T")

BATCHES_A_SECOND = 30
CLOSE_SECONDS = 5.0


class Opened(Value):
    """A session is open: its state then; stored events up to `status.last_seq` follow first."""

    status: Status


class Failed(Value):
    """The session could not be opened, or its events ended with an error."""

    text: str
    hint: str = ""
    kind: str = "error"


CoreItem = Event | LiveEvent | Opened | Failed


class CoreThread:
    """Owns the core's thread, loop and session.  Everything here is called on the screen's loop unless it says so.

    `wake` is called (on the screen's loop) when a batch is ready, at most 30 times a second and never again until
    `take` was called; `warm` runs in the thread before the session is opened, for imports.
    """

    def __init__(self, open_session: OpenSession, wake: Callable[[], None], warm: Callable[[], None]) -> None:
        self._open_session = open_session
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

    def start(self, options: SessionOptions) -> None:
        """Start the thread and open a session; called once, after the first frame."""
        self._face_loop = asyncio.get_running_loop()
        self._thread.start()
        self._loop.call_soon_threadsafe(self._begin, options)

    async def call(self, work: Callable[[SessionPort], Awaitable[T]]) -> T:
        """Do something with the session on the core's loop; waits until one is open.  Errors come back as they are."""

        async def do() -> T:
            await self._opened.wait()
            if self._session is None:
                raise self._failure or LettaError("No session is open.")
            return await work(self._session)

        return await self.run(do())

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the core's loop; being cancelled here cancels it there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

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

    def close(self) -> None:
        """Begin to close the session, whatever becomes of the screen; may be called on any thread."""
        if self.started:
            self._loop.call_soon_threadsafe(self._begin_closing)

    async def detach(self) -> None:
        """Tell the screen nothing more: it is gone, the session is not."""
        self._wake = lambda: None
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
        self._opening = self._loop.create_task(self._open(options))

    async def _open(self, options: SessionOptions) -> None:
        try:
            self._session = await self._open_session(options)
        except Exception as error:  # noqa: BLE001 - the app's border: the person must see why nothing opened
            self._failure = error
            self._post(_failed(error))
        else:
            await self._attach(self._session)
        self._opened.set()

    async def _attach(self, session: SessionPort) -> None:
        self._post(Opened(status=session.status))
        self._pump = self._loop.create_task(self._follow(session))
        await asyncio.sleep(0)  # it listens before anything is done with the session

    async def _switch(self, options: SessionOptions) -> None:
        await self._opened.wait()
        new = await self._open_session(options)
        old, self._session, self._failure = self._session, new, None
        if self._pump is not None:
            self._pump.cancel()
        with self._lock:
            self._items.clear()
        await self._attach(new)
        if old is not None:
            await old.close()

    async def _follow(self, session: SessionPort) -> None:
        try:
            async for event in session.events(after=0):
                self._post(event)
        except Exception as error:  # noqa: BLE001 - the app's border: a broken stream is told, not swallowed
            self._post(_failed(error))

    def _begin_closing(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = self._loop.create_task(self._close_once())
        return self._closing

    async def _close_session(self) -> None:
        await asyncio.shield(self._begin_closing())

    async def _close_once(self) -> None:
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
