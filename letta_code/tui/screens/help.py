"""Help: every key and command on one page."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from letta_code.commands.base import Command
from letta_code.tui.keymap import HELP

_KEYS_WIDTH = 20


class HelpScreen(Screen[None]):
    """Any of Esc, q, F1, Enter closes it."""

    BINDINGS = [("escape,q,f1,enter", "dismiss", "Close")]

    def __init__(self, commands: Sequence[Command]) -> None:
        super().__init__()
        self._commands = commands

    def compose(self) -> ComposeResult:
        """The groups of keys, then the commands."""
        with VerticalScroll(classes="page"):
            yield Static(help_content(self._commands), markup=False)
        yield Static("Esc closes  ·  ↑↓ PgUp PgDn scroll", markup=False, classes="foot")


def help_content(commands: Sequence[Command]) -> Content:
    """Keys and commands as two columns."""
    groups = [*HELP, ("Commands", tuple((_call(command), command.help) for command in commands))]
    lines: list[Content] = []
    for title, rows in groups:
        if not rows:
            continue
        lines.append(Content.styled(title, "bold $text-primary"))
        for keys, what in rows:
            lines.append(_row(keys, what))
        lines.append(Content(""))
    return Content("\n").join(lines[:-1])


def _row(keys: str, what: str) -> Content:
    if len(keys) > _KEYS_WIDTH:
        return Content.assemble((f"  {keys}\n", "$text-accent"), (" " * (_KEYS_WIDTH + 4) + what, "$text"))
    return Content.assemble((f"  {keys:<{_KEYS_WIDTH}}  ", "$text-accent"), (what, "$text"))


def _call(command: Command) -> str:
    return f"/{command.name} {command.usage}".strip()
