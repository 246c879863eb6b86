"""Run: the work on one user message: feeds the loop, stores what it yields, and closes what it leaves open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec.structs import replace

from letta_code import __version__
from letta_code.agent.calls import NOT_BEGUN, Calls
from letta_code.agent.compacting.limits import PRESSURE_SHARE
from letta_code.agent.draft import Draft
from letta_code.agent.head import Head, Toolset
from letta_code.agent.history import MEMORY
from letta_code.agent.loop import Done, Judged, LeavesNow, Steps, not_run, run_loop
from letta_code.agent.tally import Tally
from letta_code.agent.uncut import finish
from letta_code.core import events as ev
from letta_code.core.errors import ConfigError, ContextOverflow, LettaError
from letta_code.core.ids import new_id
from letta_code.core.messages import ToolCall, Usage, UserText
from letta_code.core.requests import Unanswered
from letta_code.host.allocator import collect_as_usual
from letta_code.llm.model import ChatModel, ChatRequest, ModelInfo, StreamPart
from letta_code.llm.retry import Restarted, RetryLimits, stream_with_retries
from letta_code.memory.standard import TASK_LIMIT

if TYPE_CHECKING:
    from letta_code.agent.session import Session
    from letta_code.memory.desk import Desk

log = logging.getLogger(__name__)

WARM_SECONDS = 0.05  # after the first request: the bytes are out, the model thinks

_INTERRUPTED = "Interrupted while this call ran; its effect may be partial. Look before you repeat it."
_OUT_OF_TIME = "Stopped: the run's time limit was reached while this call ran."


class Run:
    """One run of a session; implements the loop's `Services`."""

    def __init__(
        self,
        session: Session,
        model: ChatModel | None,
        *,
        run_id: str = "",
        messages: Sequence[ev.UserMessage] = (),
        resumed: ev.RunResumed | None = None,
    ) -> None:
        """`run_id` names a run that is open already: one that is `resumed` here, or that is only to be closed."""
        history = session.history
        self.session = session
        self.run_id = run_id or new_id("run")
        self.draft = Draft(session.vault)
        self.reason = ""
        self.begun = asyncio.Event()
        self._answered = False
        self._told_mode = session.mode
        self._warming: asyncio.Handle | None = None
        self._messages = tuple(messages)
        self._model = model
        self._resumed = resumed
        self._started = resumed is not None
        self._leaving: ev.RunMoved | None = None
        self._unanswered: asyncio.Task[None] | None = None  # while nothing of an answer has come
        self._steps = Steps(session.options.settings.max_turns, made=history.run_steps if resumed else 0)
        self._calls = self._make_calls(model) if model else None
        self._stop_reason = ""
        self._tally = Tally(history, resumed=resumed is not None)

    # ------------------------------------------------------------ the beginning

    def opening(self) -> tuple[ev.KnownEvent, ...]:
        """What the model is to know before the message: the head where it changed, facts where they changed."""
        return (*self._head(), *self._reminders())

    def _head(self) -> tuple[ev.ContextPinned, ...]:
        """The head where it changed; nothing as long as the model is not open (it decides on the tools)."""
        if self._model is None or self._calls is None:
            return ()
        pinned = self.session.history.pinned
        head = self._made_head()
        if pinned is not None and pinned.key == head.key:
            return ()
        desk, history = self.session.desk, self.session.history
        evicted = history.compaction is not None and not any(isinstance(m, UserText) for m in history.messages)
        task = TASK_LIMIT if evicted and not self.session.options.interactive else 0  # else the message tells it
        return (head.pinned(desk.show(task=task) if desk else None),)

    def _made_head(self) -> Head:
        return Head(self._all_calls().toolset, self.info, __version__)

    def _reminders(self) -> list[ev.KnownEvent]:
        self._told_mode = self.session.mode
        told = self.session.history.facts
        return [
            ev.ReminderAdded(message_id=new_id("msg"), kind=fact.kind, text=fact.text, fact_key=fact.key)
            for fact in self.session.surroundings.facts()
            if told.get(fact.kind) != fact.key
        ]

    def started(self) -> tuple[ev.KnownEvent, ...]:
        """The run's first event, once the model is open."""
        if self._model is None or self._started:
            return ()
        self._started = True
        return (self._run_started(self._model.info.name),)

    def given_away(self, model: str, by: str) -> tuple[ev.KnownEvent, ...]:
        """The first events of a run that another process is to do."""
        return (self._run_started(model), ev.RunMoved(run_id=self.run_id, background=True, by=by))

    def _run_started(self, model: str) -> ev.RunStarted:
        background = self.session.handover.faceless
        return ev.RunStarted(run_id=self.run_id, model=model, mode=self.session.mode, background=background)

    def _make_calls(self, model: ChatModel) -> Calls:
        around = self.session.surroundings
        return Calls(
            history=self.session.history,
            toolset=Toolset(around.tools, around.situation(model.info)),
            workspace=around.workspace,
            policy=lambda: around.policy,  # it changes with the mode and with every remembered yes
            info=lambda: model.info,
            ask=self.session.ask,
            agreed=around.agreed,
            created=around.created,
            emit=self.session.publish,
            memory=self.session.desk,
            printed=self.session.printed,
            vault=self.session.vault,
            raises_concerns=lambda: self.session.options.interactive and self.session.mode != "full",
            foreign=not self.session.options.trusted,
        )

    # ------------------------------------------------------------ the work

    async def work(self) -> None:
        """Do the run to its end, whatever that is; the history is balanced then and `reason` says why it ended."""
        self.begun.set()
        timer: asyncio.TimerHandle | None = None
        error: LettaError | None = None
        try:
            timer = self._time_limit()
            await self._open()
            await self._consume()
            self.reason = self._steps.ended.reason if self._steps.ended else ev.StopReason.DONE
            error = self._steps.ended.error if self._steps.ended else None
        except asyncio.CancelledError:
            self.reason = self._stop_reason or ev.StopReason.INTERRUPTED
        except LettaError as why:
            self.reason, error = ev.StopReason.ERROR, why
        except Exception as why:  # one of the three borders: a bug ends the run, not the program
            log.exception("run %s failed", self.run_id)
            self.reason = ev.StopReason.ERROR
            error = LettaError(f"letta-code failed inside ({type(why).__name__}: {why}).", hint="See ~/.letta/logs.")
        finally:
            for waiting in (timer, self._warming):
                if waiting is not None:
                    waiting.cancel()
        await finish(asyncio.ensure_future(self._close(error)))

    async def _open(self) -> None:
        if self._resumed is not None:  # first of all: an owner that dies while it opens the model counts as well
            from letta_code.agent.recovery import taken_up

            told = taken_up(self._resumed, self.session.history.run_mode)
            await self.session.commit(*told, self._resumed)
        if self._model is None:
            self._model = await self.session.model()
            self._calls = self._make_calls(self._model)
        self.session.counter.use(self._model.info.encoding)
        if self._resumed is not None:
            opening = self.opening()
            if self.session.history.open_calls:  # their results come first, what changed is told after
                opening, self._told_mode = self._head(), ""
            await self.session.commit(*opening)
        else:
            opening = () if self._started else self.opening()  # it may have been stored with the message
            await self.session.commit(*opening, *self._messages, *self.started())
        if warning := self.session.limits.too_small(self._model.info, self.session.context.head_tokens()):
            await self.session.commit(warning)

    @property
    def stopped(self) -> bool:
        """Whether it was ended from outside."""
        return bool(self._stop_reason)

    def _time_limit(self) -> asyncio.TimerHandle | None:
        limit = self.session.options.settings.time_limit
        task = asyncio.current_task()
        if not limit or task is None:
            return None
        return asyncio.get_running_loop().call_later(limit, self.stop, ev.StopReason.TIME_LIMIT, task)

    async def _consume(self) -> None:
        async with aclosing(run_loop(self, self._steps)) as outputs:
            async for output in outputs:
                if isinstance(output, tuple):
                    await self.session.commit(*(self._counted(event) for event in output))
                    if any(isinstance(e, ev.AssistantMessage | ev.ToolResult) for e in output):
                        self.session.tell_meter()
                else:
                    self.session.publish(output)

    def _counted(self, event: ev.KnownEvent) -> ev.KnownEvent:
        """An answer whose provider counted nothing gets our own count."""
        if not isinstance(event, ev.AssistantMessage) or event.usage_exact or self._model is None:
            return event
        before, _ = self.session.context.tokens()
        said = event.text + "".join(f"{call.name} {call.arguments}" for call in event.tool_calls)
        usage = Usage(input=before, output=self.session.counter.count(said))
        return replace(event, usage=usage, cost=self._model.info.cost(usage))

    def stop(self, reason: str, task: asyncio.Task[None]) -> None:
        """End the run from outside, for the given reason."""
        if not self._stop_reason:
            self._stop_reason = reason
            task.cancel()

    def leave(self, *, background: bool, by: str) -> None:
        """Give the run away at the next step boundary; `work` returns then, and `reason` is `moved`."""
        self._leaving = ev.RunMoved(run_id=self.run_id, background=background, by=by)
        if self._unanswered is not None:
            self._unanswered.cancel()  # the answer is asked for where the run goes on
        self.session.publish(ev.Waiting(after_seq=self.session.history.last_seq, phase="moving"))

    def stay(self) -> None:
        """Keep the run here after all."""
        self._leaving = None
        self.session.publish(ev.Waiting(after_seq=self.session.history.last_seq, phase="stays"))

    # ------------------------------------------------------------ the end

    async def _close(self, error: LettaError | None) -> None:
        if self.reason == ev.StopReason.MOVED and self._leaving is not None:
            await self.session.commit(self._leaving)  # the run stays open: its next owner goes on with it
            return
        words = _OUT_OF_TIME if self.reason == ev.StopReason.TIME_LIMIT else _INTERRUPTED
        await self.balance(words, "interrupted")
        if not self._started:  # the model could not even be opened
            await self.session.commit(self._run_started(self.session.status.model))
        await self.session.commit(self._tally.finished(self.run_id, self.reason, steps=self._steps.made, error=error))

    async def balance(self, words: str, status: str) -> None:
        """Close what is open: the answer so far is kept, every call gets a result, every question an answer."""
        kept: list[ev.KnownEvent] = []
        if message := self.draft.take(finish="interrupted"):
            kept.append(message)
        for request_id in [*self.session.history.open_requests]:
            await self.session.answer(request_id, Unanswered(reason="The run ended before an answer came."), by="run")
        for call in [*self.session.history.open_calls.values()]:
            kept.append(self._cut(call, words, status))
        await self.session.commit(*kept)

    def _cut(self, call: ToolCall, words: str, status: str) -> ev.ToolResult:
        if self._calls is not None:
            return self._calls.interrupted(call, words, status)
        return not_run(call, NOT_BEGUN, status=status)  # the model was never opened: nothing ran here

    # ------------------------------------------------------------ the loop's services

    @property
    def info(self) -> ModelInfo:
        """The model in use."""
        return self._opened().info

    def _opened(self) -> ChatModel:
        if self._model is None:
            raise ConfigError("No model is open.")
        return self._model

    def pending(self) -> Sequence[ToolCall]:
        """Calls that the run's last owner left before they ran."""
        return [*self.session.history.open_calls.values()] if self._resumed else ()

    def leaves(self) -> bool:
        """Whether the run is to go on elsewhere."""
        return self._leaving is not None

    async def prepare(self) -> tuple[ev.KnownEvent, ...]:
        """Deliver what was said meanwhile, and what changed: the mode, on a person's word, and memory.

        Older messages leave before that where the context would be over its limit.
        """
        session = self.session
        changed = self._reminders() if self._told_mode != session.mode else []
        coming = (*changed, *await self.memory_news(), *session.queued())
        filled = session.context.tokens()[0] + sum(session.context.size_of(event) for event in coming)
        if filled < session.limits.of(self.info) * PRESSURE_SHARE and not session.wishes:
            return coming
        from letta_code.agent.compaction import Compaction, prepared

        return await prepared(Compaction(session, self._opened(), self._made_head()), session, coming)

    async def make_room(self, error: ContextOverflow) -> bool:
        """Compact after the provider refused the request as too long; False when there is nothing to win."""
        from letta_code.agent.compaction import OVERFLOW, Compaction

        session = self.session
        session.limits.learn(self.info, str(error), session.context.tokens()[0])
        made = await Compaction(session, self._opened(), self._made_head()).make(OVERFLOW)
        return made is not None

    async def memory_news(self) -> tuple[ev.KnownEvent, ...]:
        """What others changed in memory since the model was last shown or told of it."""
        desk = self.session.desk
        if desk is None:
            return ()
        desk.knows(self.session.history.facts.get(MEMORY, ""))
        news = await desk.news(background=desk.in_background and await self._in_background())
        notices = [ev.Notice(level="info", text=text, code="memory") for text in news.notices]
        notices += [ev.Notice(level="warning", text=text, code="memory") for text in news.warnings]
        if not news.text:
            return tuple(notices)
        told = ev.ReminderAdded(message_id=new_id("msg"), kind=MEMORY, text=news.text, fact_key=news.pin)
        return (*notices, told)

    def request(self) -> ChatRequest:
        """The next request; what it tells of memory is what the model's edits are based on from here on."""
        if self.session.desk is not None:
            self.session.desk.knows(self.session.history.facts.get(MEMORY, ""))
        self.session.tell_meter()
        return self.session.context.request()

    async def stream(self, request: ChatRequest) -> AsyncIterator[StreamPart | Restarted]:
        """Ask the model, with retries that a face is told of."""
        limits = RetryLimits(retry_seconds=self.session.options.settings.retry_seconds)
        parts = stream_with_retries(self._opened(), request, limits=limits, on_wait=self._tell_wait)
        async with aclosing(parts):
            first = await self._first(parts)
            if not self._answered:
                self._answered = True
                self.session.surroundings.answer_begins()
            yield first
            async for part in parts:
                yield part

    async def _first(self, parts: AsyncIterator[StreamPart | Restarted]) -> StreamPart | Restarted:
        self._unanswered = task = asyncio.current_task()
        try:
            return await anext(parts)  # an answer has at least its end
        except asyncio.CancelledError:
            if self._leaving is None or self._stop_reason or task is None:
                raise
            task.uncancel()
            raise LeavesNow from None
        finally:
            self._unanswered = None

    def _warm_soon(self) -> None:
        self._warming = asyncio.get_running_loop().call_later(WARM_SECONDS, self._warm)

    def _warm(self) -> None:
        collect_as_usual()  # the way to the first request is behind us
        self.session.surroundings.warm()
        self.session.checkpoints.begin()
        self.session.settle()
        if self.session.options.interactive:  # a one-shot run ends before exact counts would pay
            self.session.counter.warm()

    def _tell_wait(self, phase: str, seconds: float, attempt: int = 1, reason: str = "") -> None:
        if phase == "sent" and not self._answered:
            # The client is loaded now, which holds the loop: the time counts from its end.
            self._warming = asyncio.get_running_loop().call_soon(self._warm_soon)
        self.session.publish(
            ev.Waiting(
                after_seq=self.session.history.last_seq, phase=phase, seconds=seconds, attempt=attempt, reason=reason
            )
        )

    def reads_only(self, call: ToolCall) -> bool:
        """Whether the call changes nothing."""
        return self._calls is not None and self._calls.reads_only(call)

    async def judge(self, call: ToolCall) -> Judged:
        """Parse, ask the policy, ask the person."""
        return await self._all_calls().judge(call)

    async def run(self, judged: Judged) -> Done:
        """Run an allowed call; what it does to memory's files by the way is signed as its doing."""
        calls, desk = self._all_calls(), self.session.desk
        if not calls.may_edit_files(judged.call):
            return await calls.run(judged)
        await self.session.checkpoints.before_effect(destroys=calls.destroys(judged.call))
        if desk is None:
            return await calls.run(judged)
        await desk.command_begins(judged.call.name, self.session.history.answered_seq)
        try:
            return await calls.run(judged)
        finally:
            await finish(asyncio.ensure_future(self._command_ends(desk)))

    async def _command_ends(self, desk: Desk) -> None:
        await desk.command_ends(background=await self._in_background())

    async def _in_background(self) -> bool:
        """Whether a command of this session runs in the background."""
        return any(process.running for process in await self.session.surroundings.workspace.processes())

    def _all_calls(self) -> Calls:
        if self._calls is None:
            raise ConfigError("No model is open.")
        return self._calls
