"""Memory ask: one line at the bottom of the memory screen that asks for words, or for one of a few keys."""

from __future__ import annotations

import asyncio

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Key
from textual.widget import Widget
from textual.widgets import Input, Static


class AskLine(Horizontal, can_focus=True):
    """Hidden until something is asked.  Esc gives None and changes nothing; then the focus is where it was."""

    def __init__(self) -> None:
        super().__init__(classes="memory-ask")
        self._label = Static("", markup=False, classes="memory-ask-label")
        self._input = Input(compact=True, select_on_focus=False, classes="memory-ask-input")
        self._keys = ""
        self._answer: asyncio.Future[str | None] | None = None
        self._before: Widget | None = None

    def compose(self) -> ComposeResult:
        """The question and the line."""
        yield self._label
        yield self._input

    def on_mount(self) -> None:
        """Nothing is asked yet."""
        self.display = False

    @property
    def asking(self) -> bool:
        """Whether something is asked."""
        return self._answer is not None

    async def words(self, question: str, value: str = "") -> str | None:
        """Ask for words; `value` stands there already."""
        self._input.display = True
        self.remove_class("whole")
        self._input.value = value
        self._input.cursor_position = len(value)
        return await self._asked(Content.styled(f"{question}  ", "$text-accent"), self._input)

    async def key(self, question: str, keys: str, hint: str = "") -> str | None:
        """Ask for one of some keys; every other key means no."""
        self._input.display = False
        self.add_class("whole")
        self._keys = keys
        return await self._asked(Content.assemble((question, "bold $text-warning"), (f"  {hint}", "$foreground")), self)

    async def _asked(self, label: Content, focus: Widget) -> str | None:
        self.cancel()
        if not self.has_focus_within:
            self._before = self.screen.focused
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._label.update(label)
        self.display = True
        # At once, here and below: a focus that comes later could go to what is hidden by then, which hears every key.
        self.screen.set_focus(focus)
        try:
            return await answer
        finally:  # also when the act was given up
            if self._answer is answer:
                self.cancel()

    def cancel(self) -> None:
        """Ask no longer."""
        self._give(None)

    def _give(self, value: str | None) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if not answer.done():
            answer.set_result(value)
        there = self.has_focus_within
        self.display = False
        if not there:
            return  # the person has gone elsewhere
        before = self._before
        in_sight = before is not None and before.is_attached and before in self.screen.focus_chain
        self.screen.set_focus(before if in_sight else None)
        if not in_sight:
            self.screen.focus_next()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The words."""
        event.stop()
        self._give(event.value.strip())

    def on_key(self, event: Key) -> None:
        """Esc; or the key that was asked for."""
        if event.key == "escape":
            event.stop()
            self.cancel()
        elif event.key in ("tab", "shift+tab"):
            event.stop()  # the question is what is to be done now
            event.prevent_default()
        elif self.has_focus:
            event.stop()
            event.prevent_default()
            self._give(event.key if event.key in tuple(self._keys) else None)
