"""Memory cards: what became of the context and of memory, one line each that unfolds."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from letta_code.agent.compacting.wording import unframed
from letta_code.commands.wording import compacted, reflected, reminded
from letta_code.core.display import MemoryBlock
from letta_code.tui.blocks import draw
from letta_code.tui.cards import CompactedCard, EvictedCard, MemoryCard, ReflectionCard
from letta_code.tui.clean import clean, clean_line
from letta_code.tui.memory_authors import placed
from letta_code.tui.widgets.folding import FoldingView
from letta_code.tui.widgets.markdown_cards import SafeMarkdown

QUIET = "$foreground 75%"
_SIGN = 2  # cells that the sign of a card takes
FoldingCard = CompactedCard | ReflectionCard | MemoryCard


class MemoryCardView(FoldingView):
    """Draws such a card; Enter or a click unfolds what there is to read."""

    def __init__(self, card: FoldingCard, full: bool = False) -> None:
        super().__init__(full, "card tool memory-card")
        self._card = card
        line = self._head()
        self._sign = Static(line[:_SIGN], markup=False, classes="memory-card-sign")
        self._title = Static(line[_SIGN:], markup=False, classes="memory-card-title")

    def compose(self) -> ComposeResult:
        """The line, which goes on beside its sign, and below it what there is to read."""
        with Horizontal(classes="memory-card-head"):
            yield self._sign
            yield self._title
        if self.full:
            yield from body(self._card)

    def show(self, card: FoldingCard) -> None:
        """Draw the card's new state."""
        self._card = card
        self.redraw()

    @property
    def titles(self) -> tuple[Widget, ...]:
        """The sign and the line beside it."""
        return self._sign, self._title

    def redraw(self) -> None:
        """Draw the line, and what there is to read where it is unfolded."""
        line = self._head()
        self._sign.update(line[:_SIGN])
        self._title.update(line[_SIGN:])
        self.put_below(body(self._card) if self.full else ())

    def _head(self) -> Content:
        line = head(self._card)
        return line if self.full else Content.assemble(line, ("  ▸", "$foreground 45%"))


def head(card: FoldingCard) -> Content:
    """The card in one line."""
    match card:
        case CompactedCard(event=event):
            note = f"  {clean_line(event.note)}" if event.note else ""
            tone = "$text-accent" if event.method == "summary" else "$text-warning"
            return Content.assemble(("⇣ ", tone), compacted(event), (note, QUIET))
        case ReflectionCard(event=event, verdict=verdict, text=text, hint=hint):
            tone = {"failed": "$text-error", "waiting": "$text-warning"}.get(verdict or event.status, "$text-accent")
            line = reflected(event, verdict) if verdict or not text else text
            if event.status == "waiting" and not verdict:
                hint = "F2 shows and decides it"
            elif verdict or event.status == "merged":  # how to undo it stands in the history, on F2
                hint = ""
            return Content.assemble(("◆ ", tone), clean_line(line), (f"  {clean_line(hint)}" if hint else "", QUIET))
        case MemoryCard(text=text, here=here):
            return Content.assemble(
                ("◆ ", "$text-accent"), ("The agent was told: ", QUIET), clean_line(told(text, here))
            )


def told(text: str, here: str) -> str:
    """What a reminder about memory says, without the values, as it is seen from a conversation."""
    return placed(reminded(text), here).replace("the person", "you")


def body(card: FoldingCard) -> list[Widget]:
    """What stands below it when it is unfolded."""
    match card:
        case CompactedCard(event=event):
            text = unframed(event.summary)
            parts: list[Widget] = [SafeMarkdown(clean(text))] if text else []
            parts += _listed("Word for word in the summary, or in a block", event.kept)
            return parts + _listed("Added to it from the log, word for word", event.put_back)
        case ReflectionCard(event=event, verdict=verdict):  # until it is decided the line above says why
            said = event.why if verdict else ""
            why = [Static(clean(said), markup=False, classes="text")] if said else []
            blocks: list[Widget] = []
            for block in event.blocks:
                if isinstance(block, MemoryBlock):
                    blocks.append(Static(Content.styled(clean_line(block.label), "bold"), markup=False, classes="text"))
                blocks.append(draw(block, full=True))
            return [*why, *blocks]
        case MemoryCard(text=text):
            return [Static(Content.styled(clean(text), QUIET), markup=False, classes="text")]


def _listed(title: str, items: tuple[str, ...]) -> list[Widget]:
    if not items:
        return []
    lines = [Content.styled(title, "bold"), *(Content.assemble(("· ", QUIET), clean_line(item)) for item in items)]
    return [Static(Content("\n").join(lines), markup=False, classes="text")]


class EvictedView(Static):
    """The line below what the model does not see any more."""

    ALLOW_SELECT = False

    def __init__(self, card: EvictedCard) -> None:
        text = "▲ above: no longer in the model's context, still searchable"
        super().__init__(Content.styled(text, "$foreground 60%"), markup=False, classes="card evicted")

    def show(self, card: EvictedCard) -> None:
        """It does not change."""
