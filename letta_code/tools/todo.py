"""Todo: the agent's list of tasks, replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from letta_code.core.display import NoteBlock, TodoBlock, TodoItem
from letta_code.core.errors import LettaError, ToolError
from letta_code.safety.operations import MemoryOperation
from letta_code.tools.base import Args, Tool, ToolContext, ToolResult, Wanted
from letta_code.workspace.workspace import Workspace

MOST = 50
TEXT_LIMIT = 500  # characters of one task


class TodoEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # One task as the model gives it.  A docstring would be sent to the model with every request.
    text: str
    status: Literal["pending", "in_progress", "done"]


class TodoArgs(Args, frozen=True):
    """Arguments of Todo."""

    items: Annotated[list[TodoEntry], msgspec.Meta(max_length=MOST)]


class Todo(Tool[TodoArgs]):
    """Keeps the list of tasks that the person sees."""

    name = "Todo"
    edits_files = False
    args = TodoArgs
    takes_placeholders = True
    order = 80

    def title(self, args: TodoArgs) -> str:
        """Such as `Todo 2/5`."""
        return f"Todo {_done(args.items)}/{len(args.items)}"

    async def operations(self, args: TodoArgs, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        """Memory of the conversation only."""
        for number, item in enumerate(args.items, 1):
            if not item.text.strip():
                raise ToolError(f"Item {number} has no text.")
            if len(item.text) > TEXT_LIMIT:
                raise ToolError(f"Item {number} is longer than {TEXT_LIMIT} characters; say it shorter.")
        active = [str(n) for n, item in enumerate(args.items, 1) if item.status == "in_progress"]
        if len(active) > 1:
            raise ToolError(
                f"Items {', '.join(active)} are in_progress; at most one may be. Send the whole list again."
            )
        return [Wanted(operation=MemoryOperation(label="todo", action="replace"))]

    async def run(self, args: TodoArgs, ctx: ToolContext) -> ToolResult:
        """Replace the list."""
        items = tuple(TodoItem(text=" ".join(item.text.split()), status=item.status) for item in args.items)
        notes = await _remembered(items, ctx)
        if not items:
            return ToolResult.text("The todo list is empty now.", TodoBlock(), *notes, todo=())
        now = next((f"; in progress: {item.text}" for item in items if item.status == "in_progress"), "")
        told = f"Todo list kept: {_done(args.items)} of {len(items)} done{now}."
        return ToolResult.text(told, TodoBlock(items=items), *notes, todo=items)


async def _remembered(items: Sequence[TodoItem], ctx: ToolContext) -> tuple[NoteBlock, ...]:
    """Write the block `todo`; the list is kept with the conversation even where that fails, and the person is told."""
    try:
        desk = ctx.memory
    except ToolError:
        return ()  # there is no memory here
    from letta_code.memory.desk import TooLong

    try:
        await desk.write_todo(items, ctx.seq)
    except TooLong as error:
        raise ToolError(f"{error} The list was not changed: say the tasks shorter, or leave out done ones.") from error
    except (LettaError, OSError) as error:
        return (NoteBlock(level="warning", text=f"The todo list is not in memory: {error}"),)
    return ()


def _done(items: Sequence[TodoEntry]) -> int:
    return sum(item.status == "done" for item in items)
