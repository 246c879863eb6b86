"""A session that plays a script: what `SessionPort` promises, without model, store or tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec

from letta_code.agent.context import Section
from letta_code.agent.port import SessionOptions, Status
from letta_code.config.settings import Settings
from letta_code.core import events as ev
from letta_code.core.display import DisplayBlock
from letta_code.core.errors import ConfigError, LettaError, UsageError
from letta_code.core.messages import ContentPart, TextPart, ToolCall, Usage, text_of
from letta_code.core.requests import Answer, ApprovalRequest, Choice, QuestionRequest, RuleOffer, Unanswered
from letta_code.llm.model import ModelInfo
from letta_code.memory.desk import Desk
from letta_code.safety.containment import Containment
from letta_code.store.database import Store

Script = Callable[["FakeSession", str], Awaitable[None]]


async def echo(session: FakeSession, text: str) -> None:
    """The script of a session without one: the answer is what was said."""
    await session.say(f"You said: {text}")


class FakeSession:
    """Satisfies `SessionPort`.  `script` plays each run; `stored` are events that were there before."""

    def __init__(
        self,
        script: Script = echo,
        *,
        stored: Iterable[ev.Event] = (),
        model: str = "scripted/demo",
        cwd: str = "/work/project",
        pause: float = 0.0,
        window: int = 200_000,
        desk: Desk | None = None,
        store: Store | None = None,
    ) -> None:
        self.script = script
        self.pause = pause
        self.window = window
        self.desk = desk
        self.kept = store
        self.journal: list[ev.Event] = []
        self.sent: list[str] = []
        self.closed = False
        self.interrupts = 0
        self.moved_by = ""
        self.detached_by = ""
        self._state = Status(conversation_id="conv-1", agent_id="agent-1", cwd=cwd, model=model, window=window)
        self._followers: list[asyncio.Queue[ev.Event | ev.LiveEvent | None]] = []
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._queue: list[tuple[str, tuple[ContentPart, ...]]] = []
        self._run: asyncio.Task[None] | None = None
        self._ids = 0
        self._tokens = 1200
        self.held = Containment()  # what holds commands
        for event in stored:
            self.keep(event)
        if not self.journal:
            self.keep(ev.ConversationStarted(conversation_id="conv-1", agent_id="agent-1", cwd=cwd, version="0.1.0"))

    # ------------------------------------------------------------ SessionPort

    @property
    def status(self) -> Status:
        return msgspec.structs.replace(self._state, running=self._run is not None, last_seq=len(self.journal))

    async def contained(self) -> Containment:
        return self.held

    @property
    def memory(self) -> Desk:
        if self.desk is None:
            raise ConfigError("This session has no memory.")
        return self.desk

    @property
    def store(self) -> Store:
        if self.kept is None:
            raise ConfigError("This session has no store.")
        return self.kept

    @property
    def model_info(self) -> ModelInfo | None:
        return ModelInfo(name=self._state.model, window=self.window) if self._state.model else None

    async def send(self, content: str | tuple[ContentPart, ...], *, client_id: str = "") -> str:
        parts = (TextPart(text=content),) if isinstance(content, str) else content
        client_id = client_id or self.new_id("client")
        self.sent.append(text_of(parts))
        if self._run is not None:
            self._queue.append((client_id, parts))
            self.keep(ev.MessageQueued(client_id=client_id, content=parts))
            return client_id
        self._deliver(client_id, parts)
        if not self._state.model:
            raise ConfigError("No model is configured.", hint="Connect one with /connect.")
        self._run = asyncio.create_task(self._play(text_of(parts)))
        return client_id

    async def unqueue(self, client_id: str) -> bool:
        before = len(self._queue)
        self._queue = [item for item in self._queue if item[0] != client_id]
        if len(self._queue) == before:
            return False
        self.keep(ev.MessageUnqueued(client_id=client_id))
        return True

    async def answer(self, request_id: str, answer: Answer, by: str) -> ev.RequestAnswered:
        event = ev.RequestAnswered(request_id=request_id, answer=answer, by=by)
        self.keep(event)
        waiting = self._waiting.pop(request_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        return event

    async def interrupt(self) -> None:
        self.interrupts += 1
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)

    async def to_background(self, by: str) -> str:
        self.moved_by = by if self._run is not None else ""
        return "run-1" if self._run is not None else ""

    async def detach(self, by: str) -> None:
        self.detached_by = by

    async def take_over(self, by: str) -> None:
        raise UsageError("This conversation runs here already.")

    async def set_mode(self, mode: str) -> None:
        self._state = msgspec.structs.replace(self._state, mode=mode)
        self.keep(ev.SettingChanged(name="mode", value=mode))

    async def set_model(self, name: str) -> None:
        if name == "no/such":
            raise ConfigError("There is no model no/such.", hint="See /model.")
        self._state = msgspec.structs.replace(self._state, model=name)
        self.keep(ev.SettingChanged(name="model", value=name))

    async def rename(self, title: str) -> None:
        self.keep(ev.ConversationRenamed(title=title))

    async def compact(self, instructions: str = "") -> ev.ContextCompacted:
        if not instructions:
            raise LettaError("There is nothing to compact.", hint="The context holds only what is new.")
        event = ev.ContextCompacted(message_id=self.new_id("msg"), summary=instructions, first_kept_seq=1)
        self.keep(event)
        return event

    def context_sections(self) -> Sequence[Section]:
        return (Section(kind="instructions", title="Instructions", text="Be good.", tokens=2),)

    def context_request(self) -> bytes:
        return b'{"messages":[]}'

    async def events(self, after: int = 0) -> AsyncIterator[ev.Event | ev.LiveEvent]:
        queue: asyncio.Queue[ev.Event | ev.LiveEvent | None] = asyncio.Queue()
        for event in self.journal[after:]:
            queue.put_nowait(event)
        self._followers.append(queue)
        while (item := await queue.get()) is not None:
            yield item

    async def idle(self) -> ev.RunFinished | None:
        while self._run is not None:
            await asyncio.gather(self._run, return_exceptions=True)
        ends = [event for event in self.journal if isinstance(event, ev.RunFinished)]
        return ends[-1] if ends else None

    async def close(self) -> None:
        await self.interrupt()
        self.closed = True

    # ------------------------------------------------------------ what scripts call

    def new_id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}-{self._ids}"

    def keep(self, event: Any) -> None:
        """A durable event: it gets its seq and is told."""
        event = msgspec.structs.replace(event, seq=len(self.journal) + 1)
        self.journal.append(event)
        self.tell(event)

    def tell(self, event: ev.Event | ev.LiveEvent) -> None:
        """Tell every follower, live events too."""
        for queue in self._followers:
            queue.put_nowait(event)

    async def think(self, text: str, message_id: str) -> None:
        for offset in range(0, len(text), 12):
            self.tell(ev.ReasoningDelta(message_id=message_id, offset=offset, text=text[offset : offset + 12]))
            await asyncio.sleep(self.pause)

    async def say(
        self, text: str, *calls: ToolCall, thought: str = "", finish: str = "stop", cost: float | None = 0.002
    ) -> str:
        """One answer, streamed and then kept."""
        message_id = self.new_id("msg")
        self.tell(ev.Waiting(phase="sent"))
        await asyncio.sleep(self.pause)
        if thought:
            await self.think(thought, message_id)
        for offset in range(0, len(text), 7):
            self.tell(ev.TextDelta(message_id=message_id, offset=offset, text=text[offset : offset + 7]))
            await asyncio.sleep(self.pause)
        for call in calls:
            self.tell(
                ev.CallDelta(message_id=message_id, call_id=call.id, name=call.name, characters=len(call.arguments))
            )
            await asyncio.sleep(self.pause)
        self._tokens += 800
        self.keep(
            ev.AssistantMessage(
                message_id=message_id,
                model=self._state.model,
                text=text,
                tool_calls=tuple(calls),
                usage=Usage(input=self._tokens, output=len(text) // 4),
                cost=cost,
                finish=finish,
            )
        )
        self.tell(ev.ContextMeter(tokens=self._tokens, window=self.window))
        return message_id

    def call(self, name: str, arguments: str = "{}") -> ToolCall:
        return ToolCall(id=self.new_id("call"), name=name, arguments=arguments)

    async def run_tool(
        self,
        call: ToolCall,
        *blocks: DisplayBlock,
        title: str = "",
        output: str = "",
        status: str = "ok",
        text: str = "done",
        seconds: float = 0.4,
    ) -> None:
        """A call that runs, prints and ends."""
        self.tell(ev.ToolStarted(call_id=call.id, name=call.name, title=title or call.name))
        await asyncio.sleep(self.pause)
        for offset in range(0, len(output), 40):
            self.tell(ev.ToolOutput(call_id=call.id, offset=offset, text=output[offset : offset + 40]))
            await asyncio.sleep(self.pause)
        self.keep(
            ev.ToolResult(
                message_id=self.new_id("msg"),
                call_id=call.id,
                name=call.name,
                status=status,
                title=title or call.name,
                content=(TextPart(text=text),),
                blocks=blocks,
                seconds=seconds,
            )
        )

    async def ask_approval(
        self,
        call: ToolCall,
        *blocks: DisplayBlock,
        title: str,
        reason: str = "",
        offers: tuple[RuleOffer, ...] = (),
        destructive: bool = False,
    ) -> Answer:
        """Ask whether a call may run, and wait for the person."""
        request_id = self.new_id("req")
        return await self._ask(
            ApprovalRequest(
                request_id=request_id,
                call_id=call.id,
                tool=call.name,
                title=title,
                reason=reason,
                blocks=blocks,
                offers=offers,
                destructive=destructive,
            )
        )

    async def ask_question(
        self, call: ToolCall, question: str, choices: tuple[Choice, ...] = (), *, several: bool = False
    ) -> Answer:
        """Ask the person something, and wait."""
        request_id = self.new_id("req")
        return await self._ask(
            QuestionRequest(request_id=request_id, call_id=call.id, question=question, choices=choices, several=several)
        )

    def let_go(self) -> None:
        """The conversation has another owner: events end; called on the session's loop."""
        for queue in self._followers:
            queue.put_nowait(None)

    def has(self, **state: Any) -> None:
        """What the status says from now on (owner, background …)."""
        self._state = msgspec.structs.replace(self._state, **state)

    # ------------------------------------------------------------ inside

    async def _ask(self, request: ApprovalRequest | QuestionRequest) -> Answer:
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[request.request_id] = waiting
        self.keep(ev.RequestMade(request=request))
        return await waiting

    def _deliver(self, client_id: str, parts: tuple[ContentPart, ...]) -> None:
        self.keep(ev.UserMessage(message_id=self.new_id("msg"), content=parts, client_id=client_id))

    async def _play(self, text: str) -> None:
        self.keep(ev.RunStarted(model=self._state.model, mode=self._state.mode))
        reason = ev.StopReason.DONE
        try:
            await self.script(self, text)
            while self._queue:
                client_id, parts = self._queue.pop(0)
                self._deliver(client_id, parts)
                await self.script(self, text_of(parts))
        except asyncio.CancelledError:
            reason = ev.StopReason.INTERRUPTED
        finally:
            self._run = None
            for request_id in list(self._waiting):
                self.keep(ev.RequestAnswered(request_id=request_id, answer=Unanswered(reason="The run ended.")))
            self._waiting.clear()
            self.keep(ev.RunFinished(reason=reason, steps=1))


def options(**more: Any) -> SessionOptions:
    """Options of a test's session."""
    return SessionOptions(cwd="/work/project", settings=Settings(), **more)
