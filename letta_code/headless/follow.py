"""Following a session: its events to the output, its requests to whoever can answer, its runs to results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol

from letta_code.agent.port import Status
from letta_code.agent.unanswered import advice_for, flag_for, reason_for
from letta_code.core.errors import UsageError
from letta_code.core.events import (
    AssistantMessage,
    Durable,
    Event,
    LiveEvent,
    MessageQueued,
    Notice,
    RequestAnswered,
    RequestMade,
    RunFinished,
    RunStarted,
    StopReason,
    ToolResult,
    UnknownEvent,
    UserMessage,
)
from letta_code.core.messages import text_of
from letta_code.core.requests import Answer, ApprovalRequest, Approve, Request, Unanswered
from letta_code.headless.output import Output
from letta_code.headless.protocol import AnswerInput, Input, InterruptInput, ModeInput, ModelInput, SayInput
from letta_code.headless.result import Denial, exit_code_of, result_of
from letta_code.safety.secrets import secret_warning

_FACE = "headless"
_CATCH_UP_SECONDS = 5.0
_ENDED_BY = ("run", "recovery")  # whose answers mean that the run ended before one came: nobody denied anything


class Followed(Protocol):
    """What is followed: the part of a `SessionPort` that events and the lines of stdin need."""

    @property
    def status(self) -> Status: ...

    def events(self, after: int = 0) -> AsyncIterator[Event | LiveEvent]: ...

    async def send(self, content: str, *, client_id: str = "") -> str: ...

    async def answer(self, request_id: str, answer: Answer, by: str) -> RequestAnswered: ...

    async def interrupt(self) -> None: ...

    async def set_mode(self, mode: str) -> None: ...

    async def set_model(self, name: str) -> None: ...


class Follower:
    """The one reader of a session's events in a headless run.  `code` is the exit code of the last run."""

    def __init__(self, session: Followed, output: Output, *, answering: bool, stop_code: Callable[[], int]) -> None:
        """`answering`: somebody on stdin answers requests; `stop_code` gives 128 + the signal that came, else 0."""
        self.code = 0
        self._session = session
        self._output = output
        self._answering = answering
        self._stop_code = stop_code
        self._answer = ""  # the model's last words
        self._cut = False  # whether they were cut at the output limit
        self._model = session.status.model
        self._open: dict[str, Request] = {}
        self._known: set[str] = set()  # requests that were made
        self._refused: set[str] = set()  # calls that somebody or nobody refused; others are refused by a rule or mode
        self._denials: list[Denial] = []
        self._seen = 0
        self._unread = 0  # up to here no event was looked at for its client id
        self._said: dict[str, Event] = {}  # messages by their client ids
        self._moved = asyncio.Event()

    async def follow(self, after: int) -> None:
        """Print every event after a seq until cancelled."""
        self._seen = self._unread = after
        async for event in self._session.events(after):
            await self.hear(event)

    def begin(self, after: int, asked: Iterable[Request]) -> None:
        """In the middle of a conversation: events up to `after` are known, and these requests are open."""
        self._seen = self._unread = after
        for request in asked:
            self._open[request.request_id] = request
            self._known.add(request.request_id)

    async def hear(self, event: Event | LiveEvent) -> None:
        """Print one event, and do what it asks for."""
        if isinstance(event, RequestMade):  # known before it is printed: its answer may come at once
            self._open[event.request.request_id] = event.request
            self._known.add(event.request.request_id)
        await self._output.event(event)
        await self._note(event)
        if isinstance(event, Durable | UnknownEvent) and event.seq:
            self._seen = event.seq
            self._moved.set()

    @property
    def seen(self) -> int:
        """The newest stored event that was printed."""
        return self._seen

    async def caught_up(self, seq: int) -> None:
        """Wait until the event of this seq has been printed."""
        try:
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                while self._seen < seq:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            pass  # the run has ended all the same; what is missing is in the store

    async def take(self, said: Input) -> None:
        """Do what a line of stdin asks; raises `LettaError`."""
        match said:
            case SayInput(text=text, client_id=client_id):
                before = await self._said_before(client_id) if client_id else None
                if warning := secret_warning(text):
                    self._output.progress.notice(Notice(level="warning", text=warning, code="secret"))
                await self._session.send(text, client_id=client_id)
                if before is not None:  # nothing new is stored: the acknowledgement is what is
                    await self._output.event(before)
            case AnswerInput(request_id=request_id, answer=answer):
                await self._answer_from_stdin(request_id, answer)
            case InterruptInput():
                await self._session.interrupt()
            case ModeInput(mode=mode):
                await self._session.set_mode(mode)
            case ModelInput(model=model):
                await self._session.set_model(model)

    async def _said_before(self, client_id: str) -> Event | None:
        """The stored event of a message that was said with this client id; None for a new one."""
        if self._unread:  # of the time before this follower; only who sends ids needs it
            until, self._unread = self._unread, 0
            async for event in self._session.events(0):
                if isinstance(event, UserMessage | MessageQueued) and event.seq <= until:
                    self._said.setdefault(event.client_id, event)
                if not isinstance(event, Durable | UnknownEvent) or event.seq >= until:
                    break
        return self._said.get(client_id)

    async def nobody_answers(self) -> None:
        """From here on nobody is there to answer: open requests too are answered so."""
        self._answering = False
        for request in list(self._open.values()):
            await self._refuse(request)

    def know(self, event: Event | LiveEvent) -> None:
        """Take in an event that was told before: it counts for the result."""
        if isinstance(event, RequestMade):
            self._open[event.request.request_id] = event.request
            self._known.add(event.request.request_id)
        self._gather(event)

    async def _note(self, event: Event | LiveEvent) -> None:
        denial = self._gather(event)
        if denial is not None:
            self._output.progress.denied(denial)
        match event:
            case RequestMade(request=request):
                if not self._answering:
                    await self._refuse(request)
            case RunFinished() if event.reason != StopReason.ORPHANED:
                self.conclude(event)
            case _:
                pass

    def _gather(self, event: Event | LiveEvent) -> Denial | None:
        """What the result is made of; a call that was not made is given back."""
        denial: Denial | None = None
        match event:
            case UserMessage() | MessageQueued():
                self._said[event.client_id] = event
            case RunStarted():
                self._answer, self._denials, self._cut = "", [], False
                self._model = event.model or self._model
            case AssistantMessage():
                if event.text or not event.tool_calls:
                    self._answer = self._answer + event.text if self._cut else event.text
                self._cut = event.finish == "length" and not event.tool_calls  # the next one goes on from there
            case RequestAnswered():
                denial = self._denied(event)
            case ToolResult(status="denied") if event.call_id not in self._refused:
                denial = Denial(tool=event.name, title=event.title or event.name, reason=text_of(event.content))
            case _:
                pass
        if denial is not None:
            self._denials.append(denial)
        return denial

    async def _answer_from_stdin(self, request_id: str, answer: Answer) -> None:
        if request_id not in self._known:
            raise UsageError(f"There is no request {request_id}.", hint="Answer the ids of request_made lines.")
        given = await self._session.answer(request_id, answer, _FACE)
        if given.answer != answer:
            raise UsageError(f"The request {request_id} was answered already, by {given.by or 'another'}.")

    async def _refuse(self, request: Request) -> None:
        await self._session.answer(request.request_id, Unanswered(reason=reason_for(request)), _FACE)

    def _denied(self, event: RequestAnswered) -> Denial | None:
        request = self._open.pop(event.request_id, None)
        if not isinstance(request, ApprovalRequest) or isinstance(event.answer, Approve):
            return None
        self._refused.add(request.call_id)
        if event.by in _ENDED_BY:
            return None
        return Denial(
            tool=request.tool,
            title=request.title,
            reason=request.reason,
            allow=flag_for(request),
            advice=advice_for(request, self._session.status.conversation_id),
        )

    def conclude(self, event: RunFinished) -> None:
        """Print the result of a run that ended so, and take its exit code."""
        stopped = self._stop_code() if event.reason == StopReason.INTERRUPTED else 0
        self.code = stopped or exit_code_of(event)
        result = result_of(
            event,
            exit_code=self.code,
            result=self._answer,
            conversation_id=self._session.status.conversation_id,
            model=self._model,
            denials=tuple(self._denials),
        )
        self._output.result(result)
