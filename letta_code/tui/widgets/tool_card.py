"""Tool card: one call, its state and what it showed; folds."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.content import Content
from textual.widget import AwaitMount, Widget
from textual.widgets import Static

from letta_code.core.display import DisplayBlock, ShellBlock
from letta_code.tui.blocks import draw
from letta_code.tui.blocks.shell import output_content, shell_content
from letta_code.tui.blocks.summary import ENOUGH, summary
from letta_code.tui.blocks.text import text_content
from letta_code.tui.cards import ToolCard
from letta_code.tui.clean import clean_line
from letta_code.tui.widgets.folding import FoldingView
from letta_code.tui.wording import seconds_text

SIGNS = {
    "writing": ("…", "$foreground 75%"),
    "waiting": ("○", "$foreground 75%"),
    "approval": ("?", "$text-warning"),
    "running": ("●", "$text-accent"),
    "ok": ("✓", "$text-success"),
    "error": ("✗", "$text-error"),
    "denied": ("⊘", "$text-warning"),
    "interrupted": ("■", "$text-warning"),
    "unknown": ("?", "$text-warning"),
}
WORDS = {
    "approval": "waits for your answer",
    "denied": "not allowed",
    "interrupted": "interrupted",
    "unknown": "it is not known whether this took effect",
}


class ToolView(FoldingView):
    """Draws a `ToolCard`; Enter or a click unfolds it."""

    def __init__(self, card: ToolCard, full: bool = False) -> None:
        super().__init__(full, "card tool")
        self._card = card
        self._title = Static(self._head(), markup=False, classes="tool-title")
        self._drawn: tuple[object, ...] = ()
        self._live: Static | None = None

    def compose(self) -> ComposeResult:
        """The title, then what there is to show."""
        yield self._title
        self._drawn = self._look()
        yield from self._body()

    def show(self, card: ToolCard) -> AwaitMount | None:
        """Draw the card's new state; what is given back ends when its new parts have their style."""
        self._card = card
        if self._live is not None and card.open and self._drawn == self._look():
            self._live.update(output_content(card.output, full=False) or "")
        elif self._drawn != self._look():
            return self.redraw()
        self._title.update(self._head())
        return None

    @property
    def titles(self) -> tuple[Widget, ...]:
        """The line of the call."""
        return (self._title,)

    def _look(self) -> tuple[object, ...]:
        """What the body depends on: when it is the same, nothing is mounted anew."""
        card = self._card
        return (
            self.full,
            card.open,
            card.status == "error",
            card.blocks,
            card.text if not card.blocks else "",
            bool(card.output),
        )

    def redraw(self) -> AwaitMount:
        """Draw the line and what there is to show."""
        self._title.update(self._head())
        self._drawn = self._look()
        self._live = None
        return self.put_below(self._body())

    def _body(self) -> list[Widget]:
        card = self._card
        if card.open or (card.output and not card.blocks):
            if not card.output:
                return []
            self._live = Static(output_content(card.output, self.full) or "", markup=False, classes="shell")
            return [self._live]
        blocks = [block for block in card.blocks if self.full or not isinstance(block, ENOUGH)]
        body: list[Widget] = [draw(block, full=self.full) for block in blocks if not _silent(block, self.full)]
        if card.text.strip() and ((card.status != "ok" and not body) or (self.full and not card.blocks)):
            body.append(Static(text_content(card.text, self.full, lines=4), markup=False, classes="text"))
        return body

    def _head(self) -> Content:
        card = self._card
        sign, style = SIGNS.get(card.status, SIGNS["unknown"])
        title = clean_line(card.title or card.name)
        name, rest = ("", title)
        if title.startswith(card.name):
            name, rest = card.name, title[len(card.name) :]
        if card.by_person:
            sign, name, rest = "$", "", title
        if card.by_person and card.open:
            rest += "  Esc stops it"
        parts: list[Content | tuple[str, str]] = [(f"{sign} ", style), (name, "bold"), (rest, "$foreground")]
        if card.status == "writing":
            parts.append((f" {card.typed:,} characters" if card.typed else "", "$foreground 75%"))
        extras = [extra for block in card.blocks if (extra := summary(block))] if not card.open else []
        for extra in extras[:1]:
            parts += [("  ", ""), extra]
        if card.status in WORDS:
            parts.append((f"  {WORDS[card.status]}", style))
        if card.seconds >= 1 and not card.open:
            parts.append((f"  {seconds_text(card.seconds)}", "$foreground 75%"))
        if not card.open and not self.full and (card.blocks or card.text.strip()):
            parts.append(("  ▸", "$foreground 45%"))
        return Content.assemble(*parts)


def _silent(block: DisplayBlock, full: bool) -> bool:
    """Whether a command printed nothing and went well: its title says it all."""
    return isinstance(block, ShellBlock) and not shell_content(block, full)
