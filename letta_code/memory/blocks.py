"""Blocks: the core memory of an agent, as one conversation sees and edits it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from letta_code.host.git_packs import GitDamage
from letta_code.host.memory_git import RefMoved
from letta_code.memory.block import ATTACHED, SUFFIX, TODO, Block, BlockError, Place, given_label
from letta_code.memory.folder import NO_COMMIT, Folder
from letta_code.memory.reader import Reader
from letta_code.memory.standard import standard_blocks, task_block
from letta_code.memory.view import Pin, View

if TYPE_CHECKING:  # what only a write or a look at the past needs is loaded then: reading is on the start path
    from letta_code.memory.edits import Edit
    from letta_code.memory.outcome import BlockChange, NeedsApproval, Outcome, Written
    from letta_code.memory.past import Past
    from letta_code.memory.proposals import Proposals
    from letta_code.memory.provenance import Change, Provenance
    from letta_code.memory.span import Span
    from letta_code.memory.waiting import Waiting
    from letta_code.memory.writer import Writer

WARN_TOKENS = 8_000  # of all blocks in context


class Blocks:
    """The blocks of an agent in one project and conversation.

    `home` is letta-code's home, `agent` the name that commits carry, `refuse` says why a text may not be kept at all
    ("" when it may: the place for a search for secrets).  `past` holds history, blame and undo, `waiting` what needs a
    person first.  Every method is synchronous and takes milliseconds (call it off the event loop); all are safe in
    several threads and processes.  Nothing is made on disk before the first write.  Raises `BlockError` for what
    cannot be done, with nothing changed.
    """

    def __init__(
        self,
        home: Path,
        agent_id: str,
        project_key: str = "",
        conversation_id: str = "",
        *,
        agent: str = "agent",
        refuse: Callable[[str], str] | None = None,
    ) -> None:
        for name in (agent_id, project_key, conversation_id):
            if name.startswith(".") or "/" in name or "\0" in name:
                raise BlockError(f"{name!r} cannot name a folder of memory.")
        self.place = Place(project_key=project_key, conversation_id=conversation_id)
        self._own = Folder(home / "agents" / agent_id / "memory")
        self._shared = Folder(home / "shared" / "memory")
        self._reader = Reader(self._own, self._shared, self.place)
        self._home = home
        self._agent_id = agent_id
        self._agent = agent
        self._refuse = refuse
        # The conversations that the reader's is a copy of → the last event that was copied: what they did it knows.
        self.known: Mapping[str, int] = {}
        # Whether an event was taken back, so that the reader does not know what its agent did there.
        self.forgotten: Callable[[int], bool] = lambda seq: False

    def at(self, place: Place) -> Blocks:
        """The same agent's blocks as another project or conversation sees them."""
        if place == self.place:
            return self
        folders = (self._home, self._agent_id, place.project_key, place.conversation_id)
        return Blocks(*folders, agent=self._agent, refuse=self._refuse)

    @cached_property
    def _writer(self) -> Writer:
        from letta_code.memory.writer import Writer

        return Writer(self._reader, self._agent)

    @cached_property
    def past(self) -> Past:
        """History, blame, diffs and undo."""
        from letta_code.memory.past import Past

        return Past(self._writer)

    def span(self, after: int, since: str = "") -> Span:
        """What the agent did here at this conversation's events after `after`, which happened at `since` (UTC)."""
        from letta_code.memory.span import Span

        return Span(self._writer, self.place.conversation_id, after, since)

    @cached_property
    def waiting(self) -> Waiting:
        """Untrusted text and protected hand edits that wait for a person."""
        from letta_code.memory.waiting import Waiting

        return Waiting(self._writer)

    @cached_property
    def proposals(self) -> Proposals:
        """What reflections proposed and nobody decided yet, each on a branch."""
        from letta_code.memory.proposals import Proposals

        return Proposals(self._writer)

    @property
    def root(self) -> Path:
        """The agent's memory folder, which is a git repository."""
        return self._own.root

    # ------------------------------------------------------------ reading

    def pin(self) -> str:
        """Memory's state now, as a text to be stored with a conversation; costs two file reads."""
        return str(self._reader.pin())

    def view(self, pin: str | None = None) -> View:
        """The blocks at a pin (None: now).  A pin that is not in history any more gives what stands now."""
        if pin is None or not self._reader.readable(wanted := Pin.of(pin)):
            return self._reader.view()
        return self._reader.view(wanted)

    def there(self, pin: str) -> bool:
        """Whether memory's history has a state: not when the folder was taken away or replaced since."""
        from letta_code.host.memory_git import Repository

        wanted = Pin.of(pin)
        pairs = ((self._own, wanted.own), (self._shared, wanted.shared))
        # A repository that has read nothing yet: ours would still know what is gone from the disk.
        return all(sha in ("", NO_COMMIT) or Repository(folder.root).objects.has(sha) for folder, sha in pairs)

    def remembered(self, pin: str) -> View | None:
        """The blocks at a pin if they were read lately, also when they are gone from the disk."""
        return self._reader.remembered(Pin.of(pin))

    def in_hand_of(self, by: Provenance) -> None:
        """Sign edits of the files that are found from here on as these: a command's that runs, or the person's."""
        self._own.hands = self._shared.hands = by

    def refresh(self, *, everything: bool = False) -> tuple[str, ...]:
        """Take in what was changed in the files by hand; sentences for the person about it.

        With nothing changed it costs one stat for each file in context, with `everything` for each file there is.
        Never raises: what fails is told.
        """
        found: list[str] = []
        for folder, below in ((self._own, ("",) if everything else self.place.folders), (self._shared, ("",))):
            try:
                if folder.root.is_dir():
                    folder.refresh(below)
            except (BlockError, GitDamage, RefMoved, OSError) as error:
                found.append(f"Hand edits of memory could not be looked for: {error}")
                continue
            found += folder.tell()
        return tuple(found)

    def tokens(self, count: Callable[[str], int]) -> int:
        """Tokens of all blocks in context, by the given counter."""
        return sum(count(block.value) for block in self.view().blocks)

    def warnings(self, count: Callable[[str], int]) -> tuple[str, ...]:
        """What a person should know: too many tokens, blocks over their limit, files that are not right."""
        view, total = self.view(), self.tokens(count)
        found = [f"Memory cannot be read whole: {problem}" for problem in view.problems]
        if total > WARN_TOKENS:
            found.append(f"The blocks in context have {total} tokens (more than {WARN_TOKENS}); each request has them.")
        found += [f"{self.root / ATTACHED} names `{label}`: there is no such shared block." for label in view.missing]
        for block in view.blocks:
            if block.chars > block.limit:
                found.append(f"`{block.label}` is over its limit: {block.fill} characters.")
            if block.problem:
                found.append(f"{block.path}: {block.problem}.")
        return tuple(found)

    def changes_since(self, pin: str, *, but: str = "") -> tuple[BlockChange, ...]:
        """How the blocks in context differ from a pin; nothing, in microseconds, when memory stands there.

        Changes that only the agent in the conversation `but` made are left out (it saw them as results of its calls).
        """
        if pin == self.pin():
            return ()
        from letta_code.memory.outcome import BlockChange, diff_of

        before = {(block.scope, block.path): block for block in self.view(pin).blocks}
        after = {(block.scope, block.path): block for block in self.view().blocks}
        history = self._history_since(pin)
        found: list[BlockChange] = []
        for old, key in _pairs(before, after, history):
            changes = history.get(key[1], [])
            own = [change for change in changes if but and self._seen_by(change.provenance, but)]
            if own and len(own) == len(changes):
                continue
            # What others did behind the reader's own edit is told against that: it may look as it was before (an undo).
            known = self._left_by(own[-1], key) if own and own[-1] is not changes[-1] else before.get(old)
            now = after.get(key)
            if not _same(known, now):
                others = [change.provenance for change in changes if change not in own]
                hands = [by for by in others if by.source != "letta"] or others  # who only made the file says nothing
                who = ", ".join(dict.fromkeys(by.named for by in hands))
                found.append(BlockChange(before=known, after=now, diff=diff_of(known, now), by=who))
        return tuple(found)

    def _seen_by(self, by: Provenance, conversation: str) -> bool:
        copied = by.conversation if 0 < by.seq <= self.known.get(by.conversation, 0) else ""
        return _seen_by(by, copied or conversation) and not (by.seq and self.forgotten(by.seq))

    def _history_since(self, pin: str) -> dict[str, list[Change]]:
        """The changes of each file since a pin, oldest first; nothing where history cannot be read."""
        history: dict[str, list[Change]] = {}
        with contextlib.suppress(BlockError):
            for change, paths in self.past.since(pin):
                for path in paths:
                    history.setdefault(path, []).append(change)
        return history

    def _left_by(self, change: Change, key: tuple[str, str]) -> Block | None:
        """A block as a change left it."""
        scope, path = key
        now = Pin.of(self.pin())
        pin = Pin(own=now.own, shared=change.commit) if scope == "shared" else Pin(own=change.commit, shared=now.shared)
        return next((b for b in self.view(str(pin)).blocks if (b.scope, b.path) == (scope, path)), None)

    # ------------------------------------------------------------ writing

    def apply(self, edit: Edit, by: Provenance, *, base: str | None = None, approved: bool = False) -> Outcome:
        """Do an edit on the newest blocks, in one durable commit.

        `base` is the pin that its author saw (None: the newest): where a block changed since, the edit is done anew on
        what stands now, or merged with it line by line.  `approved`: a person said yes, or nobody is there to be
        asked.  Untrusted text is held back whatever `approved` says.
        """
        from letta_code.memory.outcome import NeedsApproval
        from letta_code.memory.plan import edits_of
        from letta_code.memory.provenance import UNTRUSTED

        edits = list(edits_of(edit))
        self._screen(edits)
        if by.trust == UNTRUSTED:
            return self.waiting.hold_back(edits, by)
        edits, leaving = self._without_leaving(edits)
        if not edits:
            return self._detached(leaving, by)
        outcome = self._writer.again(lambda: self._writer.applied(edits, by, base, approved))
        if isinstance(outcome, NeedsApproval):
            return self._shown_leaving(outcome, leaving)
        if not leaving:
            return outcome
        left = self._detached(leaving, by)
        commit, notices = outcome.commit or left.commit, (*outcome.notices, *left.notices)
        return msgspec.structs.replace(outcome, commit=commit, pin=left.pin, notices=notices, detached=left.detached)

    def preview(self, edit: Edit, by: Provenance, *, base: str | None = None) -> NeedsApproval:
        """What an edit would change and why a person would be asked (`why` may be empty); changes nothing.

        Raises `BlockError` as `apply` would.  For approval cards, and for edits that are proposed and done later, with
        the same `base`.
        """
        from letta_code.memory.plan import edits_of

        edits = edits_of(edit)
        self._screen(edits)
        edits, leaving = self._without_leaving(edits)
        return self._shown_leaving(self._writer.preview(edits, by, base), leaving)

    def _screen(self, edits: Sequence[Edit]) -> None:
        from letta_code.memory.edits import texts

        for text in (text for edit in edits for text in texts(edit) if text):
            if why := self._refuse(text) if self._refuse else "":
                raise BlockError(f"This is not kept in memory: {why}. Nothing was changed.")

    def _without_leaving(self, edits: Sequence[Edit]) -> tuple[list[Edit], list[str]]:
        """The edits without deletions of shared blocks: those leave this agent's memory only, and stay for others."""
        from letta_code.memory.edits import Delete

        view = self.view()
        found = {
            e.label: b.label
            for e in edits
            if isinstance(e, Delete) and (b := view.get(e.label)) and b.scope == "shared"
        }
        kept = [edit for edit in edits if not (isinstance(edit, Delete) and edit.label in found)]
        return kept, list(dict.fromkeys(found.values()))

    def _detached(self, labels: Sequence[str], by: Provenance) -> Written:
        from letta_code.memory.outcome import Written

        self._writer.set_attached(_without(labels), by, f"detach {', '.join(labels)}")
        said = (
            f"`{label}` is shared: it was taken from this agent's memory, and stays for the others." for label in labels
        )
        return Written(commit=self._own.head(), pin=self.pin(), notices=tuple(said), detached=tuple(labels))

    def _shown_leaving(self, foreseen: NeedsApproval, labels: Sequence[str]) -> NeedsApproval:
        from letta_code.core.display import DiffBlock

        lines = [f"-{label}" for label in labels]
        more = [DiffBlock(path=ATTACHED, diff="\n".join(lines), status="modified", removed=len(lines))] if lines else []
        return msgspec.structs.replace(foreseen, diffs=(*foreseen.diffs, *more))

    def ensure(self) -> None:
        """Give the standard blocks their files, so that a person finds them; one commit, none when they are there.

        Shared blocks that were renamed are noted under their new labels, before somebody makes one of the old label.
        """
        from letta_code.memory.provenance import PROGRAM, Provenance

        present = {block.path for block in self.view().blocks if not block.is_new}
        missing = [b for b in standard_blocks(self.place) if b.path not in present and b.label != TODO]
        if missing:
            self._writer.make(missing, "the standard blocks")
        if self.view().follows:
            by = Provenance(source=PROGRAM)
            self._writer.set_attached(lambda attached: attached, by, "follow renamed shared blocks")

    def set_task(self, text: str, seq: int = 0) -> Written:
        """Keep what a headless run was asked to do, at an event, as its read-only block `task`."""
        return self._writer.keep(task_block(text, self.place, seq=seq), "the task")

    def attach(self, label: str, by: Provenance) -> None:
        """Show a block of the shared memory to this agent; raises `BlockError` when there is none of that label."""
        label = given_label(label)
        if label not in (names := self.shared_labels()):
            listed = ", ".join(f"`{name}`" for name in names) or "none yet"
            raise BlockError(f"There is no shared block `{label}`. Shared blocks: {listed}.")
        self._writer.set_attached(lambda attached: [*attached, label], by, f"attach {label}")

    def shared_labels(self) -> list[str]:
        """The labels of all shared blocks, attached or not."""
        head = self._shared.head()
        files = self._shared.repository.files(head) if head else {}
        return sorted(path.removesuffix(SUFFIX) for path in files if path.endswith(SUFFIX))

    def detach(self, label: str, by: Provenance) -> None:
        """Show a shared block to this agent no longer; the block itself stays."""
        label, attached = given_label(label), self.view().attached
        if label not in attached:
            listed = ", ".join(f"`{name}`" for name in attached) or "none"
            raise BlockError(f"`{label}` is not attached. Attached: {listed}.")
        self._writer.set_attached(_without([label]), by, f"detach {label}")

    def pack(self) -> bool:
        """Let git pack the history when it has many loose objects; takes seconds, for a quiet moment."""
        packed = False
        for folder in (self._own, self._shared):
            if folder.repository.exists:
                with folder.writing(()):
                    packed = folder.repository.pack() or packed
        return packed


def _without(labels: Sequence[str]) -> Callable[[tuple[str, ...]], Sequence[str]]:
    return lambda attached: [name for name in attached if name not in labels]


def _seen_by(by: Provenance, conversation: str) -> bool:
    """Whether the agent of a conversation knows an edit: its own, not what a person did or approved there.

    What a reflection on that conversation did is news to it as well, and so is what its commands did to the files.
    """
    own = by.source in ("agent", "letta", "tool:Todo")
    return by.conversation == conversation and own and by.trust == "trusted"


_Key: TypeAlias = tuple[str, str]  # scope and path


def _pairs(
    before: Mapping[_Key, Block], after: Mapping[_Key, Block], history: Mapping[str, Sequence[Change]]
) -> list[tuple[_Key, _Key]]:
    """What each block was and is called: one that was renamed is one block, not one that went and one that came."""
    renamed: dict[str, str] = {}
    for change in sorted({c.commit: c for changes in history.values() for c in changes}.values(), key=lambda c: c.at):
        for old, new in change.renamed.items():
            renamed = {first: new if last == old else last for first, last in renamed.items()}
            renamed.setdefault(old, new)
    pairs: dict[_Key, _Key] = {}
    for scope, path in before:
        new = (scope, renamed.get(path, path))
        pairs[(scope, path)] = (
            new if new in after and new not in before and (scope, path) not in after else (scope, path)
        )
    met = set(pairs.values())
    return [*pairs.items(), *((key, key) for key in after if key not in met)]


def _same(a: Block | None, b: Block | None) -> bool:
    """Whether two states of a block read the same."""
    if a is None or b is None:
        return a is b
    return _said(a) == _said(b)


def _said(block: Block) -> tuple[object, ...]:
    return block.label, block.value, block.description, block.read_only, block.limit
