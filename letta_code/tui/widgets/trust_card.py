"""Trust card: may this folder's own settings, servers, skills and hooks be used?  Asked once, before anything opens."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Key
from textual.widget import Widget
from textual.widgets import Static

from letta_code.core.counts import many
from letta_code.safety.trust import Shown, Standing, choice, shown
from letta_code.tui.clean import clean_line
from letta_code.tui.widgets.ask import GRACE, Ask
from letta_code.tui.widgets.choices import Choices, Option
from letta_code.tui.wording import folder_text


def _options(standing: Standing) -> tuple[Option, ...]:
    means = choice(standing)
    return (
        Option("trust", "Trust it", means.yes),
        Option("without", "Work without it", means.no),
        Option("leave", "Leave"),
    )


class TrustCard(Ask):
    """Takes the prompt's place; `chosen` gets trust, without or leave."""

    def __init__(self, standing: Standing, chosen: Callable[[str], None], grace: float = GRACE) -> None:
        super().__init__("", grace)
        self._standing = standing
        self._chosen = chosen
        # An Enter too many must not be what lets a stranger's files decide.
        self._choices = Choices(_options(standing), numbered=True, gate=self.ready, cursor=1)

    def compose(self) -> ComposeResult:
        """The question, what there is, the choices, keys."""
        place = clean_line(folder_text(self._standing.root))
        changed = bool(self._standing.news)
        title = f"What decides how I work in {place} has changed." if changed else f"Do you trust {place}?"
        yield Static(Content.styled(title, "bold $text-warning"), markup=False, classes="ask-title")
        why = "These files of the folder decide what I do. Trust them if you know who wrote them."
        yield Static(Content.styled(why, "$foreground 75%"), markup=False, classes="ask-reason")
        with VerticalScroll(classes="ask-body", can_focus=False):
            yield from (_drawn(thing) for thing in shown(self._standing))
        yield self._choices
        keys = "↑↓ or a number, Enter  ·  PgUp PgDn read it all  ·  Esc works without it"
        yield Static(keys, markup=False, classes="ask-keys")

    def on_mount(self) -> None:
        """Take the keys."""
        super().on_mount()
        self._choices.focus()

    def on_key(self, event: Key) -> None:
        """Esc works without it; Ctrl+D leaves, as from an empty prompt."""
        if event.key in ("escape", "ctrl+d"):
            event.stop()
            self._choose("without" if event.key == "escape" else "leave")

    def on_choices_picked(self, event: Choices.Picked) -> None:
        """Done."""
        event.stop()
        self._choose(event.option.id)

    def _choose(self, what: str) -> None:
        if not self.too_early:
            self._chosen(what)


def _drawn(thing: Shown) -> Widget:
    parts = [Content.styled(thing.title, "bold" if thing.lines else "$foreground 75%")]
    parts += [Content.styled(f"  {line}", "$foreground") for line in thing.lines]
    if thing.more:
        parts.append(Content.styled(f"  … {many(thing.more, 'line')} more", "$foreground 75%"))
    return Static(Content("\n").join(parts), markup=False, classes="text")
