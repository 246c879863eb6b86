"""Memory rows: a list as high as its place, of which only what is in sight is drawn; headings are passed over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual.content import Content
from textual.events import Click, Key, MouseScrollDown, MouseScrollUp
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class Row(NamedTuple):
    """One line: `left` is cut where it meets `right`.  Without an `id` it cannot be highlighted."""

    id: str
    left: Content
    right: Content = Content("")
    style: str = ""


class Rows(Widget, can_focus=True):
    """Rows with a highlight.  `Moved` tells of another highlighted row, `Picked` of Enter or a click on it."""

    cursor: reactive[int] = reactive(-1)

    class Moved(Message):
        """Another row is highlighted; `row` is None in an empty list."""

        def __init__(self, rows: Rows, row: Row | None) -> None:
            super().__init__()
            self.rows = rows
            self.row = row

    class Picked(Message):
        """A row was chosen."""

        def __init__(self, rows: Rows, row: Row) -> None:
            super().__init__()
            self.rows = rows
            self.row = row

    def __init__(self, *, empty: str = "", id: str | None = None, classes: str = "memory-rows") -> None:
        """`empty` is said where there are no rows."""
        super().__init__(id=id, classes=classes)
        self.rows: list[Row] = []
        self.empty = empty
        self._top = 0

    @property
    def current(self) -> Row | None:
        """The highlighted row."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    def fill(self, rows: Sequence[Row], *, keep: bool = True) -> None:
        """Show other rows; the highlight stays at the row of the same id, or at its place."""
        before = self.current
        self.rows = list(rows)
        ids = [row.id for row in self.rows]
        place = max(self.cursor, 0) if keep else 0
        if keep and before is not None and before.id in ids:
            place = ids.index(before.id)
        self.set_reactive(Rows.cursor, self._nearest(min(place, len(ids) - 1)))
        if not keep:
            self._top = 0
        self._follow()
        now = self.current
        if (now.id if now else "") != (before.id if before else ""):
            self.post_message(self.Moved(self, now))
        self.refresh()

    def point_at(self, row_id: str) -> bool:
        """Highlight the row of an id; False when there is none."""
        place = next((n for n, row in enumerate(self.rows) if row.id == row_id), -1)
        if place < 0:
            return False
        self._go(place)
        return True

    def move(self, step: int) -> None:
        """Move the highlight by so many rows that can have it; it stops at the ends."""
        places = [n for n, row in enumerate(self.rows) if row.id]
        if not places:
            return
        at = places.index(self.cursor) if self.cursor in places else 0
        self._go(places[min(max(at + step, 0), len(places) - 1)])
        if self.cursor == places[0]:
            self._top = 0  # the heading above it, too

    def _go(self, place: int) -> None:
        if place != self.cursor:
            self.cursor = place
            self.post_message(self.Moved(self, self.current))

    def _nearest(self, place: int) -> int:
        below = next((n for n in range(max(place, 0), len(self.rows)) if self.rows[n].id), -1)
        return below if below >= 0 else next((n for n in range(place, -1, -1) if self.rows[n].id), -1)

    def watch_cursor(self) -> None:
        """Keep the highlighted row in sight."""
        self._follow()

    def on_resize(self) -> None:
        """The same."""
        self._follow()

    def _follow(self) -> None:
        height = max(self.size.height, 1)
        top = max(min(self._top, self.cursor), self.cursor - height + 1, 0)
        self._top = max(min(top, len(self.rows) - height), 0)

    def render(self) -> Content:
        """The rows in sight."""
        width = self.content_size.width
        if not self.rows:
            return Content.styled(self.empty, "$foreground 75%")
        shown = enumerate(self.rows[self._top : self._top + max(self.size.height, 1)], self._top)
        return Content("\n").join([self._drawn(row, width, here=n == self.cursor) for n, row in shown])

    def _drawn(self, row: Row, width: int, *, here: bool) -> Content:
        line = fitted(row.left, row.right, width)
        if row.style:
            line = line.stylize_before(row.style)
        if not here:
            return line
        if self.app.current_theme.ansi:
            return line.stylize_before("reverse" if self.has_focus else "underline")
        return line.stylize_before("on $primary 25%" if self.has_focus else "on $foreground 10%")

    def on_focus(self) -> None:
        """The highlight is brighter."""
        self.refresh()

    def on_blur(self) -> None:
        """The highlight is fainter."""
        self.refresh()

    def on_key(self, event: Key) -> None:
        """Arrows, j and k, pages, ends, Enter."""
        page = max(self.size.height - 1, 1)
        steps = {"down": 1, "j": 1, "up": -1, "k": -1, "pagedown": page, "pageup": -page}
        everything = len(self.rows)
        steps |= {"home": -everything, "end": everything}
        if event.key in steps:
            self.move(steps[event.key])
        elif event.key == "enter" and self.current is not None:
            self.post_message(self.Picked(self, self.current))
        else:
            return
        event.stop()
        event.prevent_default()

    def on_click(self, event: Click) -> None:
        """A click highlights; on what is highlighted it chooses."""
        place = self._top + event.y
        if not (0 <= place < len(self.rows) and self.rows[place].id):
            return
        event.stop()
        if place == self.cursor:
            self.post_message(self.Picked(self, self.rows[place]))
        self._go(place)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """The wheel moves the highlight."""
        event.stop()
        self.move(3)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """The same, upwards."""
        event.stop()
        self.move(-3)


def fitted(left: Content, right: Content, width: int) -> Content:
    """A line of exactly this many cells; the left part is cut where there is no room for it."""
    room = max(width - right.cell_length - (1 if right.cell_length else 0), 0)
    if left.cell_length > room:
        left = left.truncate(room, ellipsis=True)
    return left.pad_right(max(width - left.cell_length - right.cell_length, 0)) + right
