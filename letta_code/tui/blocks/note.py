"""One line for the person."""

from __future__ import annotations

from textual.widget import Widget

from letta_code.core.display import NoteBlock
from letta_code.tui.blocks import line, render
from letta_code.tui.clean import clean

STYLES = {"info": "$foreground 75%", "warning": "$text-warning", "error": "$text-error"}


@render.register
def note(block: NoteBlock, full: bool) -> Widget:
    """The line in its level's colour."""
    return line(clean(block.text), STYLES.get(block.level, "$foreground 75%"))
