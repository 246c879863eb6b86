"""Memory: the place of the memory pane; it has nothing to show until agents have memory blocks."""

from __future__ import annotations

from textual.containers import VerticalScroll


class MemoryPane(VerticalScroll, can_focus=False):
    """Hidden until the memory issue fills it."""

    def __init__(self) -> None:
        super().__init__(id="memory")
