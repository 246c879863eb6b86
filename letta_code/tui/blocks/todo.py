"""The todo list."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from letta_code.core.display import TodoBlock
from letta_code.tui.blocks import render
from letta_code.tui.clean import clean_line

_LOOKS = {"done": ("✓", "$foreground 75%"), "in_progress": ("▸", "$text-accent"), "pending": ("○", "$foreground")}
_SIGNS = {"[x]": "done", "[>]": "in_progress", "[ ]": "pending"}


@render.register
def todo(block: TodoBlock, full: bool) -> Widget:
    """Every item with its sign."""
    return Static(todo_content((item.status, item.text) for item in block.items), markup=False, classes="todo")


def todo_content(items: Iterable[tuple[str, str]]) -> Content:
    """Items as (status, text), one a line."""
    lines: list[Content] = []
    for status, text in items:
        sign, style = _LOOKS.get(status, _LOOKS["pending"])
        lines.append(Content.assemble((f"{sign} ", style), (clean_line(text), style)))
    return Content("\n").join(lines)


def parse_lines(lines: Iterable[str]) -> list[tuple[str, str]]:
    """The lines of `TodoChanged` (`[x] done`) as (status, text)."""
    return [(_SIGNS.get(text[:3], "pending"), text[4:] if text[:3] in _SIGNS else text) for text in lines]
