"""Beside: the place at the right of the transcript on wide screens: memory, and below it the changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical

from letta_code.core.errors import ConfigError
from letta_code.tui.core_thread import CoreThread
from letta_code.tui.panes.memory import MemoryPane
from letta_code.tui.view_state import ViewState

WIDE = 110  # columns from which on there is room


class Beside(Vertical):
    """Holds the panes.  Memory is there from the start; the changes are mounted when they are first wanted.

    `memory` says whether the person wants memory there; what they change is saved as a setting, and `tell` gets a
    sentence where that fails.
    """

    def __init__(
        self, core: CoreThread, open_memory: Callable[[], None], tell: Callable[[str], None], *, memory: bool
    ) -> None:
        super().__init__(id="beside")
        self._changes = False
        self._memory = self._saved = memory
        self._saving = False
        self._tell = tell
        self._pane = MemoryPane(core, open_memory)
        self._state: ViewState | None = None

    def compose(self) -> ComposeResult:
        """The memory pane."""
        yield self._pane

    def on_mount(self) -> None:
        """The place is there from the first frame on, so that nothing jumps when memory comes."""
        self._place()

    @property
    def fits(self) -> bool:
        """Whether the screen is wide enough."""
        return self.screen.size.width >= WIDE

    def toggle(self) -> None:
        """Show the changes, or hide them."""
        self._changes = not self._changes

    def toggle_memory(self) -> None:
        """The same for memory, also at the next start."""
        self._memory = not self._memory
        self.run_worker(self._save(), group="save", exclusive=False)

    async def _save(self) -> None:
        if self._saving:
            return  # the one at work sees what is wanted now
        self._saving = True
        try:
            while self._saved != self._memory:
                wanted = self._memory
                await asyncio.to_thread(_save_pane, wanted)
                self._saved = wanted
        except ConfigError as error:
            self._tell(f"The next start will not know whether memory is shown: {error}")
        finally:
            self._saving = False

    def _place(self) -> None:
        memory = self._memory and not self._pane.absent
        self._pane.display = memory
        self.set_class(self._changes, "with-changes")
        self.display = self.fits and (self._changes or memory)

    @on(MemoryPane.Found)
    async def _found(self, event: MemoryPane.Found) -> None:
        event.stop()
        if self._state is not None:
            await self.show(self._state)

    async def show(self, state: ViewState) -> None:
        """Draw the state, if it is to be seen."""
        self._state = state
        self._place()
        if self.fits and self._memory:
            self._pane.show(state)
        else:
            self._pane.rest()
        if not (self.display and self._changes):
            return
        from letta_code.tui.panes.changes import ChangesPane  # mounted when it is first wanted

        if not self.query(ChangesPane):
            await self.mount(ChangesPane())
        await self.query_one(ChangesPane).show(state)


def _save_pane(shown: bool) -> None:
    from letta_code.config.paths import Paths
    from letta_code.config.settings import save_setting

    save_setting(Paths.find().ensure(), ("face", "memory_pane"), shown)
