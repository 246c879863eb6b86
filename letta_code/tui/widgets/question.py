"""Question: the agent asks the person something; choices where it offers some, and always words of one's own."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.events import Key
from textual.widgets import Input, Static

from letta_code.core.requests import QuestionRequest, Reply
from letta_code.tui.clean import clean, clean_line
from letta_code.tui.widgets.ask import GRACE, Ask
from letta_code.tui.widgets.choices import Choices, Option

_OWN = "own words"


class QuestionCard(Ask):
    """Takes the prompt's place until the person answers."""

    def __init__(self, request: QuestionRequest, grace: float = GRACE) -> None:
        super().__init__(request.request_id, grace)
        self._request = request
        options = [
            Option(str(index), clean_line(choice.label), clean_line(choice.description))
            for index, choice in enumerate(request.choices)
        ]
        self._choices = Choices(
            [*options, Option(_OWN, "Something else…")],
            numbered=not request.several,
            several=request.several,
            gate=self.ready,
        )
        self._words: Input | None = None

    def compose(self) -> ComposeResult:
        """The question, its choices, the keys."""
        with VerticalScroll(classes="ask-body", can_focus=False):
            yield Static(clean(self._request.question), markup=False, classes="ask-title")
        if self._request.choices:
            yield self._choices
        keys = "Space marks, Enter answers" if self._request.several else "↑↓ or a number, Enter answers"
        yield Static(
            f"{keys if self._request.choices else 'Enter answers'}  ·  Esc stops the run",
            markup=False,
            classes="ask-keys",
        )

    def on_mount(self) -> None:
        """Take the keys."""
        super().on_mount()
        if self._request.choices:
            self._choices.focus()
        else:
            self._words = self.words("Your answer")

    def on_key(self, event: Key) -> None:
        """Esc in the words goes back to the choices."""
        if event.key == "escape" and self._words is not None and self._request.choices:
            event.stop()
            self._words.remove()
            self._words = None
            self._choices.display = True
            self._choices.focus()

    def on_choices_picked(self, event: Choices.Picked) -> None:
        """A choice was made, or words of one's own are wanted."""
        event.stop()
        if self.too_early:
            return
        marked = [self._request.choices[int(name)].label for name in sorted(self._choices.marked - {_OWN}, key=int)]
        if (event.option.id == _OWN and not marked) or _OWN in self._choices.marked:
            self._choices.display = False
            self._words = self.words("Your answer  (Esc goes back)")
        elif self._request.several and marked:
            self.respond(Reply(text=", ".join(marked)))
        else:
            self.respond(Reply(text=self._request.choices[int(event.option.id)].label))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Words of one's own, after the labels that were marked."""
        event.stop()
        if event.value.strip():
            marked = [self._request.choices[int(name)].label for name in sorted(self._choices.marked - {_OWN}, key=int)]
            self.respond(Reply(text=", ".join([*marked, event.value.strip()])))
