"""Writer: the machinery behind blocks; plans an edit under the lock, guards it, and makes it one commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import msgspec

from letta_code.core.display import DiffBlock
from letta_code.host.git_objects import GitDamage
from letta_code.host.memory_git import RefMoved
from letta_code.memory.block import ATTACHED, SUFFIX, Block, BlockError, check_label, check_name, given_label
from letta_code.memory.edits import ApplyPatch, Create, Edit, Rename
from letta_code.memory.folder import ATTEMPTS, PAUSE_SECONDS, Folder, Taken, conflict_name
from letta_code.memory.front_matter import formatted
from letta_code.memory.guard import risks
from letta_code.memory.history import History, renamed_trailer
from letta_code.memory.outcome import BlockChange, NeedsApproval, Written, diff_of
from letta_code.memory.plan import Planned, plan
from letta_code.memory.provenance import PROGRAM, USER, Provenance, author_of, change_of, message
from letta_code.memory.reader import Reader
from letta_code.memory.view import Pin

T = TypeVar("T")

_VERBS = {
    "append": "add to",
    "create": "create",
    "delete": "delete",
    "describe": "describe",
    "insert": "add to",
    "rename": "rename",
    "rethink": "rewrite",
    "set_limit": "set limit of",
    "set_read_only": "protect",
}


class Writer:
    """Reads and writes the agent's own and the shared repository for one place; see `Blocks` for what it promises."""

    def __init__(self, reader: Reader, agent: str) -> None:
        self.reader = reader
        self.own = reader.own
        self.shared = reader.shared
        self.place = reader.place
        self._agent = agent

    def author(self, by: Provenance) -> str:
        """The name that a commit carries."""
        return author_of(by, self._agent)

    def again(self, attempt: Callable[[], T]) -> T:
        """Do something that another git of the person's may get in the way of, up to twelve times in half a second."""
        for number in range(ATTEMPTS - 1):
            try:
                return attempt()
            except RefMoved:
                time.sleep(number * PAUSE_SECONDS)  # its commit is the newest now; one that goes on gets out of step
        try:
            return attempt()
        except RefMoved as error:
            raise BlockError(f"{error}. Nothing was changed. Try again.") from error

    def applied(
        self,
        edits: Sequence[Edit],
        by: Provenance,
        base: str | None,
        approved: bool,
        *,
        more: Mapping[str, str] | None = None,
        also: Mapping[str, bytes | None] | None = None,
    ) -> Written | NeedsApproval:
        """Do edits, all or none; `more` are further trailers of the commit, `also` other files of the agent's own."""
        check_names(edits)
        folder = self._folder_of(edits)
        with self.writing(folder, edits):
            pin = self.reader.pin()
            planned, why = self._planned(edits, by, base, pin, folder)
            if why and not approved:
                return NeedsApproval(why=why, diffs=_diffs(planned), pin=str(pin))
            files = also if folder is self.own else None
            written = self.write(folder, planned, by, _summary(edits), pin, more=more, also=files)
        created = [edit.label for edit in edits if isinstance(edit, Create) and edit.scope == "shared"]
        if created:  # a shared block that nobody sees would be lost to the one who made it
            self.set_attached(lambda attached: [*attached, *created], by, f"attach {created[0]}")
        return msgspec.structs.replace(written, pin=str(self.reader.pin()), risks=why, notices=folder.tell())

    def preview(self, edits: Sequence[Edit], by: Provenance, base: str | None) -> NeedsApproval:
        """What `applied` would do and ask, without doing it."""
        check_names(edits)
        pin = self.reader.pin()
        planned, why = self._planned(edits, by, base, pin, self._folder_of(edits))
        return NeedsApproval(why=why, diffs=_diffs(planned), pin=str(pin))

    def _planned(
        self, edits: Sequence[Edit], by: Provenance, base: str | None, pin: Pin, folder: Folder
    ) -> tuple[list[Planned], tuple[str, ...]]:
        old = pin if base is None else Pin.of(base)
        seen = self.reader.view(old) if old != pin and self.reader.readable(old) else None
        planned = plan(edits, self.reader.view(pin), seen, by)
        _check_one_repository(planned)
        return planned, self._risks(planned, by, folder, pin)

    def _folder_of(self, edits: Sequence[Edit]) -> Folder:
        view = self.reader.view()
        for edit in edits:
            if isinstance(edit, ApplyPatch):
                continue
            block = view.get(edit.label)
            scope = edit.scope if isinstance(edit, Create) else block.scope if block else ""
            if scope == "shared":
                return self.shared
        return self.own

    def writing(self, folder: Folder, edits: Sequence[Edit] = ()) -> AbstractContextManager[Taken]:
        """The folder's lock, hand edits taken in where the edits go."""
        below = [*self.place.folders] if folder is self.own else [""]
        for edit in edits:  # files that are read on demand may have been edited by hand too
            path = "" if isinstance(edit, ApplyPatch) else given_label(edit.label)
            below += [path.rpartition("/")[0]] if "/" in path else []
        return folder.writing(tuple(dict.fromkeys(below)))

    def _risks(self, planned: Sequence[Planned], by: Provenance, folder: Folder, pin: Pin) -> tuple[str, ...]:
        if by.may_change_protected:
            return ()
        head = pin.shared if folder is self.shared else pin.own
        return tuple(
            why
            for step in planned
            if step.refused is None
            for why in risks(step.before, step.after, by, self._persons_lines(step, folder, head))
        )

    def _persons_lines(self, step: Planned, folder: Folder, head: str) -> list[int]:
        """The lines of a block that a person wrote; looked up only where lines go away."""
        before, after = step.before, step.after
        if before is None or before.is_new or not before.value:
            return []
        left = set(after.value.split("\n")) if after else set[str]()
        if left.issuperset(before.value.split("\n")):
            return []
        try:
            commits = History(folder).line_commits(before.path, head)
            sources = {sha: change_of(folder.repository.commit(sha)).provenance.source for sha in set(commits)}
        except GitDamage:
            return []
        return [number for number, sha in enumerate(commits) if sources[sha] == USER]

    def write(
        self,
        folder: Folder,
        planned: Sequence[Planned],
        by: Provenance,
        summary: str,
        pin: Pin,
        *,
        more: Mapping[str, str] | None = None,
        also: Mapping[str, bytes | None] | None = None,
    ) -> Written:
        """One commit of what was planned on the state `pin`; inside `writing`.  Raises `RefMoved` when that is old."""
        head = pin.shared if folder is self.shared else pin.own
        changes, conflict = _changes(planned, head)
        changes = {path: data for path, data in changes.items() if data != folder.content(head, path)}
        changes |= also or {}
        if not changes:
            return Written(commit="", pin=str(self.reader.pin()))
        renames = [(s.before.path, s.after.path) for s in planned if s.before and s.after]
        renames = [(old, new) for old, new in renames if old != new]
        labels = " ".join(path.removesuffix(SUFFIX) for path in changes)
        text = message(summary, by, {**(more or {}), **renamed_trailer(renames), "Letta-Blocks": labels})
        commit = folder.commit(changes, text, self.author(by), head)
        self._remember_lines(folder, planned, commit, head)
        told = (s for s in planned if s.refused is None)
        return Written(
            commit=commit,
            pin=str(self.reader.pin()),
            changes=tuple(BlockChange(before=s.before, after=s.after, diff=diff_of(s.before, s.after)) for s in told),
            merged=any(step.merged for step in planned),
            conflict=conflict,
        )

    def _remember_lines(self, folder: Folder, planned: Sequence[Planned], commit: str, head: str) -> None:
        history = History(folder)
        for step in planned:
            if step.after is None or step.refused is not None:
                continue
            path = step.after.path
            before = step.before.path if step.before is not None else path
            old = folder.content(head, before)
            history.extend(before, path, commit, old, folder.content(commit, path))

    def propose(self, edits: Sequence[Edit], by: Provenance, base: str, ref: str, text: str) -> str:
        """Edits of the agent's own blocks, done on the state `base`, as a commit on a branch of its own.

        Nobody's memory changes.  Returns the commit; raises `BlockError` when the edits do not fit.
        """
        check_names(edits)

        def attempt() -> str:
            with self.writing(self.own, edits):
                pin = Pin.of(base)
                changes, _ = _changes(plan(edits, self.reader.view(pin), None, by), pin.own)
                return self.own.branch_off(ref, changes, text, self.author(by), pin.own)

        return self.again(attempt)

    # ------------------------------------------------------------ what the program writes

    def make(self, blocks: Sequence[Block], summary: str) -> Written:
        """Give blocks their files where there are none yet; what stands there is left as it is.

        Whether there is one is looked at under the lock: somebody may have written it a moment ago.  One that has no
        place on disk waits until it has.
        """
        return self._keep(blocks, summary, only_missing=True)

    def keep(self, block: Block, summary: str) -> Written:
        """A block that the program alone writes, made what it is to be, whatever it said before."""
        return self._keep([block], summary, only_missing=False)

    def _keep(self, blocks: Sequence[Block], summary: str, *, only_missing: bool) -> Written:
        by = Provenance(source=PROGRAM, conversation=self.place.conversation_id)

        def attempt() -> Written:
            with self.own.writing(self.place.folders):
                pin = self.reader.pin()
                there = {block.path: block for block in self.reader.view(pin).blocks if not block.is_new}
                planned = [
                    Planned(before=there.get(block.path), after=msgspec.structs.replace(block, is_new=False))
                    for block in blocks
                    if not (only_missing and block.path in there) and not self.own.work.blocked(block.path)
                ]
                return self.write(self.own, planned, by, summary, pin)

        return self.again(attempt)

    def set_attached(self, labels: Callable[[tuple[str, ...]], Sequence[str]], by: Provenance, summary: str) -> None:
        """Set which shared blocks the agent sees; `labels` gives them from those of now, and may be asked again."""

        def changes() -> dict[str, bytes | None]:
            wanted = dict.fromkeys(labels(self.reader.view().attached))
            return {ATTACHED: "".join(f"{label}\n" for label in wanted).encode()}

        self.put(self.own, changes, by, summary)

    def put(
        self,
        folder: Folder,
        changes: Mapping[str, bytes | None] | Callable[[], Mapping[str, bytes | None]],
        by: Provenance,
        summary: str,
        more: Mapping[str, str] | None = None,
    ) -> str:
        """Commit files as they are; the commit, or "" when they stood there already.

        What depends on what stands there is a function: it is called under the lock.
        """

        def attempt() -> str:
            with self.writing(folder):
                head = folder.head()
                wanted = changes() if callable(changes) else changes
                new = {path: data for path, data in wanted.items() if folder.content(head, path) != data}
                return folder.commit(new, message(summary, by, more), self.author(by), head) if new else ""

        return self.again(attempt)


def check_names(edits: Sequence[Edit]) -> None:
    """Raises `BlockError` for labels that no block can have, before anything is done with them."""
    for edit in edits:
        if not isinstance(edit, ApplyPatch):
            check_name(given_label(edit.label))
        if isinstance(edit, Create | Rename):
            check_label(edit.label if isinstance(edit, Create) else edit.new_label)


def _diffs(planned: Sequence[Planned]) -> tuple[DiffBlock, ...]:
    return tuple(diff_of(step.before, step.after) for step in planned)


def _check_one_repository(planned: Sequence[Planned]) -> None:
    shared = {block.scope == "shared" for step in planned for block in (step.before, step.after) if block}
    if len(shared) > 1:
        raise BlockError("A patch changes blocks of one repository: shared blocks need a patch of their own.")


def _changes(planned: Sequence[Planned], head: str) -> tuple[dict[str, bytes | None], str]:
    """Path → content of a plan, and the file that keeps the refused side of a conflict."""
    changes: dict[str, bytes | None] = {}
    conflict = ""
    for step in planned:
        before, after = step.before, step.after
        if before is not None and (after is None or after.path != before.path):
            changes[before.path] = None
        if step.refused is not None and before is not None:
            conflict = conflict_name(before.path, head)
            changes[conflict] = formatted(msgspec.structs.replace(before, value=step.refused, read_only=False))
        elif after is not None and (before is None or before.is_new or after != before):
            changes[after.path] = formatted(after)
    return changes, conflict


def _summary(edits: Sequence[Edit]) -> str:
    tags = [str(edit.__struct_config__.tag) for edit in edits]
    labels = [given_label(edit.label) for edit in edits if not isinstance(edit, ApplyPatch)]
    verb = _VERBS.get(tags[0], "edit") if len(set(tags)) == 1 else "edit"
    return f"{verb} {', '.join(dict.fromkeys(labels))}"
