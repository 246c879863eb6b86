"""Memory look: memory as pane and screen show it, read off the screen's loop as one frozen value."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from letta_code.agent.port import SessionPort
from letta_code.core.display import DiffBlock
from letta_code.core.errors import LettaError
from letta_code.core.messages import Value
from letta_code.memory.archival import FoundPassage
from letta_code.memory.block import CONFLICTS, TODO, Block
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import ApplyPatch
from letta_code.memory.origin import Moment, origins
from letta_code.memory.outcome import BlockChange
from letta_code.memory.pending import PendingEdit
from letta_code.memory.proposals import Proposal
from letta_code.memory.provenance import Change
from letta_code.memory.recall import Found
from letta_code.memory.waiting import HeldEdit

EVERY = 2.0  # seconds between two looks whether memory moved: two small file reads
SCOPES = ("agent", "shared", "project", "conversation")
_MOST_CHANGES = 200  # of one block's history


class Proposed(Value):
    """What a reflection proposes: its diffs on what stands now, or the `problem` why it does not fit any more."""

    proposal: Proposal
    diffs: tuple[DiffBlock, ...] = ()
    problem: str = ""


class Look(Value):
    """Memory at one moment.

    `files` are read on demand, `unmerged` keep the other side of a conflict, `changes` are what happened since the
    look before; `problems` are sentences for the person.
    """

    pin: str = ""
    here: str = ""  # the conversation
    blocks: tuple[Block, ...] = ()
    files: tuple[Block, ...] = ()
    unmerged: tuple[Block, ...] = ()
    pending: tuple[PendingEdit, ...] = ()
    held: tuple[HeldEdit, ...] = ()
    proposed: tuple[Proposed, ...] = ()
    changes: tuple[BlockChange, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def waits(self) -> int:
        """How much waits for the person."""
        return len(self.pending) + len(self.held) + len(self.proposed) + len(self.unmerged)

    def block(self, scope: str, path: str) -> Block | None:
        """A block by its place."""
        everything = (*self.blocks, *self.files, *self.unmerged)
        return next((block for block in everything if (block.scope, block.path) == (scope, path)), None)


class Line(Value):
    """A line of a block with the change that brought it (None: nobody changed it) and what was said at that moment.

    `title` is that of the conversation.
    """

    number: int
    text: str
    change: Change | None = None
    title: str = ""
    moments: tuple[Moment, ...] = ()
    missing: str = ""


async def look_at(session: SessionPort, since: str = "", *, hand_edits: bool = False) -> Look:
    """Memory now; with `hand_edits` what was changed in the files by hand is taken in first.

    What cannot be read becomes a problem of the look.  Raises `ConfigError` where there is no memory.
    """
    desk = session.memory
    return await asyncio.to_thread(_look, desk.blocks, desk.conversation_id, since, hand_edits)


async def moved(session: SessionPort, pin: str) -> None:
    """Wait until memory does not stand at this pin any more, whoever changed it."""
    blocks = session.memory.blocks
    while blocks.pin() == pin:  # noqa: ASYNC110 - another process may write it, and nothing tells us of that
        await asyncio.sleep(EVERY)


def _look(blocks: Blocks, here: str, since: str, hand_edits: bool) -> Look:
    problems: list[str] = []
    try:
        if hand_edits:
            problems += blocks.refresh(everything=True)
        view = blocks.view()
        others = view.others
        problems += [f"Memory cannot be read whole: {problem}" for problem in view.problems]
    except (LettaError, OSError) as error:
        return Look(here=here, problems=(*problems, f"Memory cannot be read: {error}"))
    pending, held = _waiting(blocks, problems)
    return Look(
        pin=str(view.pin),
        here=here,
        blocks=view.blocks,
        files=tuple(block for block in others if not _unmerged(block)),
        unmerged=tuple(block for block in others if _unmerged(block)),
        pending=pending,
        held=held,
        proposed=_proposed(blocks, problems),
        changes=_changes(blocks, since, problems),
        problems=tuple(dict.fromkeys(problems)),
    )


def _unmerged(block: Block) -> bool:
    return block.path.startswith(f"{CONFLICTS}/")


def _waiting(blocks: Blocks, problems: list[str]) -> tuple[tuple[PendingEdit, ...], tuple[HeldEdit, ...]]:
    try:
        return tuple(blocks.waiting.pending()), tuple(blocks.waiting.held())
    except (LettaError, OSError) as error:
        problems.append(str(error))
        return (), ()


def _proposed(blocks: Blocks, problems: list[str]) -> tuple[Proposed, ...]:
    try:
        return tuple(_seen(blocks, proposal) for proposal in blocks.proposals.waiting())
    except (LettaError, OSError) as error:
        problems.append(str(error))
        return ()


def _seen(blocks: Blocks, proposal: Proposal) -> Proposed:
    try:
        preview = blocks.preview(ApplyPatch(patch=proposal.patch), proposal.by, base=proposal.base)
    except (LettaError, OSError) as error:
        return Proposed(proposal=proposal, problem=str(error))
    return Proposed(proposal=proposal, diffs=preview.diffs)


def _changes(blocks: Blocks, since: str, problems: list[str]) -> tuple[BlockChange, ...]:
    if not since:
        return ()
    try:
        return blocks.changes_since(since)
    except (LettaError, OSError) as error:
        problems.append(str(error))
        return ()


# ---------------------------------------------------------------- the past


async def history_of(session: SessionPort, block: Block | None) -> list[Change]:
    """The changes of a block, newest first; of all of the agent's own memory, deleted blocks too, for None."""
    return await asyncio.to_thread(_history, session.memory.blocks, block)


def _history(blocks: Blocks, block: Block | None) -> list[Change]:
    return blocks.past.changes(name_of(block, blocks) if block else "", _MOST_CHANGES)


async def diff_of(session: SessionPort, commit: str) -> Sequence[DiffBlock]:
    """What a change did."""
    return await asyncio.to_thread(session.memory.blocks.past.diff, commit)


async def lines_of(session: SessionPort, block: Block) -> list[Line]:
    """A block's lines, each with where it came from."""
    return await asyncio.to_thread(_lines, session, block)


def _lines(session: SessionPort, block: Block) -> list[Line]:
    plain = block.value.split("\n") if block.value else []
    blocks = session.memory.blocks
    blamed = [] if block.is_new else blocks.past.blame(name_of(block, blocks))
    if len(blamed) != len(plain):  # a damaged history, or a block that was changed a moment ago
        return [Line(number=number, text=text) for number, text in enumerate(plain, 1)]
    groups = origins(blamed, session.store.read)
    titles = _titles(session, {found.change.provenance.conversation for found in groups})
    return [
        Line(
            number=line.number,
            text=line.text,
            change=found.change,
            title=titles.get(found.change.provenance.conversation, ""),
            moments=found.moments,
            missing=found.missing,
        )
        for found in groups
        for line in found.lines
    ]


def _titles(session: SessionPort, names: set[str]) -> dict[str, str]:
    known = ((name, session.store.conversations.get(name)) for name in names if name)
    return {name: conversation.title for name, conversation in known if conversation is not None}


def name_of(block: Block, blocks: Blocks) -> str:
    """What a block is called: its label, or its path where another block of that label is nearer."""
    nearest = blocks.view().get(block.label)
    same = nearest is not None and (nearest.scope, nearest.path) == (block.scope, block.path)
    return block.label if same else block.path


def flashes(changes: Sequence[BlockChange]) -> list[BlockChange]:
    """The changes whose diff is worth showing: the todo list has a place of its own on the screen."""
    return [change for change in changes if change.label != TODO]


# ---------------------------------------------------------------- what can be searched


class Results(Value):
    """What a search gave; `left` counts events that are not indexed yet."""

    passages: tuple[FoundPassage, ...] = ()
    messages: tuple[Found, ...] = ()
    left: int = 0


async def search(session: SessionPort, words: str, limit: int = 30) -> Results:
    """Passages of archival memory and messages of all conversations; the newest for no words."""
    return await asyncio.to_thread(_search, session, words, limit)


def _search(session: SessionPort, words: str, limit: int) -> Results:
    desk = session.memory
    recalled = desk.recall.search(words, limit=limit)
    passages = desk.archive.search(words, top_k=limit)
    return Results(passages=tuple(passages), messages=recalled.found, left=recalled.left)


async def forget(session: SessionPort, passage_id: str) -> None:
    """Take a passage out of archival memory."""
    archive = await asyncio.to_thread(lambda: session.memory.archive)
    await archive.delete(passage_id)


async def decide_reflection(session: SessionPort, name: str, yes: bool) -> str:
    """Take what a reflection proposes into memory, or reject it; what came of it."""
    return (await session.reflection.decide(name, approved=yes)).text
