"""Core thread: the agent on a thread and event loop of its own; events come to the screen in batches."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from letta_code.agent.live.succession import Handed, OpenAgain, Succession
from letta_code.agent.port import SessionOptions, SessionPort, Status
from letta_code.core.errors import LettaError, UsageError
from letta_code.core.events import Event, LiveEvent, Rewound
from letta_code.core.messages import Value
from letta_code.tui.ports import OpenSession

T = TypeVar("T")

BATCHES_A_SECOND = 30
CLOSE_SECONDS = 5.0


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
        self._conversation: Succession | None = None
        self._failure: Exception | None = None
        self._detached = False  # the screen is gone
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
        return self._conversation is not None

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
            return await (await self._present()).call(work, twice=twice)

        return await self.run(do())

    async def _present(self) -> Succession:
        await self._opened.wait()
        if self._conversation is None:
            raise self._failure or LettaError("No session is open.")
        return self._conversation

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the core's loop; being cancelled here cancels it there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def to_background(self) -> str:
        """Let a process without a face go on with the run; its id, "" when it was done before.

        The conversation is given away then: all that is left is to stop.  Being cancelled keeps it here, but for a
        core that is detached.
        """

        async def move() -> str:
            moving = (await self._present()).to_background("tui")
            try:
                return await asyncio.shield(moving)
            except asyncio.CancelledError:
                if not self._detached:  # the person wants it no more; else only their screen is gone
                    moving.cancel()
                    await asyncio.wait([moving])
                raise

        return await self.run(move())

    async def take_over(self) -> None:
        """Make this process the owner of the conversation, at the next step boundary; see `SessionPort.take_over`."""

        async def take() -> None:
            await (await self._present()).take_over("tui")

        await self.run(take())

    async def reopen(self, options: SessionOptions) -> None:
        """Open another conversation and close this one; what comes from now on is of the new one.

        When the other cannot be opened its error is raised, and this one stays.
        """
        await self.run(self._switch(options))

    @property
    def running(self) -> bool:
        """Whether a run goes on; may be asked on any thread."""
        conversation = self._conversation
        return conversation is not None and conversation.session.status.running

    @property
    def moves(self) -> bool:
        """Whether a run of this process is on its way to the background; may be asked on any thread."""
        conversation = self._conversation
        return conversation is not None and conversation.moves

    async def last(self) -> None:
        """Without a screen: go on until no run does, or until another process has it; raises what the run raised."""

        async def wait() -> None:
            conversation = await self._present()
            session = await conversation.present()
            if conversation.moving is None:
                await session.detach("tui")
            elif await conversation.moving:
                return
            await session.idle()

        await self.run(wait())

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
        try:
            session = await self._open_session(options)
        except Exception as error:  # noqa: BLE001 - the app's border: the person must see why nothing opened
            self._failure = error
            self._post(_failed(error))
        else:
            await self._attach(session, options)
        self._opened.set()

    async def _attach(self, session: SessionPort, options: SessionOptions) -> None:
        self._conversation = Succession(session, options, self._open_again)
        self._post(Opened(status=session.status))
        self._pump = self._loop.create_task(self._follow(self._conversation))
        await asyncio.sleep(0)  # it listens before anything is done with the session

    async def _switch(self, options: SessionOptions) -> None:
        await self._opened.wait()
        if self._conversation is not None:
            await self._conversation.present()
        new = await self._open_session(options)
        old, self._failure = self._conversation, None
        if self._pump is not None:
            self._pump.cancel()
        with self._lock:
            self._items.clear()
        await self._attach(new, options)
        if old is not None:
            await old.close()

    async def _follow(self, conversation: Succession) -> None:
        """Tell everything, from one owner of the conversation to the next."""
        try:
            while await self._told(conversation):
                self._post(Opened(status=conversation.session.status, anew=True))
        except Exception as error:  # noqa: BLE001 - the app's border: a broken stream is told, not swallowed
            self._post(_failed(error))

    async def _told(self, conversation: Succession) -> bool:
        """Tell what happens until it ends; True when messages were taken back: all is to be told anew then."""
        after, until, last = 0, conversation.session.status.last_seq, 0
        async with contextlib.aclosing(conversation.events()) as events:
            async for item in events:
                match item:
                    case Rewound(seq=seq, to_seq=to) if to and (seq > until or after > to):
                        return True
                    case Handed():
                        after, until = last, item.status.last_seq
                    case _:
                        last = max(last, getattr(item, "seq", 0))
                self._post(item)
        return False

    def _begin_closing(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = self._loop.create_task(self._close_once())
        return self._closing

    async def _close_session(self) -> None:
        await asyncio.shield(self._begin_closing())

    async def _close_once(self) -> None:
        if self._opening is None:
            return  # the person left before anything was opened
        await self._opened.wait()
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.leave()
            if self._pump is not None and conversation.changing:
                self._pump.cancel()  # it waits for the next owner
            await conversation.close()
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
