"""Messages: what the person and the machine said, one widget a card."""

from __future__ import annotations

from textual.content import Content
from textual.events import Click, Key
from textual.widgets import Static

from letta_code.tui.cards import EndCard, NoticeCard, ReasoningCard, UserCard
from letta_code.tui.clean import clean, clean_line

_LEVELS = {"info": ("·", "$foreground 75%"), "warning": ("!", "$text-warning"), "error": ("✗", "$text-error")}


class UserView(Static):
    """What the person said."""

    def __init__(self, card: UserCard) -> None:
        super().__init__(_user(card), markup=False, classes="card user")

    def show(self, card: UserCard) -> None:
        """Draw the card's new state."""
        self.update(_user(card))


def _user(card: UserCard) -> Content:
    lines = [Content(clean(card.text))] if card.text else []
    lines += [Content.styled(f"+ {clean_line(name)}", "$foreground 75%") for name in card.attached]
    return Content("\n").join(lines)


class ReasoningView(Static, can_focus=True):
    """What the model thinks: one line, all of it when unfolded."""

    def __init__(self, card: ReasoningCard, full: bool = False) -> None:
        self.full = full
        self._card = card
        super().__init__(self._content(), markup=False, classes="card thought")

    def show(self, card: ReasoningCard) -> None:
        """Draw the card's new state."""
        self._card = card
        self.update(self._content())

    def fold(self, full: bool | None = None) -> None:
        """Unfold or fold; the other way round without a wish."""
        self.full = (not self.full) if full is None else full
        self.set_class(self.full, "full")
        self.update(self._content())

    def on_click(self, event: Click) -> None:
        """A click folds, unless text is being selected."""
        if not self.screen.selections:
            event.stop()
            self.fold()

    def on_key(self, event: Key) -> None:
        """Enter and space fold."""
        if event.key in ("enter", "space"):
            event.stop()
            self.fold()

    def _content(self) -> Content:
        if self.full:
            return Content.styled(clean(self._card.text).strip(), "$foreground 75% italic")
        lines = clean(self._card.text).strip().split("\n")
        shown = lines[0] if self._card.done else lines[-1]
        word = "Thought" if self._card.done else "Thinking"
        return Content.assemble((f"{word}  ", "$foreground 75%"), (shown, "$foreground 75% italic"))


class NoticeView(Static):
    """Something the person should know, and what to do."""

    def __init__(self, card: NoticeCard) -> None:
        super().__init__(_notice(card), markup=False, classes="card notice")

    def show(self, card: NoticeCard) -> None:
        """Draw the card's new state."""
        self.update(_notice(card))


def _notice(card: NoticeCard) -> Content:
    sign, style = _LEVELS.get(card.level, _LEVELS["info"])
    parts: list[tuple[str, str]] = [(f"{sign} {clean(card.text)}", style)]
    if card.hint:
        parts.append((f"\n  {clean(card.hint)}", "$foreground 75%"))
    return Content.assemble(*parts)


class EndView(Static):
    """The end of a run."""

    def __init__(self, card: EndCard) -> None:
        super().__init__(Content.styled(card.text, "$foreground 45%"), markup=False, classes="card end")

    def show(self, card: EndCard) -> None:
        """Draw the card's new state."""
        self.update(Content.styled(card.text, "$foreground 45%"))
