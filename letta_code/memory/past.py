"""Past: history, blame and undo of an agent's blocks, by label."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Generator, Sequence
from heapq import merge

from letta_code.core.display import DiffBlock
from letta_code.core.messages import Value
from letta_code.host.git_objects import GitDamage
from letta_code.memory.block import SUFFIX, Block, BlockError, check_name, given_label
from letta_code.memory.folder import Folder
from letta_code.memory.history import BlamedLine, History
from letta_code.memory.outcome import diff_of
from letta_code.memory.provenance import Change, Provenance, change_of, message
from letta_code.memory.view import Pin
from letta_code.memory.writer import Writer


class Undone(Value):
    """An undo: the commit that did it, the change that was taken back, and what that did to the blocks."""

    commit: str
    change: Change
    diffs: tuple[DiffBlock, ...]


class Past:
    """What happened to the blocks of one place.  Raises `BlockError`, also where history is damaged."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def changes(self, label: str = "", limit: int = 50) -> list[Change]:
        """The newest changes of a block, also of one that was deleted; for "" of all that the agent sees or saw."""
        if not label:
            own = History(self._writer.own).changes(limit=limit)
            shared = History(self._writer.shared).changes(limit=limit, only=self._attached())
            return list(merge(own, shared, key=_moment, reverse=True))[:limit]
        folder, path = self._place(label)
        found = History(folder).changes(path, limit)
        if not found:
            self._writer.reader.view().find(label)  # says which blocks there are
        return found

    def _attached(self) -> Collection[str]:
        """The files of the shared blocks that this agent sees."""
        return {f"{label}{SUFFIX}" for label in self._writer.reader.view().attached}

    def _place(self, label: str) -> tuple[Folder, str]:
        check_name(given_label(label))
        view = self._writer.reader.view()
        block = view.get(label)
        if block is not None:
            return (self._writer.shared if block.scope == "shared" else self._writer.own), block.path
        # It may have been deleted: wherever its file would be.
        for below in ("", *(f"{folder}/" for folder in view.place.folders)):
            path = f"{below}{label.removesuffix(SUFFIX)}{SUFFIX}"
            if History(self._writer.own).changes(path, 1):
                return self._writer.own, path
        view.find(label)
        return self._writer.own, label

    def blame(self, label: str) -> list[BlamedLine]:
        """The lines of a block, each with the change (conversation, seq, source, date) that brought it."""
        with _readable():
            folder, path = self._place(label)
            return History(folder).blame(path)

    def diff(self, commit: str) -> tuple[DiffBlock, ...]:
        """What a change did, one diff for each block."""
        with _readable():
            return self._diffs(self._folder_of(commit), commit)

    def _diffs(self, folder: Folder, commit: str) -> tuple[DiffBlock, ...]:
        found: list[DiffBlock] = []
        for path, (before, after) in History(folder).files_of(commit).items():
            found.append(diff_of(self._block(folder, path, before), self._block(folder, path, after)))
        return tuple(found)

    def _block(self, folder: Folder, path: str, data: bytes | None) -> Block | None:
        view = self._writer.reader.view()
        return None if data is None else view.block_of(path, data, shared=folder is self._writer.shared)

    def _folder_of(self, commit: str) -> Folder:
        try:
            History(self._writer.own).full_name(commit)
        except BlockError:
            if not self._writer.shared.head():
                raise
            History(self._writer.shared).full_name(commit)
            return self._writer.shared
        return self._writer.own

    def undo(self, commit: str, by: Provenance) -> Undone:
        """Take a change back in a new commit; `last` is the newest one that is not taken back.  For persons.

        `last` means what a person or agent did to the agent's own and attached blocks, never what the program wrote.
        What was written since stays; raises `BlockError` when that changed the same lines.
        """
        if not by.may_change_protected:
            raise BlockError("Only the person can undo. Edit the block, or tell them what to undo (/memory undo).")
        folder = self._writer.own
        with _readable():
            if commit == "last":
                folder, commit = self._last()
            else:
                folder = self._folder_of(commit)
                commit = History(folder).full_name(commit)
        if not commit:
            raise BlockError("There is nothing to undo: memory has no change that is not taken back.")

        def attempt() -> Undone:
            with self._writer.writing(folder):
                return self._undone(folder, commit, by)

        return self._writer.again(attempt)

    def _last(self) -> tuple[Folder, str]:
        own, shared = self._writer.own, self._writer.shared
        mine = History(own).last_undoable()
        common = History(shared).last_undoable(self._attached())
        if common is not None and (mine is None or _moment(common) > _moment(mine)):
            return shared, common.commit
        return own, mine.commit if mine else ""

    def _undone(self, folder: Folder, commit: str, by: Provenance) -> Undone:
        head = folder.head()
        change = change_of(folder.repository.commit(commit))
        changes = History(folder).taken_back(commit, head)
        text = message(f"undo: {change.summary}", by, {"Letta-Undo": commit, "Letta-Blocks": " ".join(change.labels)})
        new = folder.commit(changes, text, self._writer.author(by), head)
        return Undone(commit=new, change=change, diffs=self._diffs(folder, new))

    def restore(self, label: str, commit: str, by: Provenance) -> str:
        """Make a block what it was after a change, in a new commit; returns that.  For persons."""
        if not by.may_change_protected:
            raise BlockError("Only the person can bring an older version back.")
        with _readable():
            folder, path = self._place(label)
            whole = History(folder).full_name(commit)
            data = folder.content(whole, History(folder).path_at(path, whole))
        if data is None:
            raise BlockError(f"`{label}` did not exist after {commit}.")
        return self._writer.put(folder, {path: data}, by, f"restore {label} as of {whole[:10]}")

    def since(self, pin: str) -> list[tuple[Change, tuple[str, ...]]]:
        """The changes after a pin, oldest first, with the paths that each changed; shared ones after the own."""
        old, now = Pin.of(pin), self._writer.reader.pin()
        pairs = ((self._writer.own, old.own, now.own), (self._writer.shared, old.shared, now.shared))
        with _readable():
            return [entry for folder, start, end in pairs for entry in _between(folder, start, end)]


def _moment(change: Change) -> tuple[str, int]:
    """When a change was made; git counts seconds, so the events of a conversation decide within one."""
    return change.at, change.provenance.seq


@contextlib.contextmanager
def _readable() -> Generator[None]:
    try:
        yield
    except GitDamage as error:
        raise BlockError(f"History cannot be read: {error}.", hint=error.hint) from error


def _between(folder: Folder, start: str, end: str) -> Sequence[tuple[Change, tuple[str, ...]]]:
    found: list[tuple[Change, tuple[str, ...]]] = []
    if not end or start == end:
        return found
    for commit in folder.commits(end):
        if commit.sha == start:
            break
        parent = commit.parents[0] if commit.parents else ""
        found.append((change_of(commit), tuple(folder.repository.differences(parent, commit.sha))))
    return found[::-1]
