"""The prompt's place: where a card stands instead of the prompt while something is asked or chosen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.timer import Timer
    from textual.widget import Widget

    from letta_code.tui.screens.chat import ChatScreen

TYPING_PAUSE = 1.0  # seconds without a key before a card takes the prompt's place


class PromptPlace:
    """Of one chat.  `card` is what stands there, None for the prompt.  Everything is called on the screen's loop."""

    def __init__(self, chat: ChatScreen) -> None:
        self.typing_pause = TYPING_PAUSE
        self.card: Widget | None = None
        self._chat = chat
        self._timer: Timer | None = None

    async def look(self) -> None:
        """Put the oldest request there once the person does not type, and take away one that was answered."""
        chat, oldest = self._chat, next(iter(self._chat.state.requests.values()), None)
        shown = getattr(self.card, "request_id", "")
        if self.card is not None and shown and (oldest is None or shown != oldest.request_id):
            self.clear()
        if oldest is None or self.card is not None:
            return
        wait = self.typing_pause - (time.monotonic() - chat.prompt.area.last_key_at)
        if wait > 0:
            chat.flash("Something is asked of you: it is shown when you pause typing.", wait + 0.2)
            if self._timer is None:
                self._timer = chat.set_timer(wait, self._due)
            return
        chat.flash("")
        from letta_code.tui.screens.shown import card_for

        await self.put(card_for(oldest))
        chat.app.bell_when_away()  # type: ignore[attr-defined]  # LettaApp's

    async def _due(self) -> None:
        self._timer = None
        await self.look()

    async def put(self, card: Widget) -> None:
        """Show a card; the draft stays in the prompt."""
        self.clear(focus=False)
        self.card = card
        self._chat.prompt.display = False
        await self._chat.query_one("#dock").mount(card)

    def clear(self, *, focus: bool = True) -> None:
        """Give the place back to the prompt."""
        card, self.card = self.card, None
        if card is not None:
            card.display = False
            card.remove()  # not awaited: the card itself may be the one who asks for it
            self._chat.redraw()  # something else may have waited for the place
        self._chat.prompt.display = True
        if focus:
            self._chat.prompt.area.focus()
