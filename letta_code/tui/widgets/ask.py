"""Ask: what approval and question cards share: they stand in the prompt's place and cannot be answered by accident."""

from __future__ import annotations

import time

from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Input

from letta_code.core.requests import Answer

GRACE = 0.5  # seconds after a card appears in which keys and clicks are ignored
_AROUND = 7  # lines: borders and margins of the card, status bar, two lines of the transcript


class Ask(Vertical):
    """A card that asks.  `request_id` ties the answer to its request."""

    class Answered(Message):
        """The person answered."""

        def __init__(self, request_id: str, answer: Answer) -> None:
            super().__init__()
            self.request_id = request_id
            self.answer = answer

    def __init__(self, request_id: str, grace: float = GRACE) -> None:
        super().__init__(classes="ask")
        self.request_id = request_id
        self._ready_at = float("inf")
        self._grace = grace

    def on_mount(self) -> None:
        """The grace starts when the card is on the screen, not when it was made."""
        self.call_after_refresh(self._start_grace)
        self.call_after_refresh(self._fit)

    def on_resize(self) -> None:
        """The choices are always in sight: what is shown above them gets the room that is left."""
        self._fit()

    def _fit(self) -> None:
        bodies = self.query(".ask-body")
        others = sum(child.outer_size.height for child in self.children if not child.has_class("ask-body"))
        room = self.screen.size.height - others - _AROUND
        for body in bodies:
            body.styles.max_height = max(room, 3)

    def _start_grace(self) -> None:
        self._ready_at = time.monotonic() + self._grace

    @property
    def too_early(self) -> bool:
        """Whether a key or click now was meant for something else."""
        return not self.ready()

    def ready(self) -> bool:
        """Whether the card has been on the screen long enough to be answered."""
        return time.monotonic() >= self._ready_at

    def scroll_body(self, direction: int) -> None:
        """Scroll what is shown by a page."""
        body = self.query_one(".ask-body", VerticalScroll)
        if direction < 0:
            body.scroll_page_up(animate=False)
        else:
            body.scroll_page_down(animate=False)

    def respond(self, answer: Answer) -> None:
        """Give the answer, unless it is too early."""
        if not self.too_early:
            self.post_message(self.Answered(self.request_id, answer))

    def words(self, placeholder: str) -> Input:
        """A line to write an answer in, focused."""
        line = Input(placeholder=placeholder, classes="words", compact=True)
        self.mount(line)
        line.focus()
        return line
