"""Help: every key and command on one page."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from letta_code.commands.base import Command
from letta_code.tui.keymap import HELP


class HelpScreen(Screen[None]):
    """Any of Esc, q, F1, Enter closes it."""

    BINDINGS = [("escape,q,f1,enter", "dismiss", "Close")]

    def __init__(self, commands: Sequence[Command]) -> None:
        super().__init__()
        self._commands = commands

    def compose(self) -> ComposeResult:
        """The groups of keys, then the commands."""
        groups = [*HELP, ("Commands", tuple((_call(command), command.help) for command in self._commands))]
        with VerticalScroll(classes="page"):
            for title, rows in groups:
                if rows:
                    yield Static(title, markup=False, classes="heading")
                for keys, what in rows:
                    yield Horizontal(
                        Static(keys, markup=False, classes="keys"), Static(what, markup=False, classes="what")
                    )
        yield Static("Esc closes  ·  ↑↓ PgUp PgDn scroll", markup=False, classes="foot")


def _call(command: Command) -> str:
    return f"/{command.name} {command.usage}".strip()
