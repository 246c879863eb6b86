"""Picker: one of many, in the prompt's place; typing narrows the list."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.widgets import Input, Static

from letta_code.tui.clean import clean, clean_line
from letta_code.tui.widgets.choices import Choices, Option

if TYPE_CHECKING:
    from letta_code.tui.screens.chat import ChatScreen


ROWS = 10


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
        self._all = [Option(o.id, _one_line(o.text), clean_line(o.note)) for o in options]
        self._words = [f"{o.text}\n{o.note}\n{o.also}".casefold() for o in options]
        self._fits = list(range(len(options)))  # places of the options that are listed
        self._sought: list[str] = []
        self._chosen = chosen
        self._choices = Choices(self._all, rows=ROWS)
        self._choices.can_focus = False
        self._free = free
        self._count = Static(self._counted(), markup=False, classes="ask-keys")
        self._input = Input(placeholder=hint, compact=True, classes="words")

    def compose(self) -> ComposeResult:
        """Title, list, the words that narrow it, keys."""
        yield Static(self._title, markup=False, classes="ask-title")
        yield self._choices
        yield self._input
        yield self._count

    def on_mount(self) -> None:
        """Take the keys."""
        self._input.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow by every word that was typed."""
        words = event.value.casefold().split()
        # What fits longer words fitted the shorter ones: with each letter there are fewer to look at.
        grown = len(words) >= len(self._sought) and all(map(str.startswith, words, self._sought))
        among = self._fits if grown else range(len(self._all))
        self._fits = [at for at in among if all(word in self._words[at] for word in words)]
        self._sought = words
        self._choices.replace([self._all[at] for at in self._fits])
        self._count.update(self._counted())

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
            self._chat.place.clear()

    def on_choices_picked(self, event: Choices.Picked) -> None:
        """Done."""
        event.stop()
        self._done(event.option.id)

    def _counted(self) -> str:
        some = f"  ·  {len(self._fits):,} of {len(self._all):,}" if len(self._all) > ROWS else ""
        return f"↑↓ Enter  ·  Esc closes{some}"

    def _done(self, picked: str) -> None:
        # what follows is the screen's work, since this card goes and its workers with it
        self._chat.place.clear()
        self._chat.run_worker(self._chosen(picked), group="picked")


def _one_line(text: str) -> str:
    """Clean, on one line, with the spaces that make columns."""
    return " ".join(clean(text).expandtabs(1).splitlines())
