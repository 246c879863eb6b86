"""Rewinding: back to a checkpoint, and back again: files, what was said, memory; looked at first, never for good."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from letta_code.agent.rewinding.apart import effects, end_name, tell_apart
from letta_code.agent.rewinding.looking import FileChange, Preview, leaving, outside, parts_of
from letta_code.agent.rewinding.targets import (
    CODE,
    CONVERSATION,
    MEMORY,
    PARTS,
    Target,
    chosen,
    first_words,
    last_run,
    last_undone,
    targets,
)
from letta_code.agent.rewinding.words import listed, shown_path
from letta_code.core import events as ev
from letta_code.core.counts import many
from letta_code.core.display import DiffBlock
from letta_code.core.errors import LettaError, UsageError, WorkspaceError
from letta_code.core.messages import Value
from letta_code.core.view import view_of
from letta_code.host.git import GitReader
from letta_code.memory.block import BlockError

if TYPE_CHECKING:
    from letta_code.agent.checkpoints import Checkpoints
    from letta_code.agent.session import Session
    from letta_code.host.snapshots import Snapshots
    from letta_code.memory.desk import Desk
    from letta_code.memory.span import Span, TakenBack
    from letta_code.store.conversations import Conversation

__all__ = ["CODE", "CONVERSATION", "MEMORY", "PARTS", "Listed", "Preview", "Rewinding", "Target", "parts_of"]

_NAMED = 6  # files in a sentence


class Listed(Value):
    """A checkpoint of the list: `changed` counts files that differ from it now, None where that is not known."""

    target: Target
    changed: int | None = None


class _Looked(Value):
    """Files that would change, the tree of now, why files cannot be set back, and which of them are the person's."""

    files: tuple[FileChange, ...] = ()
    tree: str = ""
    why: tuple[str, ...] = ()
    unsure: str = ""
    theirs: tuple[str, ...] = ()
    whole: bool = True


class Rewinding:
    """Looks at points of one session and goes back to them."""

    def __init__(self, session: Session, checkpoints: Checkpoints) -> None:
        self._session = session
        self._checkpoints = checkpoints
        self._trees = checkpoints.trees
        self._wait = session.options.settings.checkpoints.wait_seconds

    # ------------------------------------------------------------ what there is

    async def targets(self) -> list[Target]:
        """All checkpoints, oldest first."""
        events = await self._session.log()
        return targets(events, view_of(events))

    async def listed(self, most: int = 30) -> list[Listed]:
        """The newest checkpoints, newest first, with how many files differ from each now."""
        found = (await self.targets())[::-1][:most]
        if self._trees is None or not any(one.checkpoint.tree for one in found):
            return [Listed(target=one) for one in found]
        try:
            now = (await self._trees.take(self._wait)).tree
            wanted = [one.checkpoint.tree for one in found]
            counts = await self._trees.use(lambda store: [_differing(store, tree, now) for tree in wanted])
        except WorkspaceError:
            return [Listed(target=one) for one in found]
        return [Listed(target=one, changed=count) for one, count in zip(found, counts, strict=True)]

    async def find(self, wanted: str) -> Target:
        """A checkpoint by number, name or id; raises `UsageError`."""
        return chosen(await self.targets(), wanted)

    async def last_run(self) -> Target:
        """The point before the last run; raises `UsageError`."""
        events = await self._session.log()
        return last_run(events, targets(events, view_of(events)))

    async def last_undone(self) -> Target:
        """The state before the last rewind; raises `UsageError`."""
        events = await self._session.log()
        return last_undone(events, targets(events, view_of(events)))

    # ------------------------------------------------------------ what it would do

    async def preview(self, target: Target) -> Preview:
        """What going back to a target would change; raises `UsageError` while a run goes on, `LettaError`."""
        session, until = self._session, target.checkpoint.until_seq
        if session.running:
            raise UsageError("The agent is at work.", hint="Interrupt it, or wait until it is done.")
        events = await session.log()
        messages, prompt = leaving(events, until)
        looked = await self._files(target, events)
        memory = await self._memory(target, events)
        warnings = [*looked.why, *await self._warnings(target, events)]
        parts = [CODE] if looked.tree and target.checkpoint.tree and not looked.why else []
        parts += [CONVERSATION] if messages or target.checkpoint.until_seq < session.history.last_seq else []
        parts += [MEMORY] if memory is not None else []
        return Preview(
            target=target,
            parts=tuple(part for part in parts if not target.what or part in target.what),
            files=looked.files,
            messages=tuple(messages),
            memory=memory.diffs if memory else (),
            kept=memory.kept if memory else (),
            warnings=tuple(warnings),
            tree=looked.tree,
            prompt=prompt,
            state=self._state(),
            ask=" ".join([*looked.why, looked.unsure]).strip() if target.apart else "",
            theirs=looked.theirs,
            whole=looked.whole,
        )

    def _state(self) -> tuple[int, int]:
        history = self._session.history
        return len(history.messages), history.rewritten

    async def _files(self, target: Target, events: Sequence[ev.Event]) -> _Looked:
        """What would happen to files, and why they cannot be set back."""
        checkpoint, trees = target.checkpoint, self._trees
        if not checkpoint.checkpoint_id:
            called = effects(events, checkpoint.until_seq, self._session.surroundings.tools)
            why = "There is no checkpoint of the files before that run, so what it did to them stays"
            return _Looked(why=(f"{why} (it used {called}).",) if called else ())
        if trees is None or not checkpoint.tree:
            why = checkpoint.note or "no snapshot was taken"
            return _Looked(why=(f"Its files are not kept: {why.rstrip('.')}.",))
        if checkpoint.root != trees.root:
            return _Looked(
                why=(f"Its files are those of {checkpoint.root}, not of {trees.root}: they stay as they are.",)
            )
        if not os.path.isdir(trees.root):
            return _Looked(why=(f"The folder {trees.root} is not there any more: its files stay as they are.",))
        try:
            await self._checkpoints.settled()
            names = await trees.use(lambda store: store.names())
            if names.get(checkpoint.checkpoint_id) != checkpoint.tree:
                return _Looked(why=("Its files were cleaned away (age or space): only the other parts can go back.",))
            now = (await trees.take(self._wait)).tree
            end = names.get(end_name(checkpoint.checkpoint_id), "") if target.apart else ""
            return await trees.use(lambda store: _looked(store, target, end, now))
        except WorkspaceError as error:
            return _Looked(why=(f"Files cannot be set back: {error}",))

    async def _memory(self, target: Target, events: Sequence[ev.Event]) -> TakenBack | None:
        desk = self._session.desk
        if desk is None:
            return None
        span = span_of(desk, target, events)
        try:
            return await asyncio.to_thread(span.foreseen)
        except BlockError:
            return None

    async def _warnings(self, target: Target, events: Sequence[ev.Event]) -> list[str]:
        session, checkpoint = self._session, target.checkpoint
        root = self._trees.root if self._trees else session.options.cwd
        found = [outside(events, checkpoint.until_seq, root)]
        if checkpoint.at and self._trees is not None:
            commits = await asyncio.to_thread(GitReader(root).commits_since, f"{checkpoint.at[:19]}Z")
            stays = "stays" if len(commits) == 1 else "stay"
            newest = f" ({shown_path(first_words(commits[0]))})" if commits else ""
            found.append(f"{many(len(commits), 'commit')} since then {stays}{newest}." if commits else "")
            processes = await session.surroundings.workspace.processes()
            running = sum(process.running for process in processes)
            runs = "runs" if running == 1 else "run"
            found.append(f"{many(running, 'command')} in the background still {runs}." if running else "")
        others = await self._others(root)
        found += [f"{shown_path(one.name)} is at work in {shown_path(one.cwd)} too." for one in others]
        left_out = "; ".join(checkpoint.left_out[:3])
        found.append(f"Not kept in it: {left_out}." if left_out else "")
        return [text for text in found if text]

    async def _others(self, root: str) -> list[Conversation]:
        """Other conversations that are at work in the same tree."""
        try:
            store = self._session.store
        except LettaError:
            return []

        def look() -> list[Conversation]:
            ids = {run.conversation_id for run in store.runs.open() if store.runs.writer(run.conversation_id)}
            rows = (store.conversations.get(one) for one in ids - {self._session.conversation_id})
            return [row for row in rows if row and f"{os.path.realpath(row.cwd)}/".startswith(f"{root}/")]

        return await asyncio.to_thread(look)

    async def diff(self, preview: Preview, path: str) -> DiffBlock:
        """What going back does to one file, for a preview."""
        if self._trees is None:
            raise UsageError("There are no files here.")
        old, new = await self._trees.use(lambda store: store.diff(preview.tree, preview.target.checkpoint.tree, path))
        return _diff_of(shown_path(path), old, new)

    async def go(self, preview: Preview, what: Sequence[str] = (), *, verb: str = "Went back to") -> ev.Rewound:
        """Go back as the preview says, with the parts `what` (() for all); see `go_back`."""
        from letta_code.agent.rewinding.acting import go_back

        return await go_back(self._session, self._checkpoints, preview, what, verb=verb)


def span_of(desk: Desk, target: Target, events: Sequence[ev.Event]) -> Span:
    """What the conversation did to memory after a target."""
    until = target.checkpoint.until_seq
    at = next((event.at for event in reversed(events) if 0 < event.seq <= until), "")
    return desk.blocks.span(until, at)


def _looked(store: Snapshots, target: Target, end: str, now: str) -> _Looked:
    """What going back does to files; with the tree `end` only those that changed before it, and not since."""
    then = target.checkpoint.tree
    files = tuple(FileChange(path=one.path, kind=one.kind) for one in store.changes(now, then))
    if not target.apart or not files:
        return _Looked(files=files, tree=now)
    if not end:
        names = listed([one.path for one in files], _NAMED)
        those = "that one" if len(files) == 1 else "those"
        unsure = f"{many(len(files), 'file')} changed since ({names}), and what of {those} you did is not known."
        return _Looked(files=files, tree=now, unsure=unsure)
    apart = tell_apart(store, then, end, now)
    mine = tuple(one for one in files if one.path in apart.paths)
    return _Looked(files=mine, tree=now, theirs=apart.theirs, whole=len(mine) == len(files))


def _differing(store: Snapshots, tree: str, now: str) -> int | None:
    try:
        return len(store.changes(tree, now)) if tree else None
    except WorkspaceError:  # it was cleaned away
        return None


def _diff_of(path: str, old: bytes | None, new: bytes | None) -> DiffBlock:
    from letta_code.tools.text.diff import added_block, deleted_block, whole_diff

    if b"\0" in (old or b"")[:8000] or b"\0" in (new or b"")[:8000]:
        return DiffBlock(path=path, diff="(a binary file)", status="modified")
    before, after = ((data or b"").decode("utf-8", "replace") for data in (old, new))
    if old is None:
        return added_block(path, after)
    return deleted_block(path, before) if new is None else whole_diff(path, before, after)
