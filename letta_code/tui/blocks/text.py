"""Plain text."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from letta_code.core.display import TextBlock
from letta_code.tui.blocks import PREVIEW_LINES, render
from letta_code.tui.clean import cap_lines, clean, head_and_tail


@render.register
def text(block: TextBlock, full: bool) -> Widget:
    """The text, its title above it; the first lines unless `full`."""
    return Static(text_content(block.text, full, title=block.title), markup=False, classes="text")


def text_content(raw: str, full: bool, *, title: str = "", lines: int = PREVIEW_LINES) -> Content:
    """Text from outside as content that holds no markup, shortened to its head unless `full`."""
    rows = cap_lines(clean(raw)).rstrip("\n").split("\n")
    shown, hidden, _ = (rows, 0, []) if full else head_and_tail(rows, lines, 0)
    parts: list[Content] = [Content.styled(clean(title), "bold")] if title else []
    parts.append(Content("\n".join(shown)))
    if hidden:
        parts.append(Content.styled(f"… {hidden:,} more lines", "$foreground 75%"))
    return Content("\n").join(parts)
