"""Desk: memory as one running conversation uses it: what the model is shown and told, and what it writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from letta_code.core.display import MemoryBlock, TodoItem
from letta_code.core.messages import Value
from letta_code.memory.block import TASK, TODO, Block, BlockError
from letta_code.memory.blocks import Blocks
from letta_code.memory.render import begun_anew, memory_section, reminder

if TYPE_CHECKING:  # what only a write or a search needs is loaded then: showing blocks is on the start path
    from letta_code.memory.archival import Archive
    from letta_code.memory.edits import Edit
    from letta_code.memory.outcome import BlockChange, NeedsApproval, Outcome
    from letta_code.memory.provenance import Provenance
    from letta_code.memory.recall import Recall


MOST_WRITES = 20  # edits of blocks and archival inserts of one run, the todo list aside


class TooLong(BlockError):
    """The todo list does not fit its block."""

    def __init__(self, chars: int, limit: int) -> None:
        super().__init__(f"The todo list would have {chars}/{limit} characters, {chars - limit} too many.")


class Shown(Value):
    """Memory as the head of a context carries it: the section's text and the pin that it was made from."""

    pin: str
    text: str


class News(Value):
    """What changed in memory since a pin: `text` for the model ("" when nothing), `notices` for the person.

    `warnings` are what the person should do something about.
    """

    pin: str
    text: str = ""
    notices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Desk:
    """The memory of an agent at the desk of one conversation.

    `archive` and `recall` open when first used.  What is awaited runs off the event loop.  The model's own edits are
    based on what it was last told (`told`), block by block: a block that it edited since is based on its own edit.
    """

    def __init__(
        self,
        blocks: Blocks,
        conversation_id: str,
        *,
        open_archive: Callable[[], Archive],
        open_recall: Callable[[], Recall],
    ) -> None:
        self.blocks = blocks
        self.conversation_id = conversation_id
        self._open_archive = open_archive
        self._open_recall = open_recall
        self._archive: Archive | None = None
        self._recall: Recall | None = None
        self._told = ""  # the state of memory that the model knows
        self._checked = ""  # the newest state in which there was nothing to tell
        self._own: dict[str, str] = {}  # label → the state in which the model wrote it, or looked at it
        self._files: set[str] = set()  # the labels among them that are not in context: no news are told of those
        self._task = ""
        self._task_seq = 0
        self._settled = False
        self._made = ""  # the state that `settle` left
        self._found: list[str] = []  # notices of looks at the files that were not told yet
        self._commands = 0  # tools that may edit files and run now
        self.in_background = False  # whether one of their commands may still run
        self._writes = 0  # of the run at hand

    @property
    def archive(self) -> Archive:
        """Archival memory."""
        if self._archive is None:
            self._archive = self._open_archive()
        return self._archive

    @property
    def recall(self) -> Recall:
        """Search over what was said."""
        if self._recall is None:
            self._recall = self._open_recall()
        return self._recall

    # ------------------------------------------------------------ what the model is shown

    def show(self, *, task: int = 0) -> Shown:
        """The blocks as they are now, for the head of a context; milliseconds, on the caller's thread.

        `task` are the characters that the block `task` may have, 0 to leave it out: the message itself is before the
        model then.  The newest task is shown, whether it was written already or not.
        """
        view = self.blocks.view()
        blocks = [block for block in view.blocks if block.label != TASK or block.scope != "conversation"]
        stored = next((block for block in view.blocks if block not in blocks), None)
        if task and (shown := self._shown_task(stored, task)):
            blocks.append(shown)
        return Shown(pin=str(view.pin), text=memory_section(view, blocks))

    def _shown_task(self, stored: Block | None, most: int) -> Block | None:
        if not (text := self._task or (stored.value if stored else "")):
            return None
        from letta_code.memory.standard import TASK_LIMIT, task_block

        return task_block(text, self.blocks.place, seq=self._task_seq, most=min(most, TASK_LIMIT))

    def knows(self, pin: str) -> None:
        """The model knows memory as of this pin: it was shown, or told."""
        if pin != self._told:
            self._told = self._checked = pin
            self._own = {label: seen for label, seen in self._own.items() if label in self._files}

    def forget(self) -> None:
        """Messages were taken back: what the model knows of memory is what it is said to know from here on."""
        self._told = self._checked = ""
        self._own.clear()
        self._files.clear()

    async def news(self, *, background: bool = False) -> News:
        """What changed since what the model knows, but for its own edits; takes hand edits in first.

        The caller stores the text and says so with `knows`.  With nothing changed it costs one stat for each file.
        `background`: a command still runs.
        """
        return await asyncio.to_thread(self._news, background)

    def _news(self, background: bool) -> News:
        self._look(everything=self.in_background and not background)
        self._hand_back(background)
        notices = self.found()
        pin = self.blocks.pin()
        if pin == self._checked and (pin or not self._made):
            return News(pin=pin, notices=notices)
        states = (self._told, self._checked, self._made)
        if gone := next((state for state in states if not self.blocks.there(state)), ""):
            return self._begun_anew(gone, notices)
        changes = self.blocks.changes_since(self._told, but=self.conversation_id)
        if not changes:
            self._checked = pin
        return News(pin=pin, text=reminder(changes), notices=notices)

    def _begun_anew(self, gone: str, notices: tuple[str, ...]) -> News:
        """The folder is not the one of a state known: what a start gives is written at once, and all is told."""
        known = self.blocks.remembered(gone)
        failed = self._made = ""
        try:
            self._settle()
        except BlockError as error:
            failed = f" They could not be written: {error}"
        view = self.blocks.view()
        self._checked = str(view.pin)  # told once, also when nothing could be written
        now = {block.path: block.value for block in view.blocks}
        lost = [block.label for block in known.blocks if now.get(block.path) != block.value] if known else []
        names = f" ({', '.join(lost)})" if lost else ""
        warning = (
            f"The memory folder {self.blocks.root} was gone, or its history was replaced: what it held is not in "
            f"memory any more{names}. The standard blocks stand anew.{failed} Put the folder back if you have a copy."
        )
        return News(pin=str(view.pin), text=begun_anew(view, lost), notices=notices, warnings=(warning,))

    # ------------------------------------------------------------ whose hand edits are

    async def look(self) -> None:
        """Take in what was edited by hand in all of memory's files; what was found is told with the next news."""
        await asyncio.to_thread(self._look, everything=True)

    def found(self) -> tuple[str, ...]:
        """What looks at the files found and nobody was told yet; it counts as told then."""
        notices = tuple(self._found)
        del self._found[: len(notices)]  # another thread may have found more
        return notices

    def _look(self, *, everything: bool) -> None:
        self._found.extend(self.blocks.refresh(everything=everything))

    async def command_begins(self, tool: str, seq: int) -> None:
        """A tool that may edit files runs from here on; what was edited before was the person's."""
        from letta_code.memory.provenance import Provenance

        await self.look()
        self._commands += 1
        self.blocks.in_hand_of(Provenance(source=f"tool:{tool}", conversation=self.conversation_id, seq=seq))

    async def command_ends(self, *, background: bool) -> None:
        """It ran; `background`: a command of the session still does."""
        self._commands -= 1
        await self.look()
        self._hand_back(background)

    def _hand_back(self, background: bool) -> None:
        from letta_code.memory.provenance import USER, Provenance

        if self._commands:
            return
        if not background:
            self.blocks.in_hand_of(Provenance(source=USER))
        self.in_background = background

    # ------------------------------------------------------------ what is kept

    def take_task(self, text: str, seq: int = 0) -> None:
        """Remember what this run was asked to do, at the event `seq`, as its read-only block `task`.

        It is shown from the next compaction on, and written by `settle`.
        """
        if (text, seq) != (self._task, self._task_seq):
            self._settled = self._settled and text == self._task
            self._task, self._task_seq = text, seq

    @property
    def settled(self) -> bool:
        """Whether all that `settle` writes was written."""
        return self._settled

    async def settle(self) -> None:
        """Give the standard blocks and the task their files; for a quiet moment, and harmless when done twice."""
        if not self._settled:
            await asyncio.to_thread(self._settle)

    def _settle(self) -> None:
        task, seq = self._task, self._task_seq
        self._look(everything=True)
        self.blocks.ensure()
        if task:
            self.blocks.set_task(task, seq)
        self._settled = task == self._task
        self._made = self.blocks.pin()

    def by_agent(self, seq: int, *, reason: str = "") -> Provenance:
        """The agent's own hand, at an event of this conversation."""
        from letta_code.memory.provenance import AGENT, Provenance

        return Provenance(source=AGENT, conversation=self.conversation_id, seq=seq, reason=reason)

    def from_outside(self, seq: int, source: str) -> Provenance:
        """Text from outside, which the agent was perhaps told to keep: it waits for a person."""
        from letta_code.memory.provenance import UNTRUSTED, Provenance

        return Provenance(source=f"outside:{source}", conversation=self.conversation_id, seq=seq, trust=UNTRUSTED)

    async def read(self, label: str) -> Block:
        """A block as it is now, for the model to see: its edits of it are based on that; raises `BlockError`."""
        return await asyncio.to_thread(self._read, label)

    def _read(self, label: str) -> Block:
        self._look(everything=True)
        view = self.blocks.view()
        block = view.find(label)
        self._knows_block(block, str(view.pin))
        return block

    def _knows_block(self, block: Block, pin: str) -> None:
        self._own[block.label] = pin
        if not block.in_context:
            self._files.add(block.label)

    async def preview(self, edit: Edit, labels: Iterable[str], seq: int) -> NeedsApproval:
        """What an edit of the agent's would change and why a person would be asked; raises `BlockError`."""
        return await asyncio.to_thread(self.blocks.preview, edit, self.by_agent(seq), base=self._base(labels))

    async def write(self, edit: Edit, labels: Iterable[str], by: Provenance, *, approved: bool = False) -> Outcome:
        """Do an edit on what stands now, from the state that the model knows; raises `BlockError`.

        `labels` are the blocks that the edit names, as they are called afterwards as well.  A run may do so
        `MOST_WRITES` times.
        """
        from letta_code.memory.outcome import NeedsApproval, Written

        wanted = tuple(labels)
        self.refuse_flood()
        outcome = await asyncio.to_thread(self.blocks.apply, edit, by, base=self._base(wanted), approved=approved)
        if not isinstance(outcome, NeedsApproval):
            self.wrote()
        if isinstance(outcome, Written) and outcome.commit and not outcome.conflict:
            self._own.update(dict.fromkeys(wanted, outcome.pin))
            for change in outcome.changes:
                if change.after is not None:
                    self._knows_block(change.after, outcome.pin)
        return outcome

    def run_begins(self) -> None:
        """What a run may write is counted anew."""
        self._writes = 0

    def refuse_flood(self) -> None:
        """Raises `BlockError` where this run wrote so much that no person could look through it."""
        if self._writes >= MOST_WRITES:
            raise BlockError(
                f"This run has written to memory {MOST_WRITES} times, which is the most for one run. Nothing was "
                "changed. Go on with the task; if something must still be kept, tell the person in your answer: their "
                "next message starts the count anew."
            )

    def wrote(self) -> None:
        """One more was written, or held back."""
        self._writes += 1

    async def write_todo(self, items: Iterable[TodoItem], seq: int) -> Outcome:
        """Make the block `todo` say these tasks; nothing is asked.  Raises `BlockError`, `TooLong` when it is full."""
        return await asyncio.to_thread(self._write_todo, tuple(items), seq)

    def _write_todo(self, items: Iterable[TodoItem], seq: int) -> Outcome:
        from letta_code.memory.edits import Rethink
        from letta_code.memory.provenance import Provenance

        marks = {"done": "x", "in_progress": ">"}
        text = "\n".join(f"- [{marks.get(item.status, ' ')}] {item.text}" for item in items)
        block = self.blocks.view().find(TODO)
        if len(text) > block.limit:
            raise TooLong(len(text), block.limit)
        by = Provenance(source="tool:Todo", conversation=self.conversation_id, seq=seq)
        return self.blocks.apply(Rethink(label=TODO, value=text), by, approved=True)

    def _base(self, labels: Iterable[str]) -> str | None:
        """The state that an edit of these blocks is based on; None (the newest) before anything was shown."""
        own = [self._own[label] for label in labels if label in self._own]
        return own[-1] if own else self._told or None


def blocks_of(outcome: Outcome) -> tuple[MemoryBlock, ...]:
    """What an outcome changed, or would change, for the person."""
    from letta_code.memory.outcome import HeldBack, NeedsApproval, Written

    match outcome:
        case Written():
            return tuple(shown_change(change, outcome.commit) for change in outcome.changes)
        case NeedsApproval():
            return tuple(
                MemoryBlock(
                    label=diff.path,
                    diff=diff.diff,
                    status=diff.status,
                    old_label=diff.old_path,
                    added=diff.added,
                    removed=diff.removed,
                )
                for diff in outcome.diffs
            )
        case HeldBack():
            return ()


def shown_change(change: BlockChange, commit: str = "") -> MemoryBlock:
    """A change of a block for the person."""
    block = change.after
    return MemoryBlock(
        label=change.label,
        diff=change.diff.diff,
        status=change.diff.status,
        old_label=change.diff.old_path,
        scope=block.scope if block else "",
        added=change.diff.added,
        removed=change.diff.removed,
        chars=block.chars if block else 0,
        limit=block.limit if block else 0,
        commit=commit,
    )
