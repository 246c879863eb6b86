"""Approval: may this call run?  Shows the real command or diff to its end, and what a yes would be remembered as."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Key
from textual.widget import Widget
from textual.widgets import Input, Static

from letta_code.core.display import DisplayBlock, ShellBlock, TextBlock
from letta_code.core.requests import ApprovalRequest, Approve, Deny
from letta_code.safety.terminal import visible
from letta_code.tui.blocks import draw
from letta_code.tui.clean import clean_line
from letta_code.tui.widgets.ask import GRACE, Ask
from letta_code.tui.widgets.choices import Choices, Option

_SCOPES = (
    ("conversation", "Yes, in this conversation always"),
    ("project", "Yes, in this project always"),
    ("always", "Yes, always and everywhere"),
)
_BEFORE = 4  # cells before an option's text: the cursor and the number


class ApprovalCard(Ask):
    """Takes the prompt's place until the person says yes or no."""

    def __init__(self, request: ApprovalRequest, grace: float = GRACE) -> None:
        super().__init__(request.request_id, grace)
        self._request = request
        self._offer = 0
        self._width = 80
        self._choices = Choices(self._options(), numbered=True, gate=self.ready)
        if request.destructive:
            self._choices.set_reactive(Choices.cursor, self._index("no"))
        self._rule = Static("", markup=False, classes="ask-rule")
        self._words: Input | None = None

    def compose(self) -> ComposeResult:
        """What is asked, why, the thing itself, the rule, the choices."""
        request = self._request
        command = any(isinstance(block, ShellBlock) for block in request.blocks)
        what = "this command" if command else visible(request.title or request.tool).replace("\n", " ")
        self.set_class(request.destructive, "destructive")
        yield Static(
            Content.assemble(
                ("Careful. Allow ", "bold $text-error") if request.destructive else ("Allow ", "bold $text-warning"),
                (what, "bold"),
                ("?", "bold"),
            ),
            markup=False,
            classes="ask-title",
        )
        if request.reason:
            yield Static(
                Content.styled(clean_line(request.reason), "$foreground 75%"), markup=False, classes="ask-reason"
            )
        with VerticalScroll(classes="ask-body", can_focus=False):
            yield from self._body()
        yield self._choices
        yield self._rule
        yield Static(
            "↑↓ or a number, Enter  ·  PgUp PgDn read it all  ·  Esc stops the run", markup=False, classes="ask-keys"
        )

    def on_mount(self) -> None:
        """Take the keys."""
        super().on_mount()
        self._choices.focus()
        self._show_rule()

    def on_resize(self) -> None:
        """Another width: more or less of the rules fits."""
        super().on_resize()
        self._width = self.content_size.width
        self._show_patterns()

    def on_key(self, event: Key) -> None:
        """y and n answer; left and right choose another rule."""
        if self._words is not None:
            if event.key == "escape":
                event.stop()
                self._close_words()
            return
        if self.too_early:
            return
        if event.key == "y":
            self._choose("once")
        elif event.key == "n":
            self._choose("no")
        elif event.key in ("left", "right") and len(self._request.offers) > 1:
            self._offer = (self._offer + (1 if event.key == "right" else -1)) % len(self._request.offers)
            self._show_patterns()
            self._show_rule()
        else:
            return
        event.stop()

    def on_choices_moved(self) -> None:
        """The rule belongs to the highlighted choice."""
        self._show_rule()

    def on_choices_picked(self, event: Choices.Picked) -> None:
        """A choice was made."""
        event.stop()
        self._choose(event.option.id)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """No, and the words for the model."""
        event.stop()
        self.respond(Deny(message=event.value.strip()))

    # ------------------------------------------------------------ inside

    def _options(self) -> list[Option]:
        options = [Option("once", clean_line(self._request.yes) or "Yes, this once")]
        if self._request.offers:
            options += [Option(scope, text, self._pattern(text)) for scope, text in _SCOPES]
        return [*options, Option("no", "No"), Option("tell", "No, and say what to do instead")]

    def _pattern(self, text: str) -> str:
        """The rule that a number stands for, on that number's line: as much of both its ends as fits."""
        from rich.cells import cell_len

        pattern = visible(self._request.offers[self._offer].pattern).replace("\n", " ")
        room = max(self._width - _BEFORE - len(text) - 2, 12)
        if cell_len(pattern) <= room:
            return pattern
        head, tail = pattern, pattern
        while cell_len(head) > (room - 1) // 2:
            head = head[:-1]
        while cell_len(tail) > (room - 1) // 2:
            tail = tail[1:]
        return f"{head}…{tail}"

    def _show_patterns(self) -> None:
        self._choices.options = self._options()
        self._choices.refresh()

    def _index(self, name: str) -> int:
        return [option.id for option in self._choices.options].index(name)

    def _choose(self, name: str) -> None:
        if self.too_early:
            return
        if name == "once":
            self.respond(Approve())
        elif name == "no":
            self.respond(Deny())
        elif name == "tell":
            self._choices.display = False
            self._words = self.words("What should it do instead?  Enter sends, Esc goes back")
        else:
            self.respond(Approve(remember=name, pattern=self._request.offers[self._offer].pattern))

    def _close_words(self) -> None:
        if self._words is not None:
            self._words.remove()
            self._words = None
        self._choices.display = True
        self._choices.focus()

    def _show_rule(self) -> None:
        current = self._choices.current
        offers = self._request.offers
        if not offers or current is None or current.id not in [scope for scope, _ in _SCOPES]:
            self._rule.update("")
            return
        offer = offers[self._offer]
        more = f"  ◂▸ {self._offer + 1} of {len(offers)}" if len(offers) > 1 else ""
        self._rule.update(
            Content.assemble(
                ("Remembered as  ", "$foreground 75%"),
                (visible(offer.pattern), "bold"),
                (f"  {clean_line(offer.text)}" if offer.text else "", "$foreground 75%"),
                (more, "$foreground 75%"),
            )
        )

    def _body(self) -> list[Widget]:
        blocks = self._request.blocks
        if not blocks:
            return [Static("It shows nothing more than its title.", markup=False, classes="line")]
        return [_whole(block) for block in blocks]


def _whole(block: DisplayBlock) -> Widget:
    """All of a block; in commands and texts every hidden character is written out."""
    if isinstance(block, ShellBlock):
        parts = [Content.styled("$ " + visible(block.command), "bold")]
        if block.cwd:
            parts.append(Content.styled(f"in {visible(block.cwd)}", "$foreground 75%"))
        return Static(Content("\n").join(parts), markup=False, classes="shell")
    if isinstance(block, TextBlock):
        return Static(visible(block.text), markup=False, classes="text")
    return draw(block, full=True)
