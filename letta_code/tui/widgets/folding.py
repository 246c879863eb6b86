"""Folding: a card of a title and a body that a click on the title, Enter or space folds."""

from __future__ import annotations

from collections.abc import Iterable

from textual.containers import Vertical
from textual.events import Click, Key
from textual.message import Message
from textual.widget import AwaitMount, Widget


class Folded(Message):
    """The person folded or unfolded one card."""

    def __init__(self, view: Widget) -> None:
        super().__init__()
        self.view = view


class FoldingView(Vertical, can_focus=True):
    """Base of such cards; the title is the first child, `full` says whether the card is unfolded."""

    def __init__(self, full: bool, classes: str) -> None:
        super().__init__(classes=classes)
        self.full = full

    @property
    def titles(self) -> tuple[Widget, ...]:
        """What a click folds."""
        raise NotImplementedError

    def redraw(self) -> object:
        """Draw title and body as `full` says now."""
        raise NotImplementedError

    def fold(self, full: bool | None = None) -> None:
        """Unfold or fold; the other way round without a wish."""
        self.full = (not self.full) if full is None else full
        self.redraw()
        if full is None:
            self.post_message(Folded(self))

    def put_below(self, body: Iterable[Widget]) -> AwaitMount:
        """Give the card another body."""
        with self.app.batch_update():
            for child in list(self.children)[1:]:
                child.remove()
            return self.mount(*body)

    def on_click(self, event: Click) -> None:
        """A click on the title folds; one in the body may be a selection and does nothing."""
        if event.widget in self.titles and not self.screen.selections:
            event.stop()
            self.fold()

    def on_key(self, event: Key) -> None:
        """Enter and space fold."""
        if event.key in ("enter", "space"):
            event.stop()
            self.fold()
