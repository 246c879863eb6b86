"""Lines of a file that were read."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from letta_code.core.display import FileBlock
from letta_code.tui.blocks import line, render
from letta_code.tui.blocks.code import CodeView, Row
from letta_code.tui.clean import cap_lines, clean


@render.register
def file(block: FileBlock, full: bool) -> Widget:
    """Which lines were read; the lines themselves when `full`."""
    if not block.text:
        return line(clean(block.path))
    rows = cap_lines(clean(block.text)).rstrip("\n").split("\n")
    if not full:
        total = f" of {block.total_lines:,}" if block.total_lines > len(rows) else ""
        return line(f"{len(rows):,}{total} line{'' if len(rows) == 1 else 's'}")
    numbered = [Row("same", str(block.first_line + index), Content(text)) for index, text in enumerate(rows)]
    return CodeView(numbered, path=block.path)
