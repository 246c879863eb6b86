"""Span: what one conversation did to the blocks after one of its events, and how all of it is taken back at once."""

from __future__ import annotations

from collections.abc import Iterator

from letta_code.core.display import DiffBlock
from letta_code.core.messages import Value
from letta_code.host.git_objects import GitDamage
from letta_code.host.memory_git import Commit
from letta_code.memory.block import PENDING, SUFFIX, Block, BlockError
from letta_code.memory.folder import Folder
from letta_code.memory.history import History
from letta_code.memory.merge import merged
from letta_code.memory.outcome import diff_of
from letta_code.memory.provenance import PROGRAM, REFLECTION, USER, Provenance, change_of, message, trailers
from letta_code.memory.writer import Writer

REWIND = "Letta-Rewind"  # trailer of a commit that took a span back: the checkpoint that was gone back to


class TakenBack(Value):
    """What taking a span back does, or would do: the commits, the blocks' changes, and sentences about what stays."""

    commits: tuple[str, ...] = ()
    diffs: tuple[DiffBlock, ...] = ()
    kept: tuple[str, ...] = ()


class Span:
    """The changes that the agent in `conversation` made at events after `after`; what persons wrote is not among them.

    `since` (UTC) is when that event was: older commits are not looked at ("" for all).  Synchronous; raises
    `BlockError` where memory cannot be read or written.
    """

    def __init__(self, writer: Writer, conversation: str, after: int, since: str = "") -> None:
        self._writer = writer
        self._conversation = conversation
        self._after = after
        self._since = since[:13]  # to the hour: a clock may have been set

    def foreseen(self) -> TakenBack:
        """What `take_back` would do now."""
        found = [self._planned(folder) for folder in self._folders()]
        diffs = tuple(diff for _, diffs, _ in found for diff in diffs)
        return TakenBack(diffs=diffs, kept=tuple(why for _, _, kept in found for why in kept))

    def take_back(self, checkpoint: str, seq: int) -> TakenBack:
        """Take all of it back in a new commit for each repository, signed as the person's at the event `seq`.

        What was written since stays: a block whose same lines were changed later is left as it is, and told.
        """
        parts = [self._taken(folder, checkpoint, seq) for folder in self._folders()]
        return TakenBack(
            commits=tuple(commit for part in parts for commit in part.commits),
            diffs=tuple(diff for part in parts for diff in part.diffs),
            kept=tuple(why for part in parts for why in part.kept),
        )

    def _taken(self, folder: Folder, checkpoint: str, seq: int) -> TakenBack:
        by = Provenance(source=USER, conversation=self._conversation, seq=seq)

        def attempt() -> TakenBack:
            with self._writer.writing(folder):
                changes, diffs, kept = self._planned(folder)
                if not changes:
                    return TakenBack(kept=kept)
                labels = " ".join(path.removesuffix(SUFFIX) for path in changes)
                text = message(f"rewind to {checkpoint}", by, {REWIND: checkpoint, "Letta-Blocks": labels})
                commit = folder.commit(changes, text, self._writer.author(by), folder.head())
                return TakenBack(commits=(commit,), diffs=diffs, kept=kept)

        return self._writer.again(attempt)

    def _folders(self) -> Iterator[Folder]:
        for folder in (self._writer.own, self._writer.shared):
            if folder.root.is_dir() and folder.head():
                yield folder

    def _planned(self, folder: Folder) -> tuple[dict[str, bytes | None], tuple[DiffBlock, ...], tuple[str, ...]]:
        """Path → content that takes the span back, the change of each block, and why some stay."""
        head, history = folder.head(), History(folder)
        now: dict[str, bytes | None] = {}
        then: dict[str, bytes | None] = {}
        stuck: dict[str, str] = {}
        try:
            for commit in self._commits(folder):
                for path, (before, after) in history.files_of(commit.sha).items():
                    if path.startswith(f"{PENDING}/") or path in stuck:
                        continue
                    if path not in now:
                        now[path] = then[path] = folder.content(head, path)
                    try:
                        then[path] = _without(then[path], before, after)
                    except _Changed:
                        stuck[path] = path.removesuffix(SUFFIX)
        except GitDamage as error:
            raise BlockError(f"Memory's history cannot be read: {error}.", hint=error.hint) from error
        changes = {path: data for path, data in then.items() if path not in stuck and data != now[path]}
        diffs = tuple(
            diff_of(self._block(folder, path, now[path]), self._block(folder, path, data))
            for path, data in changes.items()
        )
        kept = (f"The block `{label}` stays as it is: the same lines were changed since." for label in stuck.values())
        return changes, diffs, tuple(kept)

    def _block(self, folder: Folder, path: str, data: bytes | None) -> Block | None:
        view = self._writer.reader.view()
        return None if data is None else view.block_of(path, data, shared=folder is self._writer.shared)

    def _commits(self, folder: Folder) -> Iterator[Commit]:
        """The conversation's own commits after the event, newest first."""
        for commit in folder.commits():
            change = change_of(commit)
            if change.at[:13] < self._since:
                return
            by = change.provenance
            if by.conversation != self._conversation or by.seq <= self._after:
                continue
            if by.source == PROGRAM or (by.source == USER and REWIND not in trailers(commit)):
                continue
            if by.source == REFLECTION and by.since <= self._after:
                continue  # it read what was said before as well
            yield commit


class _Changed(Exception):
    """The same lines were changed by somebody else."""


def _without(now: bytes | None, before: bytes | None, after: bytes | None) -> bytes | None:
    """A content without one change of it."""
    if now == after:
        return before
    if now == before:
        return now
    if now is None or before is None or after is None:
        raise _Changed
    result = merged(*(side.decode("utf-8", "surrogateescape") for side in (after, now, before)))
    if result.conflicts:
        raise _Changed
    return result.text.encode("utf-8", "surrogateescape")
