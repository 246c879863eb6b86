"""Changes: what this conversation did to files, and the todo list, beside the transcript when there is room."""

from __future__ import annotations

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from letta_code.core.display import DiffBlock
from letta_code.tui.blocks import draw
from letta_code.tui.blocks.todo import parse_lines, todo_content
from letta_code.tui.cards import FileChange
from letta_code.tui.clean import clean_line
from letta_code.tui.view_state import ViewState

_STATUS = {"added": "A", "deleted": "D", "renamed": "R"}


class ChangesPane(VerticalScroll, can_focus=False):
    """The todo list, then every changed file with its diffs, newest file first."""

    def __init__(self, *, full: bool = False) -> None:
        super().__init__(id="review" if full else "changes")
        self._full = full
        self._drawn: tuple[object, ...] | None = None

    async def show(self, state: ViewState) -> None:
        """Draw the state, if anything in it changed."""
        look = (state.todo, tuple((path, len(change.blocks)) for path, change in state.changed_files.items()))
        if look == self._drawn:
            return
        self._drawn = look
        widgets: list[Widget] = []
        if state.todo:
            widgets.append(Static("Todo", markup=False, classes="heading"))
            widgets.append(Static(todo_content(parse_lines(state.todo)), markup=False, classes="todo"))
        changes = list(state.changed_files.values())
        widgets.append(Static(_heading(changes), markup=False, classes="heading"))
        for change in reversed(changes):
            widgets.append(Static(_file_line(change), markup=False, classes="file"))
            widgets += [draw(block, full=self._full) for block in change.blocks if isinstance(block, DiffBlock)]
        with self.app.batch_update():
            await self.remove_children()
            await self.mount_all(widgets)


def _heading(changes: list[FileChange]) -> str:
    if not changes:
        return "No changes yet"
    return f"{len(changes)} file{'' if len(changes) == 1 else 's'} changed"


def _file_line(change: FileChange) -> Content:
    return Content.assemble(
        (f"{_STATUS.get(change.status, 'M')} ", "$text-accent"),
        (clean_line(change.path), "bold"),
        (f"  +{change.added}", "$text-success"),
        (f" −{change.removed}", "$text-error"),
    )
