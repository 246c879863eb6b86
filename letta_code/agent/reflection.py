"""Reflection ("sleep-time"): the conversation is read again behind the scenes, and memory brought up to date."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from msgspec.structs import replace

from letta_code.agent.uncut import finish
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.core.messages import Usage, UserText, Value
from letta_code.llm.model import ChatModel

if TYPE_CHECKING:  # what only a reflection needs is loaded with the first one
    from letta_code.agent.reflecting.proposing import Settled
    from letta_code.agent.reflecting.thinking import Thinking, Thought
    from letta_code.agent.session import Session
    from letta_code.memory.desk import Desk
    from letta_code.memory.proposals import Proposal

log = logging.getLogger(__name__)

MOST_FAILURES = 3  # of one stretch, before only a person's word tries it again
EXIT_SECONDS = 180.0  # how long a headless run waits for one, where the settings say so

ReadJournal = Callable[[int, int], Awaitable[Sequence[ev.Event]]]
OpenModel = Callable[[str], Awaitable[ChatModel]]


class Cause(Value):
    """Why a reflection is to be done: whether a person asked for it, and what they say matters."""

    asked: bool = False
    focus: str = ""


class Decided(Value):
    """What became of a reflection that waited: a sentence for the person, and the event that says so."""

    text: str
    event: ev.ReflectionDecided
    settled: Settled | None = None


class Reflection:
    """The reflections of one session, one at a time, each in a task of its own that the conversation never waits for.

    The mark (`History.reflected_until`) moves with the event that records a reflection: whatever is cut off before
    leaves it where it was, and the next one reads the same again.  Where the conversation's own model runs on this
    machine, which answers one request at a time, a run goes first: the reflection is put off to the run's end.
    """

    def __init__(self, session: Session, read: ReadJournal, open_model: OpenModel) -> None:
        self._session = session
        self._settings = session.options.settings.reflection
        self._read = read
        self._open_model = open_model
        self._task: asyncio.Task[None] | None = None
        self._due: Cause | None = None
        self._current = Cause()
        self._concluding = False
        self._closed = False
        self._turns = 0
        if self._settings.every_turns:
            history = session.history
            heard = zip(history.messages, history.seqs, strict=True)
            self._turns = sum(isinstance(m, UserText) and seq > history.reflected_until for m, seq in heard)

    # ------------------------------------------------------------ when

    @property
    def running(self) -> bool:
        """Whether one is going on."""
        return self._task is not None and not self._task.done()

    def heard(self, event: ev.Event) -> None:
        """Called with each event that the session stored: what may begin a reflection, or put one off."""
        match event:
            case ev.UserMessage():
                self._turns += 1
            case ev.ContextCompacted() if self._settings.after_compaction:
                self._want(Cause())
            case ev.RunStarted() if self._one_at_a_time and self.running and not self._concluding and self._task:
                self._due = self._current
                self._task.cancel()
            case ev.RunFinished():
                if self._settings.every_turns and self._turns >= self._settings.every_turns:
                    self._want(Cause())
                self._begin_due()
            case _:
                pass

    def _want(self, cause: Cause) -> None:
        unattended = not self._session.options.interactive and not self._settings.headless
        if self._session.desk is None or unattended or self._closed:
            return
        self._due = self._due or cause
        self._begin_due()

    @property
    def _one_at_a_time(self) -> bool:
        """Whether a request of ours would hold up one of the conversation's."""
        info = self._session.model_info
        return info is not None and info.loopback and not self._other_model

    @property
    def _other_model(self) -> str:
        name = self._settings.model
        return name if name and name != self._session.status.model else ""

    def _begin_due(self) -> None:
        if self._due is None or self.running or self._closed:
            return
        self._current, self._due, self._turns = self._due, None, 0
        self._task = asyncio.create_task(self._work(self._current), name="reflection")
        self._task.add_done_callback(_log_bug)

    async def ask(self, focus: str = "") -> str:
        """A person asks for one now; what is done about it, for the person."""
        history, _ = self._session.history, self._session.memory  # raises where there is no memory
        if self.running:
            return "A reflection is going on already."
        events = await self._read(history.reflected_until, history.last_seq)
        if not any(isinstance(event, ev.UserMessage) for event in events):
            return "Nothing was said since the last reflection."
        self._due = Cause(asked=True, focus=focus)
        self._begin_due()
        if self._one_at_a_time and self._session.running:
            return "The model answers one request at a time: the reflection begins when this run has ended."
        read = f"events {history.reflected_until + 1} to {history.last_seq}"
        return f"Reading {read} again, behind the scenes; a line tells what came of it."

    async def idle(self) -> None:
        """Wait until none is going on."""
        while self.running and self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Stop; what was not finished is read again another time."""
        if self._settings.headless and not self._session.options.interactive and self._task is not None:
            await asyncio.wait([self._task], timeout=EXIT_SECONDS)
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # ------------------------------------------------------------ one reflection

    async def _work(self, cause: Cause) -> None:
        session = self._session
        if self._one_at_a_time:
            await session.idle()
        began = monotonic()
        desk, history = session.memory, session.history
        events = await self._read(history.reflected_until, history.last_seq)
        failed = [event for event in events if isinstance(event, ev.ReflectionDone) and event.status == "failed"]
        spoken = any(isinstance(event, ev.UserMessage) for event in events)
        if not spoken or (len(failed) >= MOST_FAILURES and not cause.asked):
            return
        done = ev.ReflectionDone(
            reflection_id=_new_id(), status="failed", read_until=history.reflected_until, model=session.status.model
        )
        thinking: Thinking | None = None
        model: ChatModel | None = None
        try:
            model = await self._model()
            done = replace(done, model=model.info.name)
            thinking = self._thinking(model, desk, history.last_seq)
            thought = await self._think(thinking, desk, events, cause.focus)
        except LettaError as error:
            notice = _failure(error, last=len(failed) + 1 >= MOST_FAILURES)
            await session.commit(replace(_spent(done, thinking, began), error=_told(error, notice)), notice)
            return
        except asyncio.CancelledError:
            spent = _spent(done, thinking, began)
            if spent.usage != Usage():  # it is paid all the same
                await finish(asyncio.ensure_future(session.commit(replace(spent, status="cancelled"))))
            raise
        finally:
            if model is not None and (self._other_model or not model.info.loopback):
                await model.close()
        done = _spent(done, thinking, began)
        self._concluding = True
        try:
            cancelled = await finish(asyncio.ensure_future(self._conclude(done, thought, desk, cause)))
        finally:
            self._concluding = False
        if cancelled:
            raise asyncio.CancelledError

    async def _model(self) -> ChatModel:
        """A client of our own, which no change of the conversation's model closes.

        A model on this machine is used together with the conversation: it would be read into memory twice.
        """
        if self._other_model:
            return await self._open_model(self._other_model)
        shared = await self._session.model()
        return shared if shared.info.loopback else await self._open_model(self._session.status.model)

    def _thinking(self, model: ChatModel, desk: Desk, seq: int) -> Thinking:
        from letta_code.agent.reflecting.thinking import Thinking
        from letta_code.memory.provenance import REFLECTION, Provenance

        by = Provenance(source=REFLECTION, conversation=self._session.conversation_id, seq=seq)
        budget, where = self._settings.budget_tokens, self._session.options.cwd
        return Thinking(model, desk.blocks, by, self._session.counter, budget=budget, where=where)

    async def _think(self, thinking: Thinking, desk: Desk, events: Sequence[ev.Event], focus: str) -> Thought:
        proposals, mark = desk.blocks.proposals, self._session.history.reflected_until
        await asyncio.to_thread(proposals.tidy, self._session.conversation_id, mark)
        waiting = await asyncio.to_thread(proposals.waiting)
        text = "\n\n".join(one.patch for one in waiting if one.place.project_key == desk.blocks.place.project_key)
        return await thinking.think(events, text[-4_000:], focus)

    async def _conclude(self, done: ev.ReflectionDone, thought: Thought, desk: Desk, cause: Cause) -> None:
        """What was thought becomes a branch, memory, and last the event that moves the mark: never cut in between."""
        reading, answer = thought.reading, thought.answer
        left = f" {reading.left} entries are left for the next one." if reading.left else ""
        if not answer.patch:
            done = replace(done, status="nothing", read_until=reading.until)
            notice = ev.Notice(level="info", text=f"Reflection: there was nothing to keep.{left}", code="reflection")
            await self._session.commit(*((done, notice) if cause.asked or left else (done,)))
            return
        from letta_code.agent.reflecting.proposing import settle, told

        try:
            proposal = await self._proposal(done, thought, desk)
            settled = await asyncio.to_thread(settle, desk.blocks, proposal)
        except LettaError as error:  # memory cannot be written, or somebody changed just these lines
            notice = _failure(error, last=False)
            await self._session.commit(replace(done, error=_told(error, notice)), notice)
            return
        done = replace(
            done,
            status=settled.status,
            read_until=reading.until,
            why=answer.why,
            patch=answer.patch,
            base=thought.base,
            blocks=settled.blocks,
            commit=settled.commit,
        )
        text, hint = told(settled, proposal)
        await self._session.commit(done, ev.Notice(level="info", text=text + left, hint=hint, code="reflection"))

    async def _proposal(self, done: ev.ReflectionDone, thought: Thought, desk: Desk) -> Proposal:
        """What is proposed, and what a person is asked about it; raises `BlockError`."""
        from letta_code.memory.proposals import Proposal
        from letta_code.memory.provenance import REFLECTION, Provenance

        answer = thought.answer
        why = answer.why or "Memory was brought up to date."
        by = Provenance(
            source=REFLECTION,
            conversation=self._session.conversation_id,
            seq=thought.reading.until,
            reason=why,
            reflection=done.reflection_id,
            since=self._session.history.reflected_until + 1,
        )
        made = Proposal(
            id=done.reflection_id, patch=answer.patch, base=thought.base, place=desk.blocks.place, by=by, why=why
        )
        asks = (*thought.asks, *await self._asks(made, desk))
        return replace(
            made, asks=asks or (("every reflection is shown first",) if self._settings.merge == "ask" else ())
        )

    async def _asks(self, proposal: Proposal, desk: Desk) -> tuple[str, ...]:
        """What acts everywhere is changed without a question only where nobody but the person and the agent spoke.

        The whole conversation counts: what the agent says now may come from a page that it read long ago.
        """
        from letta_code.agent.reflecting.grounds import asked_about, outside, tainted

        if taints := self._session.history.taints:
            return tainted(taints)
        labels = await asyncio.to_thread(desk.blocks.proposals.everywhere, proposal)
        return asked_about(labels) if labels and outside(await self._read(0, proposal.by.seq)) else ()

    # ------------------------------------------------------------ what waits

    async def pending(self) -> Sequence[Proposal]:
        """What waits for the person, of all conversations of the agent, oldest first."""
        return await asyncio.to_thread(self._session.memory.blocks.proposals.waiting)

    async def decide(self, wanted: str, *, approved: bool) -> Decided:
        """A person's yes or no to one that waits; raises `BlockError`, and then it still waits."""
        from letta_code.agent.reflecting import proposing

        blocks = self._session.memory.blocks
        if approved:
            proposal, settled = await asyncio.to_thread(proposing.approve, blocks, wanted)
            event = ev.ReflectionDecided(reflection_id=proposal.id, verdict="merged", commit=settled.commit)
            decided = Decided(text="\n\n".join(proposing.told(settled, proposal)), event=event, settled=settled)
        else:
            proposal = await asyncio.to_thread(proposing.reject, blocks, wanted)
            event = ev.ReflectionDecided(reflection_id=proposal.id, verdict="rejected")
            decided = Decided(text=f"{proposal.id} is rejected and forgotten: memory stays as it is.", event=event)
        if self._session.history.started is not None:
            await self._session.commit(event)
        return decided


def _new_id() -> str:
    from letta_code.memory.proposals import proposal_id

    return proposal_id()


def _spent(done: ev.ReflectionDone, thinking: Thinking | None, began: float) -> ev.ReflectionDone:
    usage, cost = (thinking.usage, thinking.cost) if thinking else (Usage(), None)
    return replace(done, usage=usage, cost=cost, seconds=round(monotonic() - began, 3))


def _failure(error: LettaError, *, last: bool) -> ev.Notice:
    after = (
        f"It failed {MOST_FAILURES} times on this part of the conversation, which is tried again only with /reflect."
        if last
        else "Nothing is lost: the next reflection reads the same part again."
    )
    hint = f"{error.hint} {after}".strip()
    return ev.Notice(level="warning", text=f"Reflection failed: {error}", hint=hint, code="reflection")


def _told(error: LettaError, notice: ev.Notice) -> str:
    return f"{error} {notice.hint}"


def _log_bug(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a reflection failed inside", exc_info=error)
