"""Memory writing: what a person does to memory on its screen, done off the screen's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from letta_code.agent.port import SessionPort
from letta_code.core.errors import LettaError
from letta_code.core.messages import Value
from letta_code.memory.block import Block, BlockError
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Create, Delete, Describe, Edit, Rename, Rethink, SetLimit, SetReadOnly
from letta_code.memory.outcome import Written
from letta_code.memory.provenance import USER, Provenance
from letta_code.tui.memory_look import name_of

T = TypeVar("T")


class Done(Value):
    """What came of it: a sentence, and for a saved text whether another edit of the same lines stands instead.

    `path` is the file that keeps the person's side of such a conflict; `pin` memory's state afterwards.
    """

    said: str
    conflict: str = ""
    pin: str = ""
    commit: str = ""


async def work(session: SessionPort, do: Callable[[Blocks, Provenance], T]) -> T:
    """Do something with the blocks as the person, in a thread; raises `LettaError`."""
    desk = session.memory
    by = Provenance(source=USER, conversation=desk.conversation_id, reason="memory screen")

    def safely() -> T:
        try:
            return do(desk.blocks, by)
        except OSError as error:
            raise BlockError(f"The memory folder cannot be used: {error.strerror or error}.") from error

    return await asyncio.to_thread(safely)


def save(block: Block, text: str, base: str, leftover: str) -> Callable[[Blocks, Provenance], Done]:
    """Give a block the text that was typed, on the state `base` that the person saw.

    `leftover` is the file of an earlier conflict about the same text; it goes when this is saved.
    """

    def do(blocks: Blocks, by: Provenance) -> Done:
        written = _written(blocks, Rethink(label=name_of(block, blocks), value=text), by, base)
        if written.conflict:
            return Done(said="", conflict=written.conflict, pin=written.pin)
        if leftover and blocks.view().get(leftover) is not None:
            blocks.apply(Delete(label=leftover), by)
        said = f"Saved `{block.label}`." if written.commit else "Nothing changed."
        if written.merged:
            said = f"Saved `{block.label}`. Somebody else had edited it meanwhile: both edits stand."
        return Done(said=said, pin=blocks.pin(), commit=written.commit)

    return do


def could_create(label: str) -> Callable[[Blocks, Provenance], object]:
    """Only look whether there can be a new block of that label; raises `BlockError`."""
    return lambda blocks, by: blocks.preview(Create(label=label, scope="" if "/" in label else "agent"), by)


def create(label: str, scope: str, description: str) -> Callable[[Blocks, Provenance], Done]:
    """Make an empty block; `scope` "" is a file that is read on demand."""

    def do(blocks: Blocks, by: Provenance) -> Done:
        match scope:
            case "agent" | "project" | "conversation" | "shared" | "":
                edit = Create(label=label, scope=scope, description=description)
            case _:
                raise BlockError(f"There is no scope {scope}.")
        return _told(_written(blocks, edit, by))

    return do


def delete(block: Block) -> Callable[[Blocks, Provenance], Done]:
    """Remove a block."""

    def do(blocks: Blocks, by: Provenance) -> Done:
        written = _written(blocks, Delete(label=name_of(block, blocks)), by)
        if block.scope == "shared":  # it is only taken from this agent
            return _told(written)
        return Done(said=f"Deleted `{block.label}`. U brings it back.", pin=written.pin, commit=written.commit)

    return do


def rename(block: Block, label: str) -> Callable[[Blocks, Provenance], Done]:
    """Call it something else."""
    return _edit(block, lambda name: Rename(label=name, new_label=label))


def describe(block: Block, description: str) -> Callable[[Blocks, Provenance], Done]:
    """Say what it is for."""
    return _edit(block, lambda name: Describe(label=name, description=description))


def limit(block: Block, text: str) -> Callable[[Blocks, Provenance], Done]:
    """Give it room for so many characters."""
    number = text.replace(",", "").replace("_", "").strip()
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise BlockError(f"{text.strip() or 'Nothing'} is not a number of characters.")
    return _edit(block, lambda name: SetLimit(label=name, limit=int(number)))


def protect(block: Block) -> Callable[[Blocks, Provenance], Done]:
    """Make it read-only for the agent, or lift that."""
    return _edit(block, lambda name: SetReadOnly(label=name, read_only=not block.read_only))


def undo(commit: str) -> Callable[[Blocks, Provenance], Done]:
    """Take a change back; `last` is the newest that stands."""

    def do(blocks: Blocks, by: Provenance) -> Done:
        undone = blocks.past.undo(commit, by)
        return Done(said=f"Taken back: {undone.change.summary}.", commit=undone.commit)

    return do


def restore(block: Block, commit: str) -> Callable[[Blocks, Provenance], Done]:
    """Make a block what it was after a change."""

    def do(blocks: Blocks, by: Provenance) -> Done:
        new = blocks.past.restore(name_of(block, blocks), commit, by)
        return Done(said=f"`{block.label}` is again what it was then." if new else "It stands like that already.")

    return do


def decide(kind: str, name: str, yes: bool) -> Callable[[Blocks, Provenance], Done]:
    """Answer what waits: `kind` is pending (text from outside) or held (a hand edit)."""

    def do(blocks: Blocks, by: Provenance) -> Done:
        waiting = blocks.waiting
        match kind, yes:
            case "pending", True:
                return _told(waiting.approve(name, by))
            case "pending", False:
                waiting.reject(name, by)
                return Done(said="Thrown away; only history still has it.")
            case "held", True:
                waiting.adopt(name, by)
                return Done(said="The hand edit is in memory now.")
            case _:
                waiting.put_back(name, by)
                return Done(said="The file says again what memory says; history keeps the hand edit.")

    return do


def _edit(block: Block, edit: Callable[[str], Edit]) -> Callable[[Blocks, Provenance], Done]:
    return lambda blocks, by: _told(_written(blocks, edit(name_of(block, blocks)), by))


def _written(blocks: Blocks, edit: Edit, by: Provenance, base: str | None = None) -> Written:
    outcome = blocks.apply(edit, by, base=base or None)
    if not isinstance(outcome, Written):  # what a person does is done
        raise LettaError("A person's edit was to be asked about.", hint="This is a fault of letta-code.")
    return outcome


def _told(written: Written) -> Done:
    said = " ".join((*(change.told for change in written.changes), *written.notices)) or "Nothing changed."
    return Done(said=said, pin=written.pin, commit=written.commit)
