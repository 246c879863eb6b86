"""A question that the agent asked, and the answer."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from letta_code.core.display import QuestionBlock
from letta_code.tui.blocks import render
from letta_code.tui.clean import clean


@render.register
def question(block: QuestionBlock, full: bool) -> Widget:
    """Question and answer."""
    parts = [Content(clean(block.question))]
    if block.answer:
        parts.append(Content.assemble(("❯ ", "$text-primary"), clean(block.answer)))
    return Static(Content("\n").join(parts), markup=False, classes="text")
