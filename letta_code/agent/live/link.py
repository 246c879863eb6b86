"""Link: a follower's side of the owner's socket: one connection after the other, and acts that wait for their reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from letta_code.agent.live import wire
from letta_code.core.errors import LettaError
from letta_code.host.locks import Owner
from letta_code.host.sockets import Lines, LineTooLong, connect

SILENT_SECONDS = 5.0
PING_SECONDS = 1.0

_AGAIN = (  # what may be asked twice: it changes nothing the second time
    wire.Send,
    wire.GiveAnswer,
    wire.Interrupt,
    wire.SetMode,
    wire.SetModel,
    wire.Rename,
    wire.ToBackground,
    wire.TakeOver,
)


class _Asked:
    """An act under way."""

    def __init__(self, act: wire.Act, reply: asyncio.Future[wire.Replied]) -> None:
        self.act = act
        self.reply = reply
        self.sent = False


class Link:
    """Speaks with the owner.  `lines` is the connection of now, None while there is none."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self._path = path
        self._owner = owner
        self._asked: dict[int, _Asked] = {}
        self._number = 0
        self._heard_at = 0.0
        self.lines: Lines | None = None
        self.foreign = ""  # why the two do not understand each other

    async def connect(self) -> wire.Welcome | None:
        """Connect; None when nobody listens, or who listens does not answer in time."""
        try:
            lines = await connect(self._path)
        except OSError:
            return None
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                lines.write(wire.encode(wire.Hello()))
                line = await lines.read()
            first = wire.from_owner(line) if line is not None else None
            if isinstance(first, wire.Bye) and first.reason == "protocol":
                self.foreign = first.text
            if isinstance(first, wire.Welcome) and first.protocol == wire.PROTOCOL:
                return self._welcomed(lines, first)
        except (TimeoutError, LineTooLong, msgspec.DecodeError, UnicodeDecodeError):
            pass
        except asyncio.CancelledError:
            lines.cut()
            raise
        lines.cut()
        return None

    def _welcomed(self, lines: Lines, welcome: wire.Welcome) -> wire.Welcome:
        self.lines = lines
        self._heard_at = asyncio.get_running_loop().time()
        for number, asked in [*self._asked.items()]:
            if not asked.sent or isinstance(asked.act, _AGAIN):
                asked.sent = True
                lines.write(wire.encode(wire.Ask(id=number, act=asked.act)))
            elif not asked.reply.done():
                asked.reply.set_exception(
                    LettaError(
                        "The connection to the process that runs the conversation broke before it replied: whether it "
                        "did what was asked is unknown.",
                        hint="Look in the conversation whether it was done, and only then ask again.",
                    )
                )
        return welcome

    async def hear(self, seconds: float) -> wire.FromOwner | None:
        """What the owner says next, None when it said nothing for so long; raises `ConnectionError` at the end."""
        lines = self.lines
        if lines is None:
            raise ConnectionError("not connected")
        while True:
            try:
                async with asyncio.timeout(seconds):
                    line = await lines.read()
            except TimeoutError:
                return None
            if line is None:
                raise ConnectionError("the owner has gone")
            self._heard_at = asyncio.get_running_loop().time()
            try:
                said = wire.from_owner(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ConnectionError(f"the owner talks nonsense: {error}") from error
            match said:
                case wire.Replied():
                    asked = self._asked.get(said.id)
                    if asked is not None and not asked.reply.done():
                        asked.reply.set_result(said)
                case None:
                    continue  # a newer version's word
                case _:
                    return said

    def hang_up(self) -> None:
        """End the connection of now, if there is one."""
        lines, self.lines = self.lines, None
        if lines is not None:
            lines.cut()

    async def ask(self, act: wire.Act) -> wire.Replied:
        """Have the owner do something; asked again over a new connection where that is safe.

        Raises what the owner raised, and `LettaError` when it is silent for five seconds.
        """
        loop = asyncio.get_running_loop()
        self._number += 1
        number, asked = self._number, _Asked(act, loop.create_future())
        self._asked[number] = asked
        began = loop.time()
        try:
            if self.lines is not None:
                asked.sent = True
                self.lines.write(wire.encode(wire.Ask(id=number, act=act)))
            while True:
                if self.foreign:
                    raise LettaError(self.foreign, hint="Use the same version of letta-code in both.")
                done, _ = await asyncio.wait([asked.reply], timeout=PING_SECONDS)
                if done:
                    break
                if loop.time() - max(began, self._heard_at) > SILENT_SECONDS:
                    raise self._silent(asked)
                if self.lines is not None:
                    self.lines.write(wire.encode(wire.Ping()))
        finally:
            del self._asked[number]
            asked.reply.cancel()
        replied = asked.reply.result()
        if replied.fault is not None:
            raise wire.error_of(replied.fault)
        return replied

    def _silent(self, asked: _Asked) -> LettaError:
        pid = self._owner.pid
        after = " What you asked may still be done when it goes on." if asked.sent else ""
        return LettaError(
            f"The conversation runs in {self._owner.described()}, which does not answer.{after}",
            hint=f"Where it was stopped with Ctrl-Z, `fg` in its terminal lets it go on (or kill -CONT {pid}); "
            f"kill -9 {pid} ends it, and the conversation is free: a run in the background is gone on with by the next "
            "letta-code, another one is cut off.",
        )

    def over(self, outcome: Callable[[wire.Act], object]) -> None:
        """The owner has ended: give every act that waits its outcome, which is an error or a result."""
        self.hang_up()
        for asked in self._asked.values():
            if asked.reply.done():
                continue
            result = outcome(asked.act)
            if isinstance(result, LettaError):
                asked.reply.set_exception(result)
            else:
                asked.reply.set_result(wire.reply(0, result, 0))
