"""Welcome: what stands on the screen before anything was said."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from letta_code import __version__
from letta_code.tui.clean import clean_line
from letta_code.tui.view_state import ViewState


class Welcome(Static):
    """A name, a version and three hints; gone with the first card."""

    def __init__(self) -> None:
        self._agent = ""
        super().__init__(_text(""), markup=False, id="welcome")

    def show(self, state: ViewState) -> None:
        """Name the agent, when it is known."""
        if state.agent != self._agent:
            self._agent = state.agent
            self.update(_text(clean_line(state.agent)))


def _text(agent: str) -> Content:
    return Content.assemble(
        ("letta-code ", "bold $text-primary"),
        (__version__, "$foreground 75%"),
        (f"  with {agent}" if agent else "", "$foreground"),
        ("\n\nSay what should be done in this folder.\n", "$foreground"),
        ("Shift+Tab changes what may happen without asking  ·  F1 shows all keys", "$foreground 75%"),
    )
