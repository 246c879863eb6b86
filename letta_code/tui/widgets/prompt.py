"""Prompt: where the person writes; several lines, history, a draft that is never lost."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Key, Paste
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static, TextArea

from letta_code.tui.clean import clean
from letta_code.tui.history import PromptHistory
from letta_code.tui.keymap import EDITOR, END, NEWLINE, SEARCH, SEND

PASTE_ECHO = 0.03  # seconds after a paste in which what looks like typing still belongs to it
DRAFT_DELAY = 0.4  # seconds of quiet before the draft is written
PLACEHOLDER = "Ask for a change.   / commands   @ files   ! shell   Shift+Enter new line"


class PromptArea(TextArea):
    """The text itself.  Keys that mean more than text become messages."""

    class Submitted(Message):
        """The person sends the text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Warned(Message):
        """The text was not sent yet: the person is told why."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Wanted(Message):
        """A key asks for something outside the text.

        editor, history, end, take_back, go_on (Enter in an empty prompt), and for the completer complete, accept, next,
        previous, close.
        """

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    def __init__(self, history: PromptHistory) -> None:
        super().__init__(
            id="prompt-text",
            compact=True,
            soft_wrap=True,
            highlight_cursor_line=False,
            placeholder=PLACEHOLDER,
        )
        self.cursor_blink = False
        self.history_of_prompts = history
        self.completing = False
        self.enter_sends: Callable[[], bool] = lambda: False  # although something is offered
        self.last_key_at = 0.0
        self._pasted_at = 0.0
        self._recalling = False
        self._warned = ""  # the text that the person was warned of

    def put(self, text: str) -> None:
        """Replace the text, with the cursor at its end; can be undone."""
        self._recalling = True
        self.replace(text, (0, 0), self.document.end)
        self.move_cursor(self.document.end)
        self._recalling = False

    async def _on_key(self, event: Key) -> None:
        self.last_key_at = time.monotonic()
        if event.time - self._pasted_at < PASTE_ECHO and self._rest_of_paste(event):
            return
        if self._special(event.key):
            event.stop()
            event.prevent_default()
            return
        await super()._on_key(event)

    async def _on_paste(self, event: Paste) -> None:
        event.stop()
        event.prevent_default()
        self._pasted_at = event.time
        self.last_key_at = time.monotonic()
        self._insert(clean(event.text))

    def _rest_of_paste(self, event: Key) -> bool:
        # A pasted text may hold the sequence that ends a paste: what follows arrives as keys, in the same moment.
        text = "\n" if event.key in (SEND, *NEWLINE) else (event.character or "") if event.is_printable else ""
        if not text:
            return False
        event.stop()
        event.prevent_default()
        self._pasted_at = event.time
        self._insert(text)
        return True

    def _insert(self, text: str) -> None:
        result = self.replace(text, *self.selection)
        self.move_cursor(result.end_location)

    def _special(self, key: str) -> bool:
        if self.completing and key in _COMPLETER and not (key == SEND and self.enter_sends()):
            self.post_message(self.Wanted(_COMPLETER[key]))
            return True
        if key == SEND:
            self._send()
        elif key in NEWLINE:
            self._insert("\n")
        elif key in (EDITOR, SEARCH):
            self.post_message(self.Wanted("editor" if key == EDITOR else "history"))
        elif key == "tab":
            self.post_message(self.Wanted("complete"))
        elif key == END and not self.text:
            self.post_message(self.Wanted("end"))
        elif key == "up" and self.cursor_at_first_line and self.selection.is_empty:
            return self._earlier()
        elif key == "down" and self.cursor_at_last_line and self.selection.is_empty:
            return self._later()
        else:
            return False
        return True

    def _send(self) -> None:
        row, column = self.cursor_location
        if self.document.get_line(row)[:column].endswith("\\"):
            self.replace("\n", (row, column - 1), (row, column))
        elif self.text.strip():
            self.send()
        else:
            self.post_message(self.Wanted("go_on"))

    def send(self) -> None:
        """Send the text, and empty the box at once: the next keys may come before the message is heard.

        A text with something in it that looks like a key is sent by the second Enter.
        """
        text = self.text
        from letta_code.safety.secrets import secret_warning

        if text != self._warned and (warning := secret_warning(text)):
            self._warned = text
            self.post_message(self.Warned(f"{warning} Enter again sends, Esc edits."))
            return
        self._warned = ""
        self.put("")
        self.post_message(self.Submitted(text))

    def _earlier(self) -> bool:
        if not self.text:
            self.post_message(self.Wanted("take_back"))
            return True
        return self.recall_earlier()

    def recall_earlier(self) -> bool:
        """Show the prompt before this one; False when there is none."""
        text = self.history_of_prompts.earlier(self.text)
        if text is None:
            return False
        self.put(text)
        self.move_cursor((0, 0))
        return True

    def _later(self) -> bool:
        text = self.history_of_prompts.later(self.text)
        if text is None:
            return False
        self.put(text)
        return True

    @property
    def recalling(self) -> bool:
        """Whether the text is being replaced by the program and not by the person."""
        return self._recalling


_COMPLETER = {
    "enter": "accept",
    "tab": "accept",
    "up": "previous",
    "down": "next",
    "ctrl+p": "previous",
    "ctrl+n": "next",
    "escape": "close",
}


class Prompt(Horizontal):
    """The box: a sign that tells what Enter will do, and the text."""

    def __init__(self, history: PromptHistory) -> None:
        super().__init__(id="prompt")
        self.area = PromptArea(history)
        self._history = history
        self._sign = Static("❯", markup=False, id="prompt-sign")
        self._draft_timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Sign and text."""
        yield self._sign
        yield self.area

    @property
    def text(self) -> str:
        """What is written."""
        return self.area.text

    def take(self) -> str:
        """Empty the box, and give what was in it."""
        text = self.area.text
        self.area.put("")
        self.save_draft()
        return text

    def restore(self, text: str) -> None:
        """Put words back in front of what is written since."""
        present = self.area.text
        if text and text != present:
            self.area.put(f"{text}\n{present}" if present.strip() else text)

    def show_mode(self, mode: str) -> None:
        """Colour the box by the mode."""
        for name in ("plan", "ask", "auto", "full"):
            self.set_class(name == mode, f"mode-{name}")

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """The sign follows the text; the draft is written after a moment of quiet."""
        text = self.area.text
        self._sign.update("$" if text.startswith("!") else "❯")
        self.set_class(text.startswith("!"), "shell")
        if self._draft_timer is None:
            self._draft_timer = self.set_timer(DRAFT_DELAY, self.save_draft)

    def save_draft(self) -> None:
        """Write the draft now."""
        if self._draft_timer is not None:
            self._draft_timer.stop()
            self._draft_timer = None
        self._history.save_draft(self.area.text)
