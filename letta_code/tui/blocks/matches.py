"""Places or paths that a search found."""

from __future__ import annotations

from textual.widget import Widget
from textual.widgets import Static

from letta_code.core.display import MatchesBlock
from letta_code.tui.blocks import line, render
from letta_code.tui.blocks.text import text_content


@render.register
def matches(block: MatchesBlock, full: bool) -> Widget:
    """How many were found; the list when `full`."""
    total = max(block.total, len(block.lines))
    if not full or not block.lines:
        return line(f"{total:,} found" if total else "nothing found")
    more = f"\n… {total - len(block.lines):,} more were found" if total > len(block.lines) else ""
    return Static(text_content("\n".join(block.lines) + more, full=True), markup=False, classes="text")
