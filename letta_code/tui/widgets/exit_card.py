"""Exit card: what becomes of the run when the person leaves: it goes on in the background, it stops, or they stay."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.widgets import Static

from letta_code.tui.widgets.choices import Choices, Option

_OPTIONS = (
    Option("background", "Background", "it goes on without this terminal"),
    Option("stop", "Stop and exit", "what was done is kept"),
    Option("stay", "Stay"),
)


class ExitCard(Vertical):
    """Takes the prompt's place; `chosen` gets background, stop or stay."""

    def __init__(self, run_id: str, chosen: Callable[[str], None]) -> None:
        super().__init__(classes="ask exit")
        self._run_id = run_id
        self._chosen = chosen
        self._choices = Choices(_OPTIONS, numbered=True)

    def compose(self) -> ComposeResult:
        """The question, the choices, how to come back, keys."""
        yield Static(Content.styled("The agent is still at work. Leave it how?", "bold"), classes="ask-title")
        yield self._choices
        follow = f"letta-code follow {self._run_id}".rstrip()
        yield Static(Content.styled(f"Come back with: {follow}", "$foreground 75%"), classes="ask-reason")
        yield Static("↑↓ or a number, Enter  ·  Esc stays  ·  Ctrl+C stops and exits", classes="ask-keys")

    def on_mount(self) -> None:
        """Take the keys."""
        self._choices.focus()

    def on_key(self, event: Key) -> None:
        """Esc stays."""
        if event.key == "escape":
            event.stop()
            self._chosen("stay")

    def on_choices_picked(self, event: Choices.Picked) -> None:
        """Done."""
        event.stop()
        self._chosen(event.option.id)
