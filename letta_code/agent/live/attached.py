"""Attached: a conversation that another process runs, as a face sees it: stored events, and live ones of its owner."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from letta_code.agent.context import Section
from letta_code.agent.live import wire
from letta_code.agent.live.following import Following
from letta_code.agent.port import Status
from letta_code.core import events as ev
from letta_code.core.errors import ConfigError, LettaError, UsageError
from letta_code.core.ids import new_id
from letta_code.core.messages import ContentPart, TextPart
from letta_code.core.requests import Answer

if TYPE_CHECKING:
    from letta_code.agent.checkpoints import Checkpoints
    from letta_code.agent.permissions import Permissions
    from letta_code.agent.reflection import Reflection
    from letta_code.llm.model import ModelInfo
    from letta_code.memory.desk import Desk
    from letta_code.safety.containment import Containment
    from letta_code.store.database import Store

FREE_SECONDS = 10.0


class AttachedSession(Following):
    """Implements `SessionPort` for a conversation whose owner is another process; made by `attach`."""

    # ------------------------------------------------------------ what is

    @property
    def status(self) -> Status:
        """A snapshot for a status bar."""
        history = self.history
        connected = self._link.lines is not None
        running = self._state.running if connected else history.run is not None and history.run_moved is None
        return replace(
            self._state,
            title=history.title or self._state.title,
            running=running and not self._ended.is_set(),
            run_id=history.run.run_id if history.run else "",
            queued=tuple(history.queued),
            usage=history.usage,
            cost=history.cost,
            owner="" if self._ended.is_set() else self.owner.described(),
            last_seq=history.last_seq,
        )

    async def contained(self) -> Containment:
        """What holds commands, as the owner said when this began; nothing where it did not know yet."""
        return self.status.containment

    @property
    def model_info(self) -> ModelInfo | None:
        """What is known of the model."""
        return self._model

    @property
    def memory(self) -> Desk:
        """The agent's memory; it is safe between processes."""
        if self._desk is None:
            raise ConfigError("This session has no memory.")
        return self._desk

    @property
    def store(self) -> Store:
        """Where conversations and agents are kept."""
        return self._store

    @property
    def reflection(self) -> Reflection:
        """Only the owner reflects; raises `LettaError`."""
        raise LettaError(
            f"Reflections of this conversation are looked at where it runs, in {self.owner.described()}.",
            hint="Take it over to do it here.",
        )

    @property
    def checkpoints(self) -> Checkpoints:
        """Only the owner can go back; raises `UsageError`."""
        raise UsageError(
            f"Checkpoints of this conversation are made and gone back to where it runs, in {self.owner.described()}.",
            hint="Take it over to do it here.",
        )

    @property
    def permissions(self) -> Permissions:
        """Only the owner judges; raises `UsageError`."""
        raise UsageError(
            f"What may happen in this conversation is judged where it runs, in {self.owner.described()}.",
            hint="Take it over to see or change its rules here.",
        )

    def context_sections(self) -> Sequence[Section]:
        """All parts of the context, as far as they are stored."""
        if self._model is not None:
            self._counter.use(self._model.encoding)
        return self._context.sections()

    def context_request(self) -> bytes:
        """The next request in letta-code's own form: only the owner has the model's client."""
        from letta_code.agent.next_request import request_json

        return request_json(self._context.request(), None)

    # ------------------------------------------------------------ acts

    async def _ask(self, act: wire.Act) -> bytes:
        """Have the owner do it; what it stored by that is told when this returns."""
        if self._ended.is_set():
            raise self._over()
        replied = await self._link.ask(act)
        await self._reached(replied.seq)
        return bytes(replied.result)

    async def _reached(self, seq: int) -> None:
        while self.history.last_seq < seq and not self._ended.is_set():
            await self._changed.wait()

    async def send(self, content: str | tuple[ContentPart, ...], *, client_id: str = "") -> str:
        """Say something; see `SessionPort.send`."""
        parts = (TextPart(text=content),) if isinstance(content, str) else content
        client_id = client_id or new_id("say")
        if client_id in self.history.client_ids:
            return client_id
        return msgspec.json.decode(await self._ask(wire.Send(content=parts, client_id=client_id)), type=str)

    async def unqueue(self, client_id: str) -> bool:
        """Take a queued message back."""
        return msgspec.json.decode(await self._ask(wire.Unqueue(client_id=client_id)), type=bool)

    async def answer(self, request_id: str, answer: Answer, by: str) -> ev.RequestAnswered:
        """Answer a request; the first answer stands."""
        raw = await self._ask(wire.GiveAnswer(request_id=request_id, answer=answer, by=by))
        event = ev.decode(raw)
        if not isinstance(event, ev.RequestAnswered):
            raise LettaError(f"The answer of {self.owner.described()} cannot be read.", hint="Use the same version.")
        return event

    async def interrupt(self) -> None:
        """Stop the run."""
        await self._ask(wire.Interrupt())

    async def set_mode(self, mode: str) -> None:
        """Change the mode."""
        await self._ask(wire.SetMode(mode=mode))

    async def set_model(self, name: str) -> None:
        """Use another model."""
        await self._ask(wire.SetModel(name=name))

    async def rename(self, title: str) -> None:
        """Give the conversation a title."""
        await self._ask(wire.Rename(title=title))

    async def compact(self, instructions: str = "") -> ev.ContextCompacted:
        """Summarise older messages now."""
        event = ev.decode(await self._ask(wire.Compact(instructions=instructions)))
        if not isinstance(event, ev.ContextCompacted):
            raise LettaError(f"The answer of {self.owner.described()} cannot be read.", hint="Use the same version.")
        return event

    async def reflect(self, focus: str = "") -> str:
        """Have the owner reflect."""
        return msgspec.json.decode(await self._ask(wire.Reflect(focus=focus)), type=str)

    async def take_over(self, by: str) -> None:
        """Make the owner give the conversation away; see `SessionPort.take_over`."""
        if self._ended.is_set():
            raise UsageError("Nobody runs this conversation any more.", hint="Open it again.")
        await self._ask(wire.TakeOver(by=by))
        await self._free()

    async def to_background(self, by: str) -> str:
        """Let a process without a face go on with the run; see `SessionPort.to_background`."""
        status = self.status
        if not status.running:
            return ""
        if status.background:  # it does already
            await self.close()
            return status.run_id
        if self._workers is None:
            return ""
        moved = msgspec.json.decode(await self._ask(wire.ToBackground(by=by)), type=wire.Moved)
        if moved.run_id:
            await self._free()
            if moved.job is not None:
                await self._workers.begin(moved.job)
            else:  # the owner died of it: what it kept must do
                await self._workers.begin_kept(self.conversation_id)
        return moved.run_id

    async def detach(self, by: str) -> None:
        """Its runs are not ours: nothing."""

    async def _free(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FREE_SECONDS):
                await self._ended.wait()

    async def idle(self) -> ev.RunFinished | None:
        """Wait until no run goes on; the last run's end."""
        while not self._ended.is_set() and (self.status.running or self._state.last_seq > self.history.last_seq):
            await self._changed.wait()
        return self.history.last_run

    async def close(self) -> None:
        """Follow no longer; the owner goes on."""
        if self._closed:
            return
        self._closed = True
        self._pump.cancel()
        await asyncio.wait([self._pump])
        await asyncio.to_thread(self._store.close)
