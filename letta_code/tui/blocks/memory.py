"""A change of a memory block."""

from __future__ import annotations

from textual.widget import Widget

from letta_code.core.display import DiffBlock, MemoryBlock
from letta_code.tui.blocks import render


@render.register
def memory(block: MemoryBlock, full: bool) -> Widget:
    """As a diff under the block's label."""
    return render(
        DiffBlock(
            path=f"memory: {block.label}",
            diff=block.diff,
            status=block.status,
            old_path=block.old_label,
            added=block.added,
            removed=block.removed,
        ),
        full,
    )
