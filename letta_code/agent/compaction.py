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

from letta_code.agent.compacting import must_keep, standing
from letta_code.agent.compacting.cut import Cut, Weights, find_cut
from letta_code.agent.compacting.limits import PRESSURE_SHARE, SHRINK
from letta_code.agent.compacting.summary import Spent, Summariser, Task
from letta_code.agent.compacting.wish import Wish
from letta_code.agent.compacting.wording import SEARCH, Place, body_of
from letta_code.agent.compacting.writing import Writer
from letta_code.agent.context import MESSAGE_TOKENS
from letta_code.agent.history import COMPACTION, MEMORY, PRESSURE
from letta_code.agent.uncut import finish
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.core.ids import new_id
from letta_code.core.messages import Usage
from letta_code.llm.model import ChatModel, ModelInfo
from letta_code.memory.standard import TASK_LIMIT

if TYPE_CHECKING:
    from letta_code.agent.head import Head
    from letta_code.agent.session import Session
    from letta_code.memory.desk import Shown

log = logging.getLogger(__name__)

THRESHOLD, OVERFLOW, ASKED = "threshold", "overflow", "asked"
_TASK_BESIDE = 2_000  # characters of the block `task` where the message, or more of it, stands in the context
_WAITING = "older messages are being summarised"
_SMALLEST_TEXT = 300  # tokens
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
        weights = Weights(
            head=head, messages=tuple(sizes), limit=int(limit / scale), requests=self._requests_outside_the_head()
        )
        cut = find_cut(history, weights, reason, added=int(added / scale))
        if cut is None:
            return None
        self._tell(reason, before + added, limit)
        pinned = self._head.pinned(self._memory(cut), reason=COMPACTION)
        task = await self._task(cut, instructions, pinned.system)
        staying = cut.staying - head + self._count(pinned.system) + self._count(pinned.tools)
        requests = self._room_for_requests(task, pinned.system)
        enough = SHRINK * (weights.total + added / scale)
        if cut.after + added / scale <= SHRINK * weights.limit:
            enough = min(enough, SHRINK * weights.limit)
        spare = int(enough - staying - requests - added / scale) - MESSAGE_TOKENS
        most = max(min(cut.budget * 2, spare), _SMALLEST_TEXT) + requests
        summariser = self._summariser(before)
        try:
            written = await Writer(summariser, self._count, self._place(cut), pinned.system, most).write(task)
        except BaseException:
            await self._tell_spent(summariser.spent)
            raise
        event = ev.ContextCompacted(
            message_id=new_id("msg"),
            summary=written.text,
            first_kept_seq=cut.first_kept_seq,
            evicted=len(cut.evicted),
            method=written.method,
            reason=reason,
            tokens_before=before,
            tokens_after=int((staying + self._count(written.text) + MESSAGE_TOKENS) * scale),
            kept=tuple(item.told() for item in task.kept if item not in written.put_back),
            put_back=tuple(item.told() for item in written.put_back if not item.cut),  # the note tells of those
            note=" ".join(filter(None, (written.note, _left_out(task.left_out)))),
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

    async def _tell_spent(self, spent: Spent) -> None:
        """What requests cost that came to nothing, where it is known."""
        if spent.usage != Usage():
            cost = f", ${spent.cost:.4f}" if spent.cost else ""
            text = (
                f"The compaction was stopped; its requests had {spent.usage.input:,} tokens in and "
                f"{spent.usage.output:,} out{cost}."
            )
            notice = ev.Notice(level="info", text=text, code="compaction")
            await finish(asyncio.ensure_future(self._session.commit(notice)))

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

    # ------------------------------------------------------------ what is kept

    def _memory(self, cut: Cut) -> Shown | None:
        """Memory for the new head, with the newest task where nobody can be asked; whole where it holds the message."""
        desk, asked = self._session.desk, self._history.asked
        if desk is None or self._session.options.interactive:
            return desk.show() if desk else None
        if not asked:
            return desk.show(task=_TASK_BESIDE)
        seq, text = asked[-1]
        desk.take_task(text, seq)
        whole = seq < cut.first_kept_seq and len(text) <= TASK_LIMIT and self._count(text) <= cut.most_requests
        return desk.show(task=TASK_LIMIT if whole else _TASK_BESIDE)

    def _asked(self, before: int) -> list[must_keep.Item]:
        """What the person asked for in the work that goes on, before an event."""
        asked = ((seq, text) for seq, text in self._history.asked if seq < before and text)
        return [must_keep.Item(kind=must_keep.REQUEST, text=text, seq=seq) for seq, text in asked]

    def _requests_outside_the_head(self) -> tuple[tuple[int, int], ...]:
        head = self._history.pinned.system if self._history.pinned else ""
        items = self._asked(self._history.last_seq + 1)
        return tuple((item.seq, self._count(item.text)) for item in items if not standing.in_block(item, head))

    def _room_for_requests(self, task: Task, head: str) -> int:
        items = [item for item in task.kept if item.kind == must_keep.REQUEST and not standing.in_block(item, head)]
        return self._count(must_keep.listed(items)) if items else 0

    async def _task(self, cut: Cut, instructions: str, head: str) -> Task:
        old = self._history.compaction
        events = await self._session.read(old.first_kept_seq - 1 if old else 0, cut.first_kept_seq - 1)
        requests = self._asked(cut.first_kept_seq)
        held = [item for item in requests if standing.in_block(item, head)]
        outside = [item for item in requests if item not in held]
        chosen = must_keep.choose_requests(outside, self._count, cut.most_requests)
        before = must_keep.carried((*old.kept, *old.put_back) if old else ())
        found = must_keep.items_in(events, self._session.options.cwd)
        todo = must_keep.open_todo(self._history.todo)
        kept = must_keep.choose([*before, *found, *todo], self._count, int(cut.budget * _ITEMS_SHARE))
        items = (*held, *chosen.items, *kept.items)
        return Task(
            conversation_id=self._session.conversation_id,
            before=body_of(old.summary) if old else "",
            events=tuple(events),
            kept=items,
            copied=standing.to_copy(items, head),
            left_out=" ".join(filter(None, (chosen.left_out, kept.left_out))),
            instructions=instructions,
            budget=cut.budget,
        )

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


def _left_out(said: str) -> str:
    return f"{said} {SEARCH} and /search find it." if said else ""


# ---------------------------------------------------------------- in a run, and beside one


async def prepared(
    compaction: Compaction, session: Session, coming: Sequence[ev.KnownEvent]
) -> tuple[ev.KnownEvent, ...]:
    """Before a request: do what a person wished, compact when the limit is passed, warn before it.

    Gives what is still to be stored before the request, of what was coming.
    """
    made = False
    for wish in session.wishes.take():
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
    if not sizes:
        return LettaError("There is nothing to compact: nothing was said yet.")
    total, _ = session.context.tokens()
    own = int(head * total / (head + sum(sizes)))  # counted as the status bar counts
    return LettaError(
        f"There is nothing to compact: of {total:,} tokens {own:,} are instructions, tools and memory, "
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
            while wishes := self.session.wishes.take():
                for wish in wishes:
                    await grant(wish, self.session, compaction)
        except asyncio.CancelledError:
            self.stopped = True
        except LettaError as why:
            error = why
        except Exception as why:  # the border of a run: a bug ends this, not the program
            log.exception("compaction failed")
            error = LettaError(f"letta-code failed inside ({type(why).__name__}: {why}).", hint="See ~/.letta/logs.")
        for wish in (*wishes, *self.session.wishes.take()):
            wish.fail(error)

    def stop(self, reason: str, task: asyncio.Task[None]) -> None:
        """End it from outside; the context stays as it was."""
        if not self.stopped:
            self.stopped = True
            task.cancel()
