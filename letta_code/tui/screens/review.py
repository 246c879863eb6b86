"""Review: all changes of this conversation on a full screen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Static

from letta_code.tui.panes.changes import ChangesPane
from letta_code.tui.view_state import ViewState


class ReviewScreen(Screen[None]):
    """The changes pane with the whole width, and every diff in full."""

    BINDINGS = [
        ("escape,q,enter,ctrl+b", "dismiss", "Close"),
        ("up,k", "line(-1)", "Up"),
        ("down,j", "line(1)", "Down"),
        ("pageup", "page(-1)", "Page up"),
        ("pagedown,space", "page(1)", "Page down"),
        ("home", "end(-1)", "Start"),
        ("end", "end(1)", "End"),
    ]

    def __init__(self, state: ViewState) -> None:
        super().__init__()
        self._state = state
        self._pane = ChangesPane(full=True)

    def compose(self) -> ComposeResult:
        """Changes, and the keys."""
        yield self._pane
        yield Static("Esc closes  ·  ↑↓ PgUp PgDn scroll", markup=False, classes="foot")

    async def on_mount(self) -> None:
        """Draw once: it is a look back."""
        await self._pane.show(self._state)

    def action_line(self, step: int) -> None:
        """Scroll by a line."""
        self._pane.scroll_relative(y=step, animate=False)

    def action_page(self, step: int) -> None:
        """Scroll by a page."""
        if step < 0:
            self._pane.scroll_page_up(animate=False)
        else:
            self._pane.scroll_page_down(animate=False)

    def action_end(self, step: int) -> None:
        """To one of the ends."""
        if step < 0:
            self._pane.scroll_home(animate=False)
        else:
            self._pane.scroll_end(animate=False)
