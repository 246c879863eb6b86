"""Markdown cards: what the model says, drawn while it streams; imported when the first of them is needed."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Markdown
from textual.widgets.markdown import MarkdownStream

from letta_code.tui.blocks import draw
from letta_code.tui.cards import AssistantCard, SayCard
from letta_code.tui.clean import clean


class SafeMarkdown(Markdown):
    """Markdown whose links are never opened by themselves: a click tells and copies the address."""

    def __init__(self, text: str = "", *, classes: str = "") -> None:
        super().__init__(text, open_links=False, classes=classes)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """Show the real address, and copy it."""
        event.stop()
        self.app.copy_to_clipboard(clean(event.href))


class AssistantView(SafeMarkdown):
    """One answer.  Text that grows is appended to the stream; only text that changed is drawn anew."""

    def __init__(self, card: AssistantCard) -> None:
        whole = card.text if card.done else ""
        super().__init__(clean(whole), classes="card assistant")
        self._written = len(whole)
        self._text = whole
        self._stream: MarkdownStream | None = None

    async def show(self, card: AssistantCard) -> None:
        """Draw the card's new state."""
        if not card.text.startswith(self._text):
            await self._end_stream()
            await self.update(clean(card.text))
        elif len(card.text) > len(self._text):
            if self._stream is None:
                self._stream = Markdown.get_stream(self)
            await self._stream.write(clean(card.text[len(self._text) :]))
        self._text = card.text
        if card.done:
            await self._end_stream()

    async def on_unmount(self) -> None:
        """No stream outlives its widget."""
        await self._end_stream()

    async def _end_stream(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            await stream.stop()


class SayView(Vertical):
    """A command's words and blocks."""

    def __init__(self, card: SayCard) -> None:
        super().__init__(classes="card say")
        self._card = card

    def compose(self) -> ComposeResult:
        """The words, then the blocks."""
        if self._card.text:
            yield SafeMarkdown(clean(self._card.text))
        for block in self._card.blocks:
            yield draw(block, full=True)

    def show(self, card: SayCard) -> None:
        """Draw the card's new state."""
        self._card = card
        self.refresh(recompose=True)
