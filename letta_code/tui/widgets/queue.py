"""Queue: messages that wait for the agent's next step."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from letta_code.tui.clean import clean_line
from letta_code.tui.view_state import ViewState

SHOWN = 3


class QueueView(Static):
    """One line a message, newest last; hidden while nothing waits."""

    def __init__(self) -> None:
        super().__init__("", markup=False, id="queue")
        self.display = False

    def show(self, state: ViewState) -> None:
        """Draw the state."""
        self.display = bool(state.queue)
        if not state.queue:
            return
        hidden = len(state.queue) - SHOWN
        lines = [Content.styled(f"  and {hidden} before", "$foreground 75%")] if hidden > 0 else []
        for waiting in state.queue[-SHOWN:]:
            text = clean_line(waiting.text)
            lines.append(Content.assemble(("waits  ", "$text-accent"), (text[:300], "$foreground 75%")))
        lines[-1] = lines[-1] + Content.styled("  ↑ takes it back", "$foreground 45%")
        self.update(Content("\n").join(lines))
