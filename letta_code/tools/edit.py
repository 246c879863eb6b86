"""Edit: replace a text that stands in a file exactly once (or everywhere it stands)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from letta_code.core.display import DiffBlock, DisplayBlock
from letta_code.core.errors import ToolError
from letta_code.core.messages import Value
from letta_code.safety.operations import WriteOperation
from letta_code.tools.base import Args, Situation, Tool, ToolContext, ToolResult, Wanted
from letta_code.tools.text.coding import shown
from letta_code.tools.text.diff import diff_block
from letta_code.tools.text.files import (
    VERSIONS,
    Current,
    Stale,
    bytes_for,
    current,
    judged,
    led,
    off_loop,
    seen_as,
    sha_of,
    text_in,
)
from letta_code.tools.text.lines import line_at, lines_of, mark_of, numbered, shortened
from letta_code.tools.text.nearest import explain_miss
from letta_code.tools.text.putting_back import put_back
from letta_code.tools.text.replace import Span, apply, find, line_list, spans_for
from letta_code.workspace.workspace import Workspace

SNIPPET = 8  # lines of the changed region that the model is shown
SNIPPET_WIDTH = 160


class EditArgs(Args, frozen=True):
    """Arguments of Edit."""

    path: str
    old: Annotated[str, msgspec.Meta(description="exact text of the file, unique unless replace_all")]
    new: str
    replace_all: bool = False


class Change(Value):
    """What an edit makes of a file."""

    data: bytes
    block: DiffBlock
    told: str


class Edit(Tool[EditArgs]):
    """Replaces exact text; never guesses."""

    name = "Edit"
    args = EditArgs
    lean = True
    takes_placeholders = True
    order = 30

    def applies(self, situation: Situation) -> bool:
        """One edit family per model."""
        return situation.model.edit_family != "apply_patch"

    def title(self, args: EditArgs) -> str:
        """Such as `Edit src/app.py`."""
        return f"Edit {shown(args.path)}"

    async def operations(self, args: EditArgs, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        """One write."""
        if not args.old:
            raise ToolError(
                "old is empty: give the text to replace. To insert, repeat a line that is there in old and in new; "
                "to make a file or to write a whole one, use Write."
            )
        if args.old == args.new:
            raise ToolError("old and new are the same: nothing to change.")
        handle = await workspace.resolve(args.path, "write")
        return [
            Wanted(operation=WriteOperation(path=handle.path, inside=handle.inside, action="modify"), handle=handle)
        ]

    async def preview(self, args: EditArgs, ctx: ToolContext) -> tuple[DisplayBlock, ...]:
        """The diff; raises `ToolError` where the edit would fail."""
        try:
            change = await self._change(args, await self._now(args, ctx), ctx)
        except Stale as stale:
            raise ToolError(stale.again) from stale
        return (change.block,)

    async def run(self, args: EditArgs, ctx: ToolContext) -> ToolResult:
        """Replace and tell where."""
        try:
            now = await self._now(args, ctx)
        except Stale as stale:
            return ToolResult.text(stale.message, files=stale.seen, is_error=True)
        change = await self._change(args, now, ctx)
        handle = judged(ctx, args.path)
        await ctx.workspace.replace(handle, change.data)
        sha = await off_loop(len(change.data), sha_of, change.data)
        VERSIONS.keep(sha, change.data)
        return ToolResult.text(change.told, change.block, files=(seen_as(handle, sha),))

    async def _now(self, args: EditArgs, ctx: ToolContext) -> Current:
        if judged(ctx, args.path).kind == "missing":
            raise ToolError(f"{shown(args.path)} does not exist. Use Write to make it, or Glob to find the right path.")
        return await current(ctx, args.path, "Edit")

    async def _change(self, args: EditArgs, now: Current, ctx: ToolContext) -> Change:
        handle = judged(ctx, args.path)
        old, new = (put_back(text, ctx.vault, handle, now.data) for text in (args.old, args.new))
        args = msgspec.structs.replace(args, old=old, new=new)
        return await off_loop(len(now.data), change_of, args, now.data, led(ctx, args.path))


def change_of(args: EditArgs, data: bytes, path: str) -> Change:
    """What the edit makes of a file's bytes; `path` is its name as people are shown it.

    Raises `ToolError` when `old` is not there, or not once.
    """
    text = text_in(data, args.path)
    content = text.content
    places = find(content, args.old, args.new, every=args.replace_all)
    if not places.spans:
        raise ToolError(f"old is not in {path}; nothing was written. {explain_miss(content, args.old)}")
    if len(places.spans) > 1 and not args.replace_all:
        raise ToolError(
            f"old is in {path} more than once, at lines {line_list(content, places)}; nothing was written. "
            "Add lines around it until it is unique, or set replace_all."
        )
    spans = spans_for(content, places, args.new)
    changed = apply(content, spans)
    if changed == content:
        raise ToolError(f"The edit would change nothing in {path}: line endings are kept as the file has them.")
    return Change(
        data=bytes_for(text, changed, args.path),
        block=diff_block(path, content, spans),
        told=_told(path, content, changed, spans),
    )


def _told(path: str, content: str, changed: str, spans: Sequence[Span]) -> str:
    if len(spans) > 1:
        lines = ", ".join(str(line_at(content, span.start)) for span in spans[:20])
        return f"Edited {path}: {len(spans)} replacements, at lines {lines}{' and more' if len(spans) > 20 else ''}."
    span = spans[0]
    return f"Edited {path}.\n{snippet(changed, span.start, span.start + len(span.text))}"


def snippet(content: str, start: int, end: int) -> str:
    """The lines of a region with one line around it, numbered; the middle of a long one left out."""
    mark = mark_of(content)
    if end > start and content[end - 1] == mark:
        end -= 1  # what follows a last line ending is not part of the region
    low = content.rfind(mark, 0, max(content.rfind(mark, 0, start), 0)) + 1
    high = content.find(mark, end)
    high = len(content) if high < 0 else content.find(mark, high + 1)
    lines = [shortened(line, SNIPPET_WIDTH) for line in lines_of(content[low : high if high >= 0 else len(content)])]
    first = line_at(content, low)
    if len(lines) <= SNIPPET:
        return numbered(lines, first)
    half = SNIPPET // 2
    return f"{numbered(lines[:half], first)}\n…\n{numbered(lines[-half:], first + len(lines) - half)}"
