"""The smallest Textual app that shows a line and echoes keys: what the full screen is measured against."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static, TextArea


class Minimal(App[None]):
    """A line and a text area."""

    def compose(self) -> ComposeResult:
        """A line and a text area."""
        yield Static("minimal")
        yield TextArea(placeholder="Ask for a change")

    def on_mount(self) -> None:
        """Take the keys."""
        self.query_one(TextArea).focus()


if __name__ == "__main__":
    Minimal().run()
