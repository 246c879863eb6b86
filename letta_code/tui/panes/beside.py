"""Beside: the place at the right of the transcript on wide screens; memory will stand above the changes."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical

from letta_code.tui.panes.memory import MemoryPane
from letta_code.tui.view_state import ViewState

WIDE = 110  # columns from which on there is room


class Beside(Vertical):
    """Holds the panes; a pane is mounted when it is first wanted."""

    def __init__(self) -> None:
        super().__init__(id="beside")
        self._wanted = False
        self.display = False

    def compose(self) -> ComposeResult:
        """The memory pane's place."""
        yield MemoryPane()

    @property
    def fits(self) -> bool:
        """Whether the screen is wide enough."""
        return self.screen.size.width >= WIDE

    def toggle(self) -> None:
        """Show it, or hide it."""
        self._wanted = not self._wanted

    async def show(self, state: ViewState) -> None:
        """Draw the state, if it is to be seen."""
        self.display = self._wanted and self.fits
        if not self.display:
            return
        from letta_code.tui.panes.changes import ChangesPane  # mounted when it is first wanted

        if not self.query(ChangesPane):
            await self.mount(ChangesPane())
        await self.query_one(ChangesPane).show(state)
