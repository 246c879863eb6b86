"""Picker: one of many, in the prompt's place; typing narrows the list."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.widgets import Input, Static

from letta_code.tui.clean import clean_line
from letta_code.tui.widgets.choices import Choices, Option

if TYPE_CHECKING:
    from letta_code.tui.screens.chat import ChatScreen


class Picker(Vertical):
    """Calls `chosen` with the id of what was picked; Esc closes without.

    `free` lets words that fit nothing in the list be picked as they are; `hint` stands in the empty line.
    """

    def __init__(
        self,
        chat: ChatScreen,
        title: str,
        options: list[Option],
        chosen: Callable[[str], Coroutine[Any, Any, None]],
        *,
        free: bool = False,
        hint: str = "type to narrow",
    ) -> None:
        super().__init__(classes="ask picker")
        self._chat = chat
        self._title = title
        self._all = [Option(o.id, clean_line(o.text), clean_line(o.note)) for o in options]
        self._chosen = chosen
        self._choices = Choices(self._all, rows=10)
        self._choices.can_focus = False
        self._free = free
        self._input = Input(placeholder=hint, compact=True, classes="words")

    def compose(self) -> ComposeResult:
        """Title, list, the words that narrow it, keys."""
        yield Static(self._title, markup=False, classes="ask-title")
        yield self._choices
        yield self._input
        yield Static("↑↓ Enter  ·  Esc closes", markup=False, classes="ask-keys")

    def on_mount(self) -> None:
        """Take the keys."""
        self._input.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow by every word that was typed."""
        words = event.value.lower().split()
        self._choices.replace([o for o in self._all if all(word in f"{o.text} {o.note}".lower() for word in words)])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter picks what is highlighted."""
        event.stop()
        if self._choices.current is not None:
            self._choices.pick()
        elif self._free and event.value.strip():
            self._done(event.value.strip())

    def on_key(self, event: Key) -> None:
        """Arrows move in the list, Esc closes."""
        if event.key in ("up", "down"):
            event.stop()
            self._choices.move(-1 if event.key == "up" else 1)
        elif event.key == "escape":
            event.stop()
            self._chat.remove_card()

    def on_choices_picked(self, event: Choices.Picked) -> None:
        """Done."""
        event.stop()
        self._done(event.option.id)

    def _done(self, picked: str) -> None:
        # what follows is the screen's work, since this card goes and its workers with it
        self._chat.remove_card()
        self._chat.run_worker(self._chosen(picked), group="picked")
