"""Compaction: older messages leave the context, and a summary stands for them; everything stays in the journal.

One compaction is one commit: `ContextCompacted`, then the head pinned anew with memory as it is now.  Whatever happens
before that (an error, an interrupt, a kill) leaves the context as it was.  When the model gives no summary that can be
used, one is cut together from first lines, so that a run never stops here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from letta_code.agent.compacting import must_keep
from letta_code.agent.compacting.cut import Cut, Weights, find_cut
from letta_code.agent.compacting.limits import PRESSURE_SHARE, SHRINK
from letta_code.agent.compacting.summary import Summariser, Task
from letta_code.agent.compacting.wish import Wish
from letta_code.agent.compacting.wording import Place, body_of
from letta_code.agent.compacting.writing import Writer
from letta_code.agent.history import MEMORY, PRESSURE
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.core.ids import new_id
from letta_code.llm.model import ChatModel, ModelInfo

if TYPE_CHECKING:
    from letta_code.agent.head import Head
    from letta_code.agent.session import Session

log = logging.getLogger(__name__)

THRESHOLD, OVERFLOW, ASKED = "threshold", "overflow", "asked"
SEARCH = "conversation_search"
_WAITING = "older messages are being summarised"
_ITEMS_SHARE = 0.6  # of the summary's budget, for what must be kept
_GROWN = 0.1  # of the limit: how much must have come since a compaction before the model is warned again


class Compaction:
    """Compacts the context of a session, with the model that the session uses."""

    def __init__(self, session: Session, model: ChatModel, head: Head) -> None:
        self._session = session
        self._history = session.history
        self._count = session.context.count
        self._model = model
        self._head = head
        self._words = ""

    @property
    def info(self) -> ModelInfo:
        """The model in use."""
        return self._model.info

    async def make(self, reason: str, *, instructions: str = "", added: int = 0) -> ev.ContextCompacted | None:
        """Compact now, with `added` tokens about to come; None when there is nothing to win.

        Raises a `ProviderError` only where the next request would meet it as well (no key, no money, no network).
        """
        session, history = self._session, self._history
        before, _ = session.context.tokens()
        head, sizes = session.context.own_count()
        scale = before / (head + sum(sizes)) if before else 1.0  # the provider's count against ours
        limit = session.limits.of(self._model.info)
        weights = Weights(head=head, messages=tuple(sizes), limit=int(limit / scale))
        cut = find_cut(history, weights, reason, added=int(added / scale))
        if cut is None:
            return None
        self._tell(reason, before + added, limit)
        pinned = self._head.pinned(session.desk.show() if session.desk else None, reason="compaction")
        spare = int(SHRINK * min(weights.total + added / scale, weights.limit) - cut.staying - added / scale)
        most = min(cut.budget * 2, max(cut.budget, spare))
        summariser = self._summariser(before)
        task, left_out = await self._task(cut, instructions, pinned.system)
        written = await Writer(summariser, self._count, self._place(cut), pinned.system, most).write(task)
        after = cut.staying - head + self._count(pinned.system) + self._count(pinned.tools) + self._count(written.text)
        event = ev.ContextCompacted(
            message_id=new_id("msg"),
            summary=written.text,
            first_kept_seq=cut.first_kept_seq,
            evicted=len(cut.evicted),
            method=written.method,
            reason=reason,
            tokens_before=before,
            tokens_after=int(after * scale),
            kept=tuple(item.told() for item in task.kept if item not in written.put_back),
            put_back=tuple(item.told() for item in written.put_back),
            note=" ".join(filter(None, (written.note, _left_out(left_out)))),
            model=self._model.info.name,
            usage=summariser.spent.usage,
            cost=summariser.spent.cost,
            seconds=summariser.spent.seconds,
        )
        await session.commit(event, pinned)
        if session.desk is not None:
            session.desk.knows(pinned.memory)
        session.tell_meter()
        return history.compaction

    def _summariser(self, sent: int) -> Summariser:
        session = self._session
        return Summariser(
            self._model,
            self._count,
            room=session.limits.room(self._model.info, sent),
            retry_seconds=session.options.settings.retry_seconds,
            on_wait=self._tell_wait,
        )

    def _place(self, cut: Cut) -> Place:
        return Place(
            conversation_id=self._session.conversation_id,
            until=cut.first_kept_seq - 1,
            can_search=any(spec.name == SEARCH for spec in self._session.context.tools()),
        )

    async def _task(self, cut: Cut, instructions: str, head: str) -> tuple[Task, int]:
        """What is to be summarised, and how many older items had no room."""
        old = self._history.compaction
        events = await self._session.read(old.first_kept_seq - 1 if old else 0, cut.first_kept_seq - 1)
        kept = self._must_keep(events, int(cut.budget * _ITEMS_SHARE))
        task = Task(
            conversation_id=self._session.conversation_id,
            before=body_of(old.summary) if old else "",
            events=tuple(events),
            kept=kept.items,
            copied=must_keep.missing(kept.items, (head,)),
            instructions=instructions,
            budget=cut.budget,
        )
        return task, kept.left_out

    # ------------------------------------------------------------ what is kept

    def _must_keep(self, events: Sequence[ev.Event], budget: int) -> must_keep.Kept:
        history = self._history
        run_from = (history.last_run.seq if history.last_run else 1) if history.run is not None else 0
        old = history.compaction
        before = must_keep.carried((*old.kept, *old.put_back) if old else (), run_from=run_from)
        found = must_keep.items_in(events, self._session.options.cwd, run_from=run_from)
        return must_keep.choose([*before, *found, *must_keep.open_todo(history.todo)], self._count, budget)

    # ------------------------------------------------------------ what is told meanwhile

    def _tell(self, reason: str, before: int, limit: int) -> None:
        words = {
            THRESHOLD: f"{before:,} of {limit:,} tokens: {_WAITING}",
            OVERFLOW: f"The model's window is full: {_WAITING}",
        }
        self._words = words.get(reason, f"{before:,} tokens: {_WAITING}")
        self._tell_wait("sent", 0.0)

    def _tell_wait(self, phase: str, seconds: float, attempt: int = 1, reason: str = "") -> None:
        if phase != "retry":
            phase, attempt, reason = "compacting", 0, self._words
        seq = self._history.last_seq
        self._session.publish(ev.Waiting(after_seq=seq, phase=phase, seconds=seconds, attempt=attempt, reason=reason))


def _left_out(count: int) -> str:
    if not count:
        return ""
    return f"{count} older item{'s' * (count > 1)} to keep had no room; {SEARCH} finds them."


# ---------------------------------------------------------------- in a run, and beside one


async def prepared(
    compaction: Compaction, session: Session, coming: Sequence[ev.KnownEvent]
) -> tuple[ev.KnownEvent, ...]:
    """Before a request: do what a person wished, compact when the limit is passed, warn before it.

    Gives what is still to be stored before the request, of what was coming.
    """
    made = False
    for wish in session.take_wishes():
        made = await grant(wish, session, compaction) or made
    limit = session.limits.of(compaction.info)
    if _filled(session, coming) > limit:
        added = sum(session.context.size_of(event) for event in coming)
        made = await compaction.make(THRESHOLD, added=added) is not None or made
    if made:  # the head carries memory as it is now
        coming = [event for event in coming if not (isinstance(event, ev.ReminderAdded) and event.kind == MEMORY)]
    filled = _filled(session, coming)
    old = session.history.compaction
    if session.history.pressed or filled < max(limit * PRESSURE_SHARE, old.tokens_after + limit * _GROWN if old else 0):
        return tuple(coming)
    return (*coming, pressure(filled, limit, session))


def _filled(session: Session, coming: Sequence[ev.KnownEvent]) -> int:
    return session.context.tokens()[0] + sum(session.context.size_of(event) for event in coming)


def pressure(filled: int, limit: int, session: Session) -> ev.ReminderAdded:
    """What the model is told while it can still save what matters."""
    names = {spec.name for spec in session.context.tools()}
    save = (
        "If you know something that would be missed and stands in no file (a decision, an exact name, a finding), "
        "save it with the memory tool now, in a few short lines. Then go on with the work."
        if "memory" in names
        else "Go on with the work; note what you must not lose in your next message, in a few short lines."
    )
    search = f" They stay searchable with {SEARCH}." if SEARCH in names else ""
    text = (
        f"Your context is {filled * 100 // limit} % full: {filled:,} of {limit:,} tokens. When it is full, the older "
        f"messages are replaced by a summary.{search} {save}"
    )
    return ev.ReminderAdded(message_id=new_id("msg"), kind=PRESSURE, text=text)


async def grant(wish: Wish, session: Session, compaction: Compaction) -> bool:
    """Compact as a person wished; what goes wrong goes to who asked.  True when it was done."""
    if wish.dropped:
        return False
    before = session.history.compactions
    try:
        event = await compaction.make(ASKED, instructions=wish.instructions)
    except asyncio.CancelledError:
        done = session.history.compaction if session.history.compactions > before else None
        if done is not None:  # the stop came while it was being stored
            wish.fulfil(done)
        wish.fail(LettaError("The compaction was stopped; the context is as it was."))
        raise
    except LettaError as error:
        wish.fail(error)
        return False
    if event is None:
        wish.fail(nothing_to_compact(session))
        return False
    wish.fulfil(event)
    return True


def nothing_to_compact(session: Session) -> LettaError:
    """Why a compaction that was asked for is not made."""
    head, sizes = session.context.own_count()
    return LettaError(
        f"There is nothing to compact: of {head + sum(sizes):,} tokens {head:,} are instructions, tools and memory, "
        "and the messages are too few for a summary to be shorter.",
        hint="`/context` shows what fills the context.",
    )


class IdleCompaction:
    """Does what a person wished while no run goes on.  To the session it is a run that stores nothing of its own."""

    run_id = ""

    def __init__(self, session: Session, reason: str = ev.StopReason.DONE) -> None:
        self.session = session
        self.begun = asyncio.Event()
        self.reason = reason  # how the run before it ended
        self.stopped = False

    async def work(self) -> None:
        """Grant all wishes."""
        self.begun.set()
        self._tell("loading")
        try:
            await self._grant_all()
        finally:
            self._tell("done")

    def _tell(self, phase: str) -> None:
        self.session.publish(ev.Waiting(after_seq=self.session.history.last_seq, phase=phase))

    async def _grant_all(self) -> None:
        wishes: list[Wish] = []
        error = LettaError("The compaction was stopped; the context is as it was.")
        try:
            model = await self.session.model()
            self.session.counter.use(model.info.encoding)
            compaction = Compaction(self.session, model, self.session.head(model.info))
            while wishes := self.session.take_wishes():
                for wish in wishes:
                    await grant(wish, self.session, compaction)
        except asyncio.CancelledError:
            self.stopped = True
        except LettaError as why:
            error = why
        except Exception as why:  # the border of a run: a bug ends this, not the program
            log.exception("compaction failed")
            error = LettaError(f"letta-code failed inside ({type(why).__name__}: {why}).", hint="See ~/.letta/logs.")
        for wish in (*wishes, *self.session.take_wishes()):
            wish.fail(error)

    def stop(self, reason: str, task: asyncio.Task[None]) -> None:
        """End it from outside; the context stays as it was."""
        if not self.stopped:
            self.stopped = True
            task.cancel()

    def partial(self) -> tuple[ev.LiveEvent, ...]:
        """Nothing comes in parts."""
        return ()
