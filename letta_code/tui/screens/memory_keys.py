"""Memory keys: the keys of the memory screen, and the line that shows those which do something now."""

from __future__ import annotations

from collections.abc import Sequence

from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget

from letta_code.memory.block import Block
from letta_code.tui.widgets.memory_editor import EditView
from letta_code.tui.widgets.memory_search import SearchView
from letta_code.tui.widgets.memory_views import HistoryView, OriginView

_ACTS = (
    ("e", "edit"),
    ("E", "editor"),
    ("n", "new"),
    ("r", "rename"),
    ("d", "describe"),
    ("l", "limit"),
    ("p", "protect"),
    ("x,delete", "delete"),
    ("h", "history"),
    ("H", "history_of_all"),
    ("U", "undo_last"),
    ("w", "origin"),
    ("slash", "find"),
    ("o", "read_on"),
    ("u", "undo"),
    ("R", "restore"),
    ("y", "yes"),
)
BINDINGS: list[Binding] = [
    Binding("escape,q", "back", "Back", show=False),
    Binding("f2", "leave", "Close", show=False, priority=True),
    Binding("ctrl+s", "act('save')", "Save", show=False, priority=True),
    Binding("ctrl+g", "act('editor')", "Editor", show=False, priority=True),
    Binding("m", "markdown", "Lines or Markdown", show=False),
    *(Binding(keys, f"act('{name}')", name, show=False) for keys, name in _ACTS),
]
Keys = Sequence[tuple[str, str]]


def foot_content(view: Widget | None, kind: str, block: Block | None, width: int) -> Content:
    """The keys that do something now; a key and its word stay on one line."""
    lines: list[Content] = []
    for key, what in _keys(view, kind, block):
        part = Content.assemble((key, "$text-accent"), (f" {what}" if what else "", "$foreground 75%"))
        if lines and lines[-1].cell_length + part.cell_length + 2 <= width:
            lines[-1] = Content("  ").join([lines[-1], part])
        else:
            lines.append(part)
    return Content("\n").join(lines)


def _keys(view: Widget | None, kind: str, block: Block | None) -> Keys:
    match view:
        case EditView():
            return (("Ctrl+S", "saves"), ("Ctrl+G", "your editor"), ("Esc", "leaves, the text is kept"))
        case HistoryView():
            return (("↑↓", "changes"), ("Enter", "reads on"), ("u", "undo it"), ("R", "restore as it was then"),
                    ("o", "open its conversation"), ("Esc", "back"))  # fmt: skip
        case OriginView():
            return (("↑↓", "lines"), ("o", "open the conversation"), ("h", "history"), ("e", "edit"), ("Esc", "back"))
        case SearchView():
            return (("Enter", "searches"), ("Tab", "line or list"), ("o", "open its conversation"),
                    ("x", "forget a passage"), ("Esc", "back"))  # fmt: skip
        case _:
            pass
    if kind in ("pending", "held", "reflection"):
        answers = {"pending": ("keep it, quoted", "throw it away"), "held": ("take it in", "put the file back")}
        good, bad = answers.get(kind, ("take it in", "reject it"))
        return (("y", good), ("n", bad), ("Enter", "reads"), ("/", "search"), ("Esc", "back"))
    if block is None:
        return (("n", "new block"), ("H", "history"), ("U", "undo the last"), ("/", "search"), ("Esc", "back"))
    lock = "unlock" if block.read_only else "lock"
    return (
        ("e", "edit"),
        ("E", "editor"),
        ("h", "history"),
        ("H", "all"),
        ("w", "who wrote it"),
        ("u", "undo"),
        ("U", "last"),
        ("n", "new"),
        ("r", "rename"),
        ("d", "describe"),
        ("l", "limit"),
        ("p", lock),
        ("x", "delete"),
        ("m", "Markdown"),
        ("/", "search"),
        ("Esc", ""),
    )
