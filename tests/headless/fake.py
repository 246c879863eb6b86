"""A session for the tests of the headless face: plays scripted steps on the real event types."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from letta_code.agent.port import SessionOptions, Status
from letta_code.core import events as ev
from letta_code.core.messages import ContentPart, TextPart, Usage
from letta_code.core.requests import Answer
from letta_code.safety.containment import Containment

Script = Callable[["FakeSession"], Awaitable[ev.RunFinished]]


class FakeSession:
    """Satisfies SessionPort; each message plays `script`, which returns how the run ends."""

    def __init__(self, options: SessionOptions, script: Script) -> None:
        self.options = options
        self.script = script
        self.stored: list[ev.Event] = []
        self.listeners: list[asyncio.Queue[ev.Event | ev.LiveEvent | None]] = []
        self.answers: dict[str, ev.RequestAnswered] = {}
        self.answered = asyncio.Condition()
        self.mode = options.mode or options.settings.mode
        self.model = options.model or options.settings.model
        self.task: asyncio.Task[None] | None = None
        self.queue: list[tuple[str, tuple[ContentPart, ...]]] = []
        self.last: ev.RunFinished | None = None
        self.runs = 0
        self.closed = False

    @property
    def status(self) -> Status:
        return Status(
            conversation_id="conv-1",
            agent_id="agent-1",
            cwd=self.options.cwd,
            model=self.model,
            mode=self.mode,
            running=self.task is not None,
            last_seq=len(self.stored),
        )

    @property
    def model_info(self) -> None:
        return None

    def keep(self, event: ev.Durable) -> ev.Durable:
        event = msgspec.structs.replace(event, seq=len(self.stored) + 1, at="2026-01-01T00:00:00.000Z")
        self.stored.append(event)
        self.live(event)
        return event

    def live(self, event: ev.Event | ev.LiveEvent) -> None:
        for listener in self.listeners:
            listener.put_nowait(event)

    async def send(self, content: str | tuple[ContentPart, ...], *, client_id: str = "") -> str:
        parts = (TextPart(text=content),) if isinstance(content, str) else content
        if self.task is not None:
            self.queue.append((client_id, parts))
            self.keep(ev.MessageQueued(client_id=client_id, content=parts))
        else:
            self._start(client_id, parts)
        return client_id

    def _start(self, client_id: str, parts: tuple[ContentPart, ...]) -> None:
        self.runs += 1
        self.run_id = f"run-{self.runs}"
        self.keep(ev.UserMessage(message_id=f"msg-{self.runs}", content=parts, client_id=client_id))
        self.keep(ev.RunStarted(model=self.model, mode=self.mode, run_id=self.run_id))
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            finished = await self.script(self)
        except asyncio.CancelledError:
            finished = ev.RunFinished(reason=ev.StopReason.INTERRUPTED)
        self.task = None
        finished = msgspec.structs.replace(finished, run_id=self.run_id)
        kept = self.keep(finished)
        assert isinstance(kept, ev.RunFinished)
        self.last = kept
        if self.queue and finished.reason == ev.StopReason.DONE:
            self._start(*self.queue.pop(0))

    async def unqueue(self, client_id: str) -> bool:
        return False

    async def ask(self, request: ev.Request) -> Answer:
        self.keep(ev.RequestMade(request=request))
        async with self.answered:
            await self.answered.wait_for(lambda: request.request_id in self.answers)
        return self.answers[request.request_id].answer

    async def answer(self, request_id: str, answer: Answer, by: str) -> ev.RequestAnswered:
        if request_id not in self.answers:
            event = self.keep(ev.RequestAnswered(request_id=request_id, answer=answer, by=by))
            assert isinstance(event, ev.RequestAnswered)
            self.answers[request_id] = event
            async with self.answered:
                self.answered.notify_all()
        return self.answers[request_id]

    async def interrupt(self) -> None:
        if self.task is not None:
            task = self.task
            await asyncio.sleep(0)  # a task that is cancelled before its first step never runs at all
            task.cancel()
            await asyncio.wait([task])

    async def contained(self) -> Containment:
        """What holds commands: nothing is known."""
        return Containment()

    async def set_mode(self, mode: str) -> None:
        self.mode = mode
        self.keep(ev.SettingChanged(name="mode", value=mode))

    async def set_model(self, name: str) -> None:
        self.model = name
        self.keep(ev.SettingChanged(name="model", value=name))

    async def rename(self, title: str) -> None:
        self.keep(ev.ConversationRenamed(title=title))

    async def events(self, after: int = 0) -> AsyncIterator[ev.Event | ev.LiveEvent]:
        queue: asyncio.Queue[ev.Event | ev.LiveEvent | None] = asyncio.Queue()
        for event in self.stored[after:]:
            queue.put_nowait(event)
        self.listeners.append(queue)
        while (event := await queue.get()) is not None:
            yield event

    async def idle(self) -> ev.RunFinished | None:
        while self.task is not None:
            await asyncio.wait([self.task])
        return self.last

    async def close(self) -> None:
        await self.interrupt()
        self.closed = True
        for listener in self.listeners:
            listener.put_nowait(None)

    def says(self, text: str, **more: object) -> None:
        """An assistant message, with a live delta before it."""
        self.live(ev.TextDelta(message_id="msg-a", offset=0, text=text))
        fields = {"usage": Usage(input=10, output=2), **more}
        self.keep(ev.AssistantMessage(message_id="msg-a", model=self.model, text=text, **fields))  # type: ignore[arg-type]
