"""Acting: files, memory and conversation go back to a point; the person is told, and the model what it must know.

The order is that of what can fail: a checkpoint of the state that is left, files, memory, and last the event that says
so.  What is cut off in between is told at the next start: the checkpoint stands in the journal without its `Rewound`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from letta_code.agent.history import History
from letta_code.agent.rewinding import CODE, CONVERSATION, MEMORY, Preview, parts_of, span_of
from letta_code.agent.rewinding.words import done_notice, shown_path, told_files, told_talk
from letta_code.agent.uncut import finish
from letta_code.core import events as ev
from letta_code.core.errors import LettaError, UsageError
from letta_code.core.ids import new_id
from letta_code.host.snapshots import Restored
from letta_code.memory.block import BlockError
from letta_code.memory.span import TakenBack

if TYPE_CHECKING:
    from letta_code.agent.checkpoints import Checkpoints
    from letta_code.agent.session import Session

KIND = "rewind"  # of the reminder, and the code of the notice that closes a rewind which did not come to its end
_CUT_OFF = (
    "Going back was cut off, because letta-code was stopped meanwhile: files and memory may be set back in part. "
    "The conversation stands as it was."
)
_CUT_OFF_TOLD = (
    "The person began to set files back to an earlier state and was cut off: they may be set back in part. "
    "Look at them before you rely on what you know."
)
_THEIRS = "it changed again after the run, so it stays as it is"
_FAILED = 50  # sentences that the event carries


async def go_back(
    session: Session, checkpoints: Checkpoints, preview: Preview, what: Sequence[str], *, verb: str
) -> ev.Rewound:
    """Do what a preview shows, with the parts `what` (() for all that it has).

    Files that changed since the preview are left alone and told.  Raises `UsageError` while a run goes on or when the
    conversation went on since the preview, `LettaError` when files could not be set back at all; nothing is changed
    then.  It is never cut off by a cancellation.
    """
    done: list[ev.Rewound] = []

    async def act() -> None:
        async with session.at_rest():
            done.append(await _go_back(session, checkpoints, preview, what, verb))

    if await finish(asyncio.ensure_future(act())):
        raise asyncio.CancelledError
    return done[0]


async def _go_back(
    session: Session, checkpoints: Checkpoints, preview: Preview, what: Sequence[str], verb: str
) -> ev.Rewound:
    history = session.history
    if preview.state != (len(history.messages), history.rewritten):
        raise UsageError("The conversation went on meanwhile.", hint="Look again at what would change.")
    parts = parts_of(preview, what)
    if not parts:
        wanted = ", ".join(what) or "there"
        why = " ".join(preview.warnings)
        raise UsageError(f"There is no way back for {wanted}. {why}".strip(), hint="/checkpoints lists the others.")
    events = await session.log()
    undo = await checkpoints.before_rewind()
    try:
        restored = await _restore(checkpoints, preview) if CODE in parts else Restored()
    except LettaError as error:
        text = f"Nothing was set back: {error}"
        await session.commit(ev.Notice(level="error", text=text, hint=error.hint, code=KIND))
        raise
    memory = await _remember(session, preview, events, undo) if MEMORY in parts else TakenBack()
    failed = [f"{shown_path(path)}: {why}." for path, why in restored.failed]
    failed += [f"{shown_path(path)}: {_THEIRS}." for path in preview.theirs] if CODE in parts else []
    event = ev.Rewound(
        checkpoint_id=preview.target.checkpoint.checkpoint_id,
        what=parts,
        to_seq=preview.target.checkpoint.until_seq if CONVERSATION in parts else 0,
        undo=undo.checkpoint_id,
        written=len(restored.written),
        removed=len(restored.removed),
        failed=tuple(failed[:_FAILED]),
    )
    notice = done_notice(preview, event, verb, [diff.path for diff in memory.diffs], memory.kept)
    await session.commit(event, notice, *_told(session, preview, event))
    if event.to_seq:
        await _begin_anew(session)
    if CODE in parts:
        checkpoints.ended(undo)
    return event


async def _restore(checkpoints: Checkpoints, preview: Preview) -> Restored:
    if checkpoints.trees is None:
        return Restored()
    tree = preview.target.checkpoint.tree
    only = None if preview.whole else frozenset(one.path for one in preview.files)
    return await checkpoints.trees.use(lambda store: store.restore(tree, now=preview.tree, only=only))


async def _remember(
    session: Session, preview: Preview, events: Sequence[ev.Event], undo: ev.CheckpointMade
) -> TakenBack:
    """Take back what the conversation wrote; where memory refuses, that is told and the rest goes on."""
    desk, target = session.desk, preview.target
    if desk is None or not (preview.memory or preview.kept):
        return TakenBack()
    span = span_of(desk, target, events)
    name = target.checkpoint.checkpoint_id or "the last run"
    try:
        return await asyncio.to_thread(span.take_back, name, undo.seq)
    except BlockError as error:
        return TakenBack(kept=(f"Memory stays as it is: {error}",))


def _told(session: Session, preview: Preview, event: ev.Rewound) -> Sequence[ev.ReminderAdded]:
    code = CODE in event.what
    root = session.checkpoints.trees.root if session.checkpoints.trees else session.options.cwd
    if CONVERSATION in event.what:
        nothing = not preview.files and not preview.ask and not preview.target.checkpoint.checkpoint_id
        text = "" if nothing else told_talk(preview.files, event, code=code)
    else:
        text = told_files(preview.files, event, root) if code and (event.written or event.removed) else ""
    return [ev.ReminderAdded(message_id=new_id("msg"), kind=KIND, text=text)] if text else []


async def _begin_anew(session: Session) -> None:
    """The session's state is that of the messages which count now."""
    while True:
        events = await session.log()
        if not events or events[-1].seq == session.history.last_seq:
            break  # nothing was stored while it was read
    history = History()
    history.extend(events)
    session.history.become(history)
    if session.desk is not None:
        session.desk.forget()
    session.tell_meter()


async def close_cut_off(session: Session) -> bool:
    """Tell of a rewind that was cut off by the end of its process; True when there was one."""
    undo = session.history.rewinding
    if undo is None:
        return False
    number = 1 + session.history.checkpoints.index(undo) if undo in session.history.checkpoints else 0
    name = str(number or undo.checkpoint_id)
    hint = f"`/rewind {name} all` brings the state before it back; /undo goes back all the way."
    hint = hint if undo.tree else "Look at the files."
    notice = ev.Notice(level="warning", text=_CUT_OFF, hint=hint, code=KIND)
    await session.commit(notice, ev.ReminderAdded(message_id=new_id("msg"), kind=KIND, text=_CUT_OFF_TOLD))
    return True
