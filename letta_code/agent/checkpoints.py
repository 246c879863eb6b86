"""Checkpoints: points of a conversation to come back to: what was said, memory, and the files of the work tree."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from letta_code.agent.history import History
from letta_code.agent.trees import Trees
from letta_code.core import events as ev
from letta_code.core.counts import size
from letta_code.core.errors import UsageError, WorkspaceError
from letta_code.core.ids import new_id
from letta_code.core.messages import Value

if TYPE_CHECKING:
    from letta_code.agent.rewinding import Rewinding
    from letta_code.agent.session import Session
    from letta_code.host.snapshots import Snapshot

log = logging.getLogger(__name__)

ASKED, RUN, DANGER, REWIND = "asked", "run", "danger", "rewind"
NO_TREE = "The files of this workspace are not kept."
FRESH_SECONDS = 30.0  # how long a snapshot of the quiet moment stands for the files as they are
END_SECONDS = 1.0  # that closing waits for what the last run left: an undo asks where it is missing
LONGEST_NAME = 80
_LEFT_OUT = 20  # sentences about files that one checkpoint carries


class _Taken(Value):
    """What became of a snapshot: `snapshot`, or why there is none."""

    at: float
    snapshot: Snapshot | None = None
    note: str = ""


class Checkpoints:
    """Makes the checkpoints of one session, and leads to them (`rewinding`).

    `trees` is None where the workspace's files cannot be kept; then only a person's word makes one, without files.
    """

    def __init__(self, session: Session, trees: Trees | None) -> None:
        self._session = session
        self.trees = trees
        self._settings = session.options.settings.checkpoints
        self._begun: asyncio.Task[_Taken] | None = None
        self._begun_for = ""  # the run that it was taken for
        self._told: set[str] = set()
        self._ending: asyncio.Task[None] | None = None
        self._ended_for = ""

    @property
    def rewinding(self) -> Rewinding:
        """The way back."""
        from letta_code.agent.rewinding import Rewinding

        return Rewinding(self._session, self)

    # ------------------------------------------------------------ by itself

    def begin(self) -> None:
        """A quiet moment of a run: take the snapshot that its first effect would wait for."""
        if self.trees is None or not self._settings.auto or self._session.mode == "plan" or self._made_in_run():
            return
        run_id = self._run_id
        if run_id and self._begun_for != run_id:
            self._begun, self._begun_for = asyncio.create_task(self._take(), name="checkpoint"), run_id

    async def before_effect(self, *, destroys: bool) -> None:
        """Something may change files now: the run's first effect, or one that can destroy, has a way back first."""
        if self.trees is None or not self._settings.auto:
            return
        history = self._session.history
        if not self._made_in_run():
            run = history.run
            until = (history.run_said or (run.seq if run else history.last_seq + 1)) - 1
            await self._keep(RUN, until, await self._current(fresh=destroys))
        elif destroys:
            taken = await self._take()
            if taken.snapshot is None or taken.snapshot.tree != history.checkpoints[-1].tree:
                await self._keep(DANGER, balanced(history), taken)

    @property
    def _run_id(self) -> str:
        run = self._session.history.run
        return run.run_id if run else ""

    def _made_in_run(self) -> bool:
        made = reversed(self._session.history.checkpoints)
        return any(one.kind == RUN and one.run_id == self._run_id for one in made)

    async def _current(self, *, fresh: bool) -> _Taken:
        """The snapshot of the quiet moment, or a new one where that is old or the call destroys."""
        begun, self._begun = self._begun, None
        if begun is None or self._begun_for != self._run_id:
            return await self._take()
        taken = await asyncio.shield(begun)
        if taken.snapshot is not None and (fresh or monotonic() - taken.at > FRESH_SECONDS):
            return await self._take()
        return taken

    async def _take(self) -> _Taken:
        if self.trees is None:
            return _Taken(at=monotonic(), note=NO_TREE)
        began = monotonic()
        try:
            snapshot = await self.trees.take(self._settings.wait_seconds)
        except WorkspaceError as error:
            return _Taken(at=began, note=f"{str(error).rstrip('.')}. {error.hint}".strip())
        return _Taken(at=began, snapshot=snapshot)

    def after_run(self) -> None:
        """A run came to its end: what it left is kept, so that an undo can tell it from what comes after it."""
        last = self._session.history.last_run
        made = next((one for one in reversed(self._session.history.checkpoints) if one.kind == RUN), None)
        if made is not None and last is not None and made.run_id == last.run_id and made.run_id != self._ended_for:
            self._ended_for = made.run_id
            self.ended(made)

    def ended(self, made: ev.CheckpointMade) -> None:
        """Keep the files as they are now as what was left by that before which `made` stands; nothing waits for it."""
        if made.tree and self.trees is not None:
            self._ending = asyncio.create_task(self._end(self.trees, made, self._ending), name="checkpoint end")

    async def _end(self, trees: Trees, made: ev.CheckpointMade, before: asyncio.Task[None] | None) -> None:
        from letta_code.agent.rewinding.apart import end_name

        if before is not None:
            await before
        try:
            left = (await trees.take(self._settings.wait_seconds)).tree
            await trees.use(lambda store: store.keep(end_name(made.checkpoint_id), left, beside=made.checkpoint_id))
        except WorkspaceError as error:  # an undo asks, then
            log.warning("what a run left could not be kept: %s", error)

    async def settled(self, seconds: float | None = None) -> None:
        """Wait until what the last run left is kept, so long at most."""
        if self._ending is not None:
            await asyncio.wait([self._ending], timeout=seconds)

    # ------------------------------------------------------------ asked for

    async def save(self, name: str = "") -> ev.CheckpointMade:
        """Make one because the person says so, with a name to come back by; raises `UsageError`."""
        history = self._session.history
        if history.started is None:
            raise UsageError("There is nothing to save yet: nothing was said.")
        name = " ".join(name.split())
        if len(name) > LONGEST_NAME:
            raise UsageError(f"The name has {len(name)} characters; {LONGEST_NAME} are the most.")
        if name.isdecimal() or name in ("code", "conversation", "memory", "all"):
            raise UsageError(f"{name!r} means something else for /rewind.", hint="Give it a name of words.")
        if name and any(one.name == name for one in history.checkpoints):
            raise UsageError(f"There is a checkpoint {name!r} already.", hint="/checkpoints lists them.")
        return await self._keep(ASKED, balanced(history), await self._take(), name)

    async def before_rewind(self) -> ev.CheckpointMade:
        """The state that a rewind leaves, so that it can be undone."""
        return await self._keep(REWIND, balanced(self._session.history), await self._take())

    # ------------------------------------------------------------ what is stored

    async def _keep(self, kind: str, until: int, taken: _Taken, name: str = "") -> ev.CheckpointMade:
        checkpoint_id = new_id("ckpt")
        snapshot, note = taken.snapshot, taken.note
        if snapshot is not None and self.trees is not None:
            tree = snapshot.tree
            try:
                await self.trees.use(lambda store: store.keep(checkpoint_id, tree))
            except WorkspaceError as error:
                snapshot, note = None, f"{str(error).rstrip('.')}. {error.hint}".strip()
        desk = self._session.desk
        event = ev.CheckpointMade(
            checkpoint_id=checkpoint_id,
            kind=kind,
            until_seq=until,
            name=name,
            root=self.trees.root if self.trees else "",
            tree=snapshot.tree if snapshot else "",
            memory=await asyncio.to_thread(desk.blocks.pin) if desk else "",
            files=snapshot.files if snapshot else 0,
            new_bytes=snapshot.new_bytes if snapshot else 0,
            left_out=_left_out(snapshot) if snapshot else (),
            note=note,
            seconds=round(monotonic() - taken.at, 3),
        )
        await self._session.commit(event, *self._notices(note if kind in (RUN, DANGER) else ""))
        return next(one for one in reversed(self._session.history.checkpoints) if one.checkpoint_id == checkpoint_id)

    def _notices(self, note: str) -> Sequence[ev.Notice]:
        """The person is told once that files are not kept."""
        if not note or note in self._told:
            return ()
        self._told.add(note)
        text = f"There is no checkpoint of the files before this run's changes: {note}"
        return (ev.Notice(level="warning", text=text, hint="The run goes on; /undo leaves files alone.", code="files"),)


def balanced(history: History) -> int:
    """The last event at which no call is open: where the conversation can be cut."""
    return history.answered_seq - 1 if history.open_calls else history.last_seq


def _left_out(snapshot: Snapshot) -> tuple[str, ...]:
    found = [f"{one.path}: {one.why}" + (f" ({size(one.size)})" if one.size else "") for one in snapshot.left_out]
    more = [f"… and {len(found) - _LEFT_OUT:,} more"] if len(found) > _LEFT_OUT else []
    ignored = [snapshot.ignored] if snapshot.ignored else []
    return (*(text.encode("utf-8", "replace").decode() for text in found[:_LEFT_OUT]), *more, *ignored)
