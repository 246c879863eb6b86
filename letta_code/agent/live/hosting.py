"""Hosting: the owner's side: followers are told what happens in a session, and what they ask is done on its loop."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from letta_code import __version__
from letta_code.agent.ledger import Listening
from letta_code.agent.live import wire
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.host.sockets import Lines, LineTooLong, Listener, listen

if TYPE_CHECKING:
    from letta_code.agent.session import Session

log = logging.getLogger(__name__)

UNREAD_LIMIT = 4 * 1024 * 1024  # bytes that may wait for a follower; then it is cut off, and may come again
HELLO_SECONDS = 10.0
STATE_SECONDS = 0.05  # how long changes of the state are gathered
CHECK_SECONDS = 0.5  # while a run goes on
FAREWELL_SECONDS = 1.0


class Hosting:
    """Listens for followers of one session, from `begin` until the session says that it ended."""

    def __init__(self, session: Session, path: Path) -> None:
        self.session = session
        self._path = path
        self._listener: Listener | None = None
        self._shut = False
        self._guests: dict[_Guest, asyncio.Task[None]] = {}
        self._checking: asyncio.TimerHandle | None = None
        self._told: wire.State | None = None

    async def begin(self) -> None:
        """Listen; where that cannot be, followers read the store alone."""
        try:
            self._listener = await listen(self._path, self._come_in)
        except OSError as error:
            log.warning("nobody can follow %s live: %s", self.session.conversation_id, error)
        if self._shut:
            self.shut()

    def shut(self) -> None:
        """Let nobody in any more, and leave the socket's name to the next owner."""
        self._shut = True
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def ended(self) -> None:
        """The conversation is free: tell everybody so, with what they waited for."""
        if self._checking is not None:
            self._checking.cancel()
        if self._guests:
            for guest in self._guests:
                guest.over.set()
            await asyncio.wait(self._guests.values(), timeout=2 * FAREWELL_SECONDS)

    async def _come_in(self, lines: Lines) -> None:
        hello = await _hello(lines)
        if hello is None or self._shut:
            return
        if hello.protocol != wire.PROTOCOL:
            text = f"letta-code {__version__} in process {os.getpid()} speaks protocol {wire.PROTOCOL}, not "
            lines.write(wire.encode(wire.Bye(reason="protocol", text=f"{text}{hello.protocol}.")))
            await lines.close()
            return
        guest, task = _Guest(self, lines), asyncio.current_task()
        assert task is not None
        self._guests[guest] = task
        try:
            await guest.serve()
        finally:
            del self._guests[guest]

    # ------------------------------------------------------------ the state

    def state(self) -> wire.State:
        """The session's state as it is told."""
        return wire.State(status=self.session.status, model=self.session.model_info)

    def changed(self, seconds: float = STATE_SECONDS) -> None:
        """The state may have changed: it is told in a moment."""
        if self._checking is None:
            self._checking = asyncio.get_running_loop().call_later(seconds, self.tell_state)

    def tell_state(self) -> None:
        """Tell all followers the state, where it is another than the last one told."""
        if self._checking is not None:
            self._checking.cancel()
        self._checking = None
        if not self._guests or self._shut:
            return
        state = self.state()
        if state != self._told:
            self._told = state
            line = wire.encode(state)
            for guest in self._guests:
                guest.lines.write(line)
        if state.status.running:
            self.changed(CHECK_SECONDS)  # a run's end is known a little after its last event


async def _hello(lines: Lines) -> wire.Hello | None:
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            line = await lines.read()
        said = wire.from_follower(line) if line is not None else None
    except (TimeoutError, LineTooLong, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return said if isinstance(said, wire.Hello) else None


class _Guest:
    """One follower."""

    def __init__(self, hosting: Hosting, lines: Lines) -> None:
        self.lines = lines
        self.over = asyncio.Event()
        self._hosting = hosting
        self._session = hosting.session
        self._acts: dict[asyncio.Task[object], wire.Ask] = {}

    async def serve(self) -> None:
        """Tell it everything until it goes, does not read, or the session ends."""
        with self._session.listening() as listening:
            welcome = self._welcome(listening)
            self.lines.write(welcome)
            hearing = asyncio.create_task(self._hear())
            telling = asyncio.create_task(self._tell(listening, UNREAD_LIMIT + len(welcome)))
            try:
                await asyncio.wait([hearing, telling], return_when=asyncio.FIRST_COMPLETED)
                if telling.done() and telling.result():
                    await self._farewell()
            finally:
                hearing.cancel()
                telling.cancel()

    def _welcome(self, listening: Listening) -> bytes:
        state = self._hosting.state()
        return wire.encode(
            wire.Welcome(
                status=state.status,
                model=state.model,
                last_seq=listening.last_seq,
                partial=tuple(msgspec.Raw(ev.encode(event)) for event in listening.partial),
                pid=os.getpid(),
                version=__version__,
            )
        )

    async def _tell(self, listening: Listening, limit: int) -> bool:
        """Tell what happens as it happens; True when the session ended."""
        while (event := await listening.queue.get()) is not None:
            if (seq := getattr(event, "seq", 0)) > 0:
                self.lines.write(wire.encode(wire.Wake(seq=seq)))
                self._hosting.changed()
            else:
                self.lines.write(wire.encode(wire.told(event)))
                if isinstance(event, ev.Waiting):
                    self._hosting.changed()
            if self.lines.unsent > limit:
                log.info("a follower was cut off: it does not read")
                self.lines.cut()
                return False
        return True

    async def _hear(self) -> None:
        """What it asks, until it goes or says what nobody can understand."""
        while True:
            try:
                line = await self.lines.read()
                if line is None:
                    return
                said = wire.from_follower(line)
            except (LineTooLong, msgspec.DecodeError, UnicodeDecodeError) as error:
                log.info("a follower was cut off: %s", error)
                return
            match said:
                case wire.Ask():
                    task = asyncio.create_task(self._do(said.act), name="act of a follower")
                    self._acts[task] = said
                    task.add_done_callback(self._done)
                case wire.Ping():
                    self.lines.write(wire.encode(wire.Pong()))
                case int():
                    text = f"letta-code {__version__} in process {os.getpid()} does not know how to do that."
                    fault = wire.Fault(kind="error", text=text, hint="Take the conversation over, or update that one.")
                    self.lines.write(wire.encode(wire.Replied(id=said, fault=fault)))
                case _:
                    pass

    # ------------------------------------------------------------ acts

    async def _do(self, act: wire.Act) -> object:
        session = self._session
        match act:
            case wire.Send():
                return await session.send(act.content, client_id=act.client_id)
            case wire.Unqueue():
                return await session.unqueue(act.client_id)
            case wire.GiveAnswer():
                return await session.answer(act.request_id, act.answer, act.by)
            case wire.Interrupt():
                return await session.interrupt()
            case wire.SetMode():
                return await session.set_mode(act.mode)
            case wire.SetModel():
                return await session.set_model(act.name)
            case wire.Rename():
                return await session.rename(act.title)
            case wire.Compact():
                return await session.compact(act.instructions)
            case wire.Reflect():
                return await session.reflect(act.focus)
            case wire.ToBackground():
                if not session.status.running:
                    return wire.Moved()
                await session.handover.release(background=True, by=act.by)
                return self._moved()
            case wire.TakeOver():
                return await session.handover.release(background=False, by=act.by)

    def _moved(self) -> wire.Moved:
        run = self._session.history.run
        return wire.Moved(run_id=run.run_id, job=self._session.handover.job()) if run else wire.Moved()

    def _done(self, task: asyncio.Task[object]) -> None:
        ask = self._acts.pop(task, None)
        if ask is None or task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._reply(wire.reply(ask.id, task.result(), self._session.history.last_seq))
            return
        if not isinstance(error, LettaError):
            log.error("what a follower asked failed: %s", ask.act, exc_info=error)
            error = LettaError(
                f"letta-code failed inside ({type(error).__name__}: {error}).", hint="See ~/.letta/logs."
            )
        fault = wire.fault_of(error)
        self._reply(wire.Replied(id=ask.id, seq=self._session.history.last_seq, fault=fault))

    def _reply(self, replied: wire.Replied) -> None:
        self._hosting.tell_state()  # before the reply: who asked sees what came of it
        self.lines.write(wire.encode(replied))

    def _given(self) -> bool:
        """Whether somebody is about to have it; who wanted it in the background wants no run that has ended."""
        session = self._session
        wanted = session.options.background or not session.handover.faceless
        return session.handover.leaving and (session.history.run is not None or wanted)

    async def _farewell(self) -> None:
        """The last words: who asked for the conversation is told that it is free, and everybody that it ended."""
        await self.over.wait()
        others = [
            task for task, ask in self._acts.items() if not isinstance(ask.act, wire.TakeOver | wire.ToBackground)
        ]
        if others:
            await asyncio.wait(others, timeout=FAREWELL_SECONDS / 2)
        seq = self._session.history.last_seq
        for ask in self._acts.values():  # an act that gives the conversation away returns only after this
            result = self._moved() if isinstance(ask.act, wire.ToBackground) else ""
            self.lines.write(wire.encode(wire.reply(ask.id, result, seq)))
        self._acts.clear()
        self.lines.write(wire.encode(wire.Bye(reason="released" if self._given() else "closed")))
        await self.lines.close(FAREWELL_SECONDS)
