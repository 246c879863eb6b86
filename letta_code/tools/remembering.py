"""Remembering: what the memory tools share: names nearly right, the person's yes, and how an outcome is told."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, TypeVar

import msgspec

from letta_code.core.display import DisplayBlock, NoteBlock
from letta_code.core.errors import LettaError, ToolError
from letta_code.safety.operations import MemoryOperation
from letta_code.safety.taint import asked_for
from letta_code.tools.base import Args, Concern, Situation, Tool, ToolContext, ToolResult, Wanted
from letta_code.workspace.workspace import Workspace

if TYPE_CHECKING:  # what only a write needs is loaded then: the tools themselves are on the start path
    from letta_code.memory.edits import Edit
    from letta_code.memory.outcome import NeedsApproval, Written
    from letta_code.memory.provenance import Provenance

A = TypeVar("A", bound=msgspec.Struct)

BY_THE_PERSON = (
    "of the lines that the person wrote"  # how the model is told of what the person reads as their own lines
)
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")


class MemoryTool(Tool[A]):
    """Base of the tools that need a memory; `meant` names the right field for names that models bring with them."""

    edits_files = False
    meant: ClassVar[Mapping[str, str]] = {}

    def applies(self, situation: Situation) -> bool:
        """Only where there is a memory."""
        return situation.memory

    def parse(self, arguments: str) -> A:
        """As every tool; an unknown field with a well-known name is told its name here."""
        try:
            return super().parse(arguments)
        except ToolError as error:
            unknown = _UNKNOWN.search(str(error))
            wrong = self._misnamed(arguments) if unknown else {}
            if not unknown or unknown[1] not in wrong:
                raise
            names = ", ".join(f"`{name}` is called `{right}`" for name, right in list(wrong.items())[:3])
            raise ToolError(str(error).replace(unknown[0], f"{names} here")) from error

    def _misnamed(self, arguments: str) -> dict[str, str]:
        try:
            given = msgspec.json.decode(arguments, type=dict[str, msgspec.Raw])
        except (ValueError, RecursionError):  # the unknown name was met before what is no JSON
            return {}
        return {name: self.meant[name] for name in given if name in self.meant}


class MemoryEditor(MemoryTool[A]):
    """Base of the tools that edit blocks: each call is one edit."""

    def edit_of(self, args: A) -> Edit | None:
        """The edit that a call asks for, None when it only looks.  Raises `ToolError`."""
        raise NotImplementedError

    async def operations(self, args: A, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        """One for each block that is named."""
        edit = self.edit_of(args)
        return [Wanted(operation=MemoryOperation(label=label, action=_tag(edit))) for label in _labels(edit)]

    async def preview(self, args: A, ctx: ToolContext) -> tuple[DisplayBlock, ...]:
        """What would change, and what speaks against it."""
        foreseen = await self._foreseen(args, ctx)
        if foreseen is None:
            return ()
        return (*_shown(foreseen), *(NoteBlock(level="warning", text=_sentence(why)) for why in foreseen.why))

    async def concern(self, args: A, ctx: ToolContext) -> Concern | None:
        """A person's own lines, or a good part of a block, would go; or text from outside may have asked for it."""
        foreseen = await self._foreseen(args, ctx)
        if foreseen is None or not (foreseen.why or ctx.taints):
            return None
        outside = (f"it would stay, {asked_for(ctx.taints)}".rstrip("."),) if ctx.taints else ()
        return Concern(why=_sentence("; ".join((*outside, *foreseen.why))), blocks=_shown(foreseen))

    async def _foreseen(self, args: A, ctx: ToolContext) -> NeedsApproval | None:
        edit = self.edit_of(args)
        if edit is None:
            return None
        with told_to_the_model():
            return await ctx.memory.preview(edit, _labels(edit), ctx.seq)

    async def run(self, args: A, ctx: ToolContext) -> ToolResult:
        """Do it, in one commit."""
        edit = self.edit_of(args)
        if edit is None:
            return await self.look(args, ctx)
        from letta_code.memory.outcome import HeldBack, NeedsApproval, Written

        desk = ctx.memory
        with told_to_the_model():
            by = author(ctx, hidden=await self._hides(edit, args, ctx))
            outcome = await desk.write(edit, _labels(edit), by, approved=ctx.approved)
        match outcome:
            case Written():
                return _told(outcome, confirmed=ctx.confirmed)
            case NeedsApproval():
                raise ToolError(
                    f"Memory changed while this call was on its way, so nothing was written. {outcome.text} "
                    "Send the call again if it is still right; the person is asked then."
                )
            case HeldBack():
                return ToolResult.text(outcome.text, NoteBlock(text=outcome.text))

    async def _hides(self, edit: Edit, args: A, ctx: ToolContext) -> bool:
        """Whether an edit that nobody said yes to would bring in what nobody can read."""
        from letta_code.memory.guard import UNREADABLE, unreadable

        if ctx.confirmed or not unreadable(*(value for value in msgspec.structs.astuple(edit) if type(value) is str)):
            return False
        foreseen = await self._foreseen(args, ctx)  # what stands there already may stay
        return foreseen is not None and any(UNREADABLE in why for why in foreseen.why)

    async def look(self, args: A, ctx: ToolContext) -> ToolResult:
        """The result of a call that edits nothing."""
        raise NotImplementedError


def author(ctx: ToolContext, *, hidden: bool = False) -> Provenance:
    """Whose a write is: the agent's own, or, when text from outside may have asked for it and no person said yes, its.

    What comes from outside is held back until a person decides; so is a text that nobody can read (`hidden`).
    """
    if ctx.confirmed or not (ctx.taints or hidden):
        return ctx.memory.by_agent(ctx.seq)
    if not ctx.taints:
        return ctx.memory.from_outside(ctx.seq, "an encoded text that nobody can read")
    return ctx.memory.from_outside(ctx.seq, ctx.taints.sources[-1])


@contextlib.contextmanager
def told_to_the_model() -> Generator[None]:
    """What memory refuses, and a file system that fails, as the call's error."""
    try:
        yield
    except ToolError:
        raise
    except LettaError as error:
        raise ToolError(str(error), hint=error.hint) from error
    except OSError as error:
        raise ToolError(f"Memory cannot be reached: {error.strerror or error}. Tell the person, and go on.") from error


def other_tries(args: Args, filters: Sequence[str], elsewhere: str) -> str:
    """What to try after a search that found nothing: other words, without the filters it had, another tool."""
    used = [name for name in filters if getattr(args, name)]
    tries = ["other or fewer words"] if getattr(args, "query", "") else []
    tries += [f"leave out {' and '.join(used)}"] if used else []
    return ", or ".join([*tries, elsewhere])


def local_time(at: str) -> str:
    """A stored time as `2026-11-21 08:15`, where the person is: so are the dates that a search takes."""
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return at


def _told(written: Written, *, confirmed: bool) -> ToolResult:
    from letta_code.memory.desk import blocks_of
    from letta_code.memory.guard import OWN_LINES

    notes = [NoteBlock(text=text) for text in written.notices]
    text = written.text
    if written.risks and not confirmed:
        undo = f"`letta-code memory undo {written.commit[:10]}` takes it back."
        notes.append(NoteBlock(level="warning", text=f"{_sentence('; '.join(written.risks))} {undo}"))
        lost = [why.replace(OWN_LINES, BY_THE_PERSON) for why in written.risks if OWN_LINES in why]
        if lost:
            text += f" Nobody was asked: {'; '.join(lost)}. Put back what was not meant to go."
    if written.conflict:
        notes.append(
            NoteBlock(level="warning", text=f"Two edits of the same lines; one is kept in {written.conflict}.")
        )
    return ToolResult.text(text, *blocks_of(written), *notes, is_error=bool(written.conflict))


def _shown(foreseen: NeedsApproval) -> tuple[DisplayBlock, ...]:
    from letta_code.memory.desk import blocks_of

    return blocks_of(foreseen)


def _sentence(why: str) -> str:
    return f"This edit of memory: {why}."


def _labels(edit: Edit | None) -> tuple[str, ...]:
    """The blocks that an edit names, as they are called before and afterwards."""
    from letta_code.memory.block import given_label
    from letta_code.memory.edits import ApplyPatch, Rename
    from letta_code.memory.patch import read_patch

    if edit is None:
        return ("",)
    with told_to_the_model():
        parts = read_patch(edit.patch) if isinstance(edit, ApplyPatch) else (edit,)
    found: list[str] = []
    for part in parts:
        if not isinstance(part, ApplyPatch):
            found.append(given_label(part.label))
        if isinstance(part, Rename):
            found.append(given_label(part.new_label))
    return tuple(dict.fromkeys(found))


def _tag(edit: Edit | None) -> str:
    return "view" if edit is None else str(edit.__struct_config__.tag)
