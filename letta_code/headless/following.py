"""Following a run of another process to its end: stored events after a seq, live ones, its result as the exit code."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

from letta_code import __version__
from letta_code.agent.background import revive_one
from letta_code.agent.live.attached import AttachedSession
from letta_code.agent.live.opening import attach
from letta_code.agent.mending import open_store
from letta_code.agent.port import Status
from letta_code.agent.run_acts import options_for
from letta_code.agent.start import start_session
from letta_code.config.paths import Paths
from letta_code.core import events as ev
from letta_code.core.errors import ConversationBusy, LettaError, StoreError, UsageError
from letta_code.core.messages import Value
from letta_code.core.requests import Answer
from letta_code.headless.follow import Followed, Follower
from letta_code.headless.lines import read_lines
from letta_code.headless.output import Output
from letta_code.headless.progress import Progress
from letta_code.headless.protocol import InitLine, InputErrorLine, read_input
from letta_code.headless.result import EXIT_READER_GONE, result_of_error
from letta_code.headless.writer import Writer
from letta_code.store.conversations import Conversation
from letta_code.store.database import Store
from letta_code.store.runs import Run

_FLUSH_SECONDS = 10.0
_TAKEN_UP_SECONDS = 20.0  # for a worker that was just started to have its conversation
_PAUSE = 0.05


class FollowOptions(Value):
    """How to tell it: `form` is text, json or stream-json; `after` is the last event that is known already (None: those
    of the run are told from its beginning); `two_way` takes lines of JSON on stdin."""

    form: str = "text"
    after: int | None = None
    two_way: bool = False
    quiet: bool = False


def follow(run: Run, conversation: Conversation, how: FollowOptions, paths: Paths) -> int:
    """Follow to the end of the run; its exit code, or 0 when the person stopped following (the run goes on)."""
    return asyncio.run(_main(run, conversation, how, paths))


async def _main(run: Run, conversation: Conversation, how: FollowOptions, paths: Paths) -> int:
    loop = asyncio.get_running_loop()
    leave = asyncio.Event()

    def reader_gone() -> None:
        with suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(leave.set)

    out, err = Writer(1, on_broken=reader_gone), Writer(2)
    progress = Progress(lambda line: err.write(line.encode("utf-8", "replace") + b"\n"), quiet=how.quiet)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, leave.set)
    store = open_store(paths)
    try:
        one = _Follow(run, conversation, how, paths=paths, store=store, output=Output(how.form, out, progress))
        code = await one.run_until(leave)
    finally:
        await asyncio.to_thread(store.close)
    if code is None:
        err.write(f"{run.id} goes on; end it with: letta-code runs stop {run.id}\n".encode())
    out.flush(_FLUSH_SECONDS)
    err.flush(_FLUSH_SECONDS)
    if out.broken:
        return EXIT_READER_GONE
    return code or 0


class _Ended:
    """A conversation that no process runs: there is nothing to do in it."""

    def __init__(self, conversation_id: str) -> None:
        self.status = Status(conversation_id=conversation_id, agent_id="")

    async def events(self, after: int = 0) -> AsyncIterator[ev.Event | ev.LiveEvent]:
        for event in ():
            yield event

    async def send(self, content: str, *, client_id: str = "") -> str:
        raise self._over()

    async def answer(self, request_id: str, answer: Answer, by: str) -> ev.RequestAnswered:
        raise self._over()

    async def interrupt(self) -> None:
        raise self._over()

    async def set_mode(self, mode: str) -> None:
        raise self._over()

    async def set_model(self, name: str) -> None:
        raise self._over()

    def _over(self) -> UsageError:
        return UsageError("The run has ended.", hint=f"Go on with: letta-code --resume {self.status.conversation_id}")


class _Follow:
    def __init__(
        self, run: Run, conversation: Conversation, how: FollowOptions, *, paths: Paths, store: Store, output: Output
    ) -> None:
        self._run = run
        self._conversation = conversation
        self._how = how
        self._paths = paths
        self._store = store
        self._output = output
        self._options = options_for(run, conversation.cwd, "follow")
        self._first = 0  # the last event before the run's own
        self._seen = 0
        self._begun: ev.RunStarted | None = None
        self._code: int | None = None
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()

    async def run_until(self, leave: asyncio.Event) -> int | None:
        """The exit code of the run, None when the person left before its end."""
        following = asyncio.create_task(self._follow())
        leaving = asyncio.create_task(leave.wait())
        await asyncio.wait({following, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not following.done():
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            return None
        return following.result()

    async def _follow(self) -> int:
        self._first = self._beginning()
        self._seen = self._first if self._how.after is None else self._how.after
        self._output.line(self._init())
        reading = asyncio.create_task(self._read()) if self._how.two_way else None
        try:
            while self._code is None:
                session = await self._attached()
                if session is None:
                    return await self._stored()
                try:
                    await self._with(session)
                finally:
                    await session.close()
            return self._code
        finally:
            if reading is not None:
                reading.cancel()

    def _beginning(self) -> int:
        """The last event before the run's own: its message was stored in one commit right before it."""
        before = 0
        for stored in self._store.read(self._conversation.id):
            match stored.event:
                case ev.RunStarted() as begun if begun.run_id == self._run.id:
                    self._begun = begun
                    return before
                case ev.RunFinished():
                    before = stored.seq
                case _:
                    pass
        return before

    def _init(self) -> InitLine:
        one = self._conversation
        return InitLine(
            conversation_id=one.id,
            agent_id=one.agent_id,
            model=self._begun.model if self._begun else "",
            mode=self._begun.mode if self._begun else "",
            cwd=one.cwd,
            version=__version__,
            resumed=True,
            last_seq=self._seen,
        )

    async def _attached(self) -> AttachedSession | None:
        """The owner's session; where there is none a run in the background is taken up.  None when it has ended."""
        deadline = asyncio.get_running_loop().time() + _TAKEN_UP_SECONDS
        revived = False
        while True:
            run = self._store.runs.get(self._run.id)
            if run is None or not run.is_open:
                return None
            session = await attach(self._options, self._paths)
            if session is not None:
                return session
            if not run.background:
                await self._closed()
            elif not revived:
                revived = True
                await asyncio.to_thread(revive_one, self._store, self._paths, self._conversation.id)
            if asyncio.get_running_loop().time() > deadline:
                raise LettaError(
                    f"{self._run.id} has no process, and none could be started.",
                    hint=f"See {self._paths.logs}, or go on with it: letta-code --resume {self._conversation.id}",
                )
            await asyncio.sleep(_PAUSE)

    async def _closed(self) -> None:
        """The process of a run with a face died: the run is closed, as any opening would."""
        with suppress(ConversationBusy):
            await (await start_session(self._options, paths=self._paths, goes_on=False)).close()

    def _follower(self, session: Followed) -> Follower:
        """One that knows what of the run was told already, or is not to be told."""
        follower = Follower(session, self._output, answering=True, stop_code=lambda: 0)
        for event in self._told():
            follower.know(event)
        return follower

    def _told(self) -> Iterator[ev.Event]:
        for stored in self._store.read(self._conversation.id, self._first):
            if stored.seq > self._seen:
                return
            yield stored.event

    async def _with(self, session: AttachedSession) -> None:
        """Tell what the owner does until the run or the owner ends."""
        follower = self._follower(session)
        follower.begin(self._seen, session.history.open_requests.values())  # a line may answer before they are told
        taking = asyncio.create_task(self._take(follower)) if self._how.two_way else None
        try:
            async for event in session.events(self._seen):
                await self._hear(follower, event)
                self._tell_request(session, event)
                if self._code is not None:
                    break
        finally:
            if taking is not None:
                taking.cancel()

    def _tell_request(self, session: AttachedSession, event: ev.Event | ev.LiveEvent) -> None:
        """A run that waits for an answer says so, unless it was given already; who sends lines sees it there."""
        if self._how.two_way or not isinstance(event, ev.RequestMade):
            return
        if event.request.request_id in session.history.open_requests:
            self._output.progress.asks(event.request, self._run.id)

    async def _hear(self, follower: Follower, event: ev.Event | ev.LiveEvent) -> None:
        await follower.hear(event)
        self._seen = max(self._seen, follower.seen)
        if isinstance(event, ev.RunFinished) and event.run_id == self._run.id:
            if event.reason == ev.StopReason.ORPHANED:  # which a follower passes by: it is that of an earlier process
                follower.conclude(event)
            self._code = follower.code

    async def _stored(self) -> int:
        """What is left of a run that has ended, from the store; its result even where all of it was told before."""
        teller = self._follower(_Ended(self._conversation.id))
        for event in self._told():
            if isinstance(event, ev.RunFinished) and event.run_id == self._run.id:
                teller.conclude(event)
                return teller.code
        for stored in self._store.read(self._conversation.id, self._seen):
            await self._hear(teller, stored.event)
            if self._code is not None:
                return self._code
        error = StoreError(f"The end of {self._run.id} is not kept.", hint="letta-code doctor looks into it.")
        self._output.result(result_of_error(error, conversation_id=self._conversation.id, run_id=self._run.id))
        return error.exit_code

    # ------------------------------------------------------------ lines of stdin

    async def _read(self) -> None:
        async for line in read_lines():
            self._lines.put_nowait(line)

    async def _take(self, follower: Follower) -> None:
        """Do what the lines ask; their end only means that nobody asks any more."""
        number = 0
        while True:
            line = await self._lines.get()
            number += 1
            try:
                await follower.take(read_input(line))
            except LettaError as error:
                self._output.line(InputErrorLine(line=number, message=str(error), hint=error.hint))
