"""A change of a memory block."""

from __future__ import annotations

from textual.widget import Widget

from letta_code.core.display import DiffBlock, MemoryBlock
from letta_code.tui.blocks import line, render
from letta_code.tui.blocks.code import CodeView
from letta_code.tui.blocks.diff import PREVIEW_ROWS, diff_rows


@render.register
def memory(block: MemoryBlock, full: bool) -> Widget:
    """The changed lines of a block."""
    return memory_diff(block, full=full)


def memory_diff(block: MemoryBlock | DiffBlock, *, full: bool) -> Widget:
    """As a diff of prose: wrapped between words; the first lines unless `full`."""
    rows = diff_rows(block.diff)
    if not rows:
        return line({"deleted": "deleted", "renamed": "renamed"}.get(block.status, "no change of text"))
    shown = rows if full or len(rows) <= PREVIEW_ROWS + 3 else rows[:PREVIEW_ROWS]
    hidden = len(rows) - len(shown)
    return CodeView(shown, prose=True, footer=f"… {hidden:,} more lines" if hidden else "")
