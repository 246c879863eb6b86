"""Memory editor: a block's value being written by the person."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static, TextArea

from letta_code.core.messages import Value
from letta_code.memory.block import Block, clean_value
from letta_code.tui.clean import clean
from letta_code.tui.widgets.memory_bar import AMBER, QUIET


class Draft(Value):
    """A text that is not saved: of which block, on which state of memory, and what an earlier conflict left behind."""

    block: Block
    text: str
    base: str
    leftover: str = ""


class EditView(Vertical):
    """A text area and how full the block will be."""

    def __init__(self, draft: Draft) -> None:
        super().__init__(classes="memory-view")
        self.base = draft.base
        self.leftover = draft.leftover
        self.block = draft.block
        self.area = TextArea(_written(draft.text), soft_wrap=True, show_line_numbers=True, classes="memory-area")
        self.area.cursor_blink = False
        self._count = Static("", markup=False, classes="memory-count")

    def compose(self) -> ComposeResult:
        """Text and count."""
        yield self.area
        yield self._count

    def on_mount(self) -> None:
        """Write at the end."""
        self.area.focus()
        self.area.move_cursor(self.area.document.end)
        self._tell()

    @property
    def changed(self) -> bool:
        """Whether something would be lost."""
        return self.area.text != _written(self.block.value)

    @property
    def draft(self) -> Draft:
        """What is written now."""
        return Draft(block=self.block, text=self.area.text, base=self.base, leftover=self.leftover)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Count."""
        event.stop()
        self._tell()

    def _tell(self) -> None:
        chars, limit = len(self.area.text), self.block.limit
        style = "$text-error" if chars > limit else "$text-warning" if chars >= limit * AMBER else QUIET
        over = f"  {chars - limit:,} too many" if chars > limit else ""
        self._count.update(
            Content.assemble((f"{chars:,}/{limit:,}{over}", style), ("  not saved" if self.changed else "", QUIET))
        )


def _written(text: str) -> str:
    """A text as it can be saved: signs that memory does not keep are not shown as if it did."""
    return clean(clean_value(text))
