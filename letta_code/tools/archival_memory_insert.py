"""archival_memory_insert: keeps a passage, to be found by search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from letta_code.core.display import TextBlock
from letta_code.memory.block import one_line
from letta_code.safety.operations import MemoryOperation
from letta_code.tools.base import Args, ToolContext, ToolResult, Wanted
from letta_code.tools.remembering import MemoryTool, author, told_to_the_model
from letta_code.workspace.workspace import Workspace


class ArchivalMemoryInsertArgs(Args, frozen=True):
    """Arguments of archival_memory_insert."""

    content: str
    tags: tuple[str, ...] = ()


class ArchivalMemoryInsert(MemoryTool[ArchivalMemoryInsertArgs]):
    """Keeps a passage."""

    name = "archival_memory_insert"
    args = ArchivalMemoryInsertArgs
    order = 73
    meant: ClassVar[Mapping[str, str]] = {"text": "content", "value": "content", "memory": "content", "tag": "tags"}

    def title(self, args: ArchivalMemoryInsertArgs) -> str:
        """Such as `Archive: The deploy key …`."""
        return f"Archive: {one_line(args.content, 60)}"

    async def operations(
        self, args: ArchivalMemoryInsertArgs, workspace: Workspace, state: Mapping[str, str]
    ) -> Sequence[Wanted]:
        """A write of archival memory."""
        return [Wanted(operation=MemoryOperation(label="archival", action="insert"))]

    async def run(self, args: ArchivalMemoryInsertArgs, ctx: ToolContext) -> ToolResult:
        """Keep it; near duplicates are told."""
        from letta_code.memory.guard import unreadable

        desk = ctx.memory
        with told_to_the_model():
            desk.refuse_flood()
            by = author(ctx, hidden=unreadable(args.content, *args.tags))
            kept = await desk.archive.insert(args.content, args.tags, by=by)
            desk.wrote()
        tags = f" ({', '.join(kept.passage.tags)})" if kept.passage.tags else ""
        return ToolResult.text(kept.text, TextBlock(text=kept.passage.content, title=f"archival memory{tags}"))
