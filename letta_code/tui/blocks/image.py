"""A picture: named, since a terminal may not be able to draw it."""

from __future__ import annotations

from textual.widget import Widget

from letta_code.core.display import ImageBlock
from letta_code.tui.blocks import line, render
from letta_code.tui.clean import clean_line


@render.register
def image(block: ImageBlock, full: bool) -> Widget:
    """Path, kind and size."""
    parts = [clean_line(block.path), block.media_type]
    if block.width and block.height:
        parts.append(f"{block.width} × {block.height}")
    if block.bytes:
        parts.append(f"{block.bytes / 1024:,.0f} KB")
    return line("picture " + " · ".join(part for part in parts if part))
