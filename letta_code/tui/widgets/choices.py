"""Choices: a short list to pick from, by arrows, digits or mouse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from textual.content import Content
from textual.events import Click, Key
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class Option(NamedTuple):
    """One choice: `id` comes back, `text` and the dimmer `note` are shown; `also` is searched but not shown."""

    id: str
    text: str
    note: str = ""
    style: str = "$foreground"
    also: str = ""


class Choices(Widget, can_focus=True):
    """Options, one a line; the highlighted one moves and the list scrolls with it."""

    cursor: reactive[int] = reactive(0)

    class Picked(Message):
        """An option was chosen."""

        def __init__(self, choices: Choices, option: Option) -> None:
            super().__init__()
            self.choices = choices
            self.option = option

        @property
        def control(self) -> Choices:
            """The list."""
            return self.choices

    class Moved(Message):
        """Another option is highlighted."""

    def __init__(
        self,
        options: Sequence[Option] = (),
        *,
        numbered: bool = False,
        several: bool = False,
        rows: int = 10,
        cursor: int = 0,
        gate: Callable[[], bool] = lambda: True,
        id: str | None = None,
    ) -> None:
        """`gate` says whether keys and clicks count now."""
        super().__init__(id=id, classes="choices")
        self.options = list(options)
        self.numbered = numbered
        self.several = several
        self.rows = rows
        self.gate = gate
        self.marked: set[str] = set()
        self._top = 0
        self.set_reactive(Choices.cursor, cursor)

    @property
    def current(self) -> Option | None:
        """The highlighted option, None in an empty list."""
        return self.options[self.cursor] if 0 <= self.cursor < len(self.options) else None

    def replace(self, options: Sequence[Option]) -> None:
        """Show other options, the first highlighted."""
        self.options = list(options)
        self._top = 0
        self.set_reactive(Choices.cursor, 0)
        self.refresh(layout=True)

    def move(self, step: int) -> None:
        """Move the highlight, around the ends."""
        if self.options:
            self.cursor = (self.cursor + step) % len(self.options)
            self.post_message(self.Moved())

    def pick(self, index: int | None = None) -> None:
        """Choose an option, the highlighted one without an index."""
        if index is not None:
            self.cursor = index
        option = self.current
        if option is not None:
            self.post_message(self.Picked(self, option))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as options, up to `rows`."""
        return min(len(self.options), self.rows)

    def watch_cursor(self) -> None:
        """Keep the highlighted option in sight."""
        height = min(len(self.options), self.rows)
        self._top = max(min(self._top, self.cursor), self.cursor - height + 1, 0)

    def render(self) -> Content:
        """The options in sight."""
        width = self.content_size.width
        lines: list[Content] = []
        for index, option in enumerate(self.options[self._top : self._top + self.rows], self._top):
            here = index == self.cursor
            number = f"{index + 1} " if self.numbered and index < 9 else ""
            mark = ("[x] " if option.id in self.marked else "[ ] ") if self.several else ""
            line = Content.assemble(
                ("❯ " if here else "  ", "$text-primary"),
                (number, "$foreground 75%"),
                mark,
                (option.text, f"{option.style} bold" if here else option.style),
                (f"  {option.note}" if option.note else "", "$foreground 75%"),
            )
            line = (
                line.truncate(width, ellipsis=True)
                if line.cell_length > width
                else line.pad_right(width - line.cell_length)
            )
            mark = "reverse" if self.app.current_theme.ansi else "on $primary 20%"
            lines.append(line.stylize_before(mark) if here else line)
        return Content("\n").join(lines)

    def on_key(self, event: Key) -> None:
        """Arrows, j and k, digits, Enter; space marks where several may be chosen."""
        key = event.key
        if not self.gate():
            if key != "escape":  # to stop is never too early
                event.stop()
            return
        if key in ("down", "j", "ctrl+n"):
            self.move(1)
        elif key in ("up", "k", "ctrl+p"):
            self.move(-1)
        elif key == "enter":
            self.pick()
        elif key == "space" and self.several and self.current is not None:
            self.marked ^= {self.current.id}
            self.refresh()
        elif self.numbered and key.isdigit() and 1 <= int(key) <= min(len(self.options), 9):
            self.pick(int(key) - 1)
        else:
            return
        event.stop()
        event.prevent_default()

    def on_click(self, event: Click) -> None:
        """A click chooses."""
        index = self._top + event.y
        if self.gate() and 0 <= index < len(self.options):
            event.stop()
            self.pick(index)
