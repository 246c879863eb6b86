"""Transcript: the conversation's cards, newest at the bottom; only so many are mounted at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Click
from textual.layout import Layout
from textual.layouts.stream import StreamLayout
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from letta_code.tui.cards import (
    AssistantCard,
    Card,
    CompactedCard,
    EndCard,
    EvictedCard,
    MemoryCard,
    NoticeCard,
    ReasoningCard,
    ReflectionCard,
    SayCard,
    ToolCard,
    UserCard,
)
from letta_code.tui.view_state import ViewState
from letta_code.tui.widgets.messages import EndView, NoticeView, ReasoningView, UserView

RESUME_MESSAGES = 20  # shown of a conversation that is opened again
FIRST_CARDS = 8  # of them, on a small screen: mounted at once, so that the end is on the screen at once
FIRST_ROWS = 3  # rows of the screen for each of these, where it is large
MORE = 40  # cards that come with each look back
MOUNTED_LIMIT = 160  # cards; above this the oldest are put away
MOUNTED_KEEP = 100


@runtime_checkable
class Foldable(Protocol):
    """A view that folds."""

    full: bool

    def fold(self, full: bool | None = None) -> None:
        """Unfold or fold."""
        ...


class Transcript(VerticalScroll, can_focus=False):
    """Draws a `ViewState`'s cards.  It stays at the end unless the person scrolled away."""

    def __init__(self) -> None:
        super().__init__(id="transcript")
        self.full = False
        self._views: dict[str, Widget] = {}
        self._earlier: list[str] = []  # keys of cards that are not mounted, oldest first
        self._missing = 0  # of them, how many are still to come by themselves
        self._marker: Static | None = None
        self._state: ViewState | None = None

    def on_mount(self) -> None:
        """Follow the end from the start."""
        self.anchor()

    def pre_layout(self, layout: Layout) -> None:
        """Measure every card: textual's stream layout keeps the height of a card that changed, when another layout
        runs between the change and the message that tells of it, and that card then stays too short.
        """
        if isinstance(layout, StreamLayout):
            layout._cached_placements = None

    def on_resize(self) -> None:
        """Draw the scroll bar again: textual leaves it as it was when a resize moves the end."""

        def follow() -> None:
            if self.show_vertical_scrollbar:
                self.vertical_scrollbar.refresh()

        self.call_after_refresh(follow)

    @property
    def views(self) -> Sequence[Widget]:
        """The mounted cards, in order."""
        return [child for child in self.children if child is not self._marker]

    async def begin(self, state: ViewState) -> None:
        """Show another conversation, its last messages only: the last cards at once, the others in the next frames."""
        await self.remove_children()
        self._views, self._marker, self._state = {}, None, state
        keys = list(state.cards)
        start = _start_of_last(state, RESUME_MESSAGES)
        first = max(start, len(keys) - max(FIRST_CARDS, self.size.height // FIRST_ROWS))
        self._earlier = keys[:first]
        await self._mount_new([state.cards[key] for key in keys[first:]])
        await self._mark_earlier(len(keys[:start]))
        self.anchor()
        self._missing = first - start
        self.call_after_refresh(self._fill)

    async def _fill(self) -> None:
        """Mount the rest of what an opened conversation shows, a few cards a frame, so that keys are never held up."""
        if self._missing <= 0 or self._state is None:
            return
        await self.show_earlier(min(FIRST_CARDS, self._missing))
        self.call_after_refresh(self._fill)

    async def sync(self, state: ViewState, keys: Sequence[str]) -> None:
        """Draw what changed."""
        self._state = state
        new: list[Card] = []
        between: list[EvictedCard] = []
        hidden = set(self._earlier)
        for key in keys:
            card, view = state.cards.get(key), self._views.get(key)
            if card is None:
                if view is not None:
                    del self._views[key]
                    await view.remove()
            elif view is None:
                if isinstance(card, EvictedCard):
                    between.append(card)
                elif key not in hidden:
                    new.append(card)
            else:
                await self._show(view, card)
        await self._mount_new(new)
        for card in between:
            await self._insert(card, state)
        await self._prune()

    def fold_all(self) -> None:
        """Unfold everything, or fold it again."""
        self.full = not self.full
        with self.app.batch_update():
            for view in self.views:
                if isinstance(view, Foldable):
                    view.fold(self.full)

    async def show_earlier(self, count: int = MORE) -> None:
        """Mount older cards above, and stay at the place that was being read."""
        state = self._state
        if not self._earlier or state is None:
            return
        keys, self._earlier = self._earlier[-count:], self._earlier[:-count]
        self._missing = max(self._missing - len(keys), 0)
        views = [self._make(state.cards[key]) for key in keys if key in state.cards]
        before = self.virtual_size.height
        first = self.views[0] if self.views else None
        await self.mount_all(views, before=first)
        self._views = {key: self._views[key] for key in (*keys, *self._views) if key in self._views}  # in their order
        await self._mark_earlier(len(self._earlier) - self._missing)
        if self.is_anchored and not self._anchor_released:
            return  # the end stays in sight by itself

        def keep_place() -> None:
            self.scroll_to(y=self.scroll_y + self.virtual_size.height - before, animate=False, force=True)

        self.call_after_refresh(keep_place)

    def on_folded(self, event: Message) -> None:
        """Stay at the card that was unfolded, instead of following the end."""
        event.stop()
        view: Widget = event.view  # type: ignore[attr-defined]  # folding.Folded, imported late
        self.release_anchor()

        def stay() -> None:
            self.scroll_to_widget(view, animate=False, top=view.region.height > self.size.height, force=True)

        self.call_after_refresh(stay)

    async def page(self, direction: int) -> None:
        """Scroll by a page; at the top, older cards come."""
        if direction < 0 and self.scroll_y <= 0 and self._earlier:
            await self.show_earlier()
        elif direction < 0:
            self.scroll_page_up(animate=False, force=True)
        else:
            self.scroll_page_down(animate=False, force=True)

    def to_end(self, direction: int) -> None:
        """To the oldest mounted card, or to the end, and stay there."""
        if direction < 0:
            self.scroll_home(animate=False, force=True)
        else:
            self.anchor()

    def walk(self, here: Widget | None, step: int, end: Widget) -> None:
        """Give the focus to the next card that folds, or to `end` behind the last one."""
        cards: list[Widget] = [view for view in self.views if isinstance(view, Foldable)]
        if not cards:
            return
        place = max((cards.index(here) if here is not None and here in cards else len(cards)) + step, 0)
        (cards[place] if place < len(cards) else end).focus()

    # ------------------------------------------------------------ inside

    async def _mount_new(self, cards: Sequence[Card]) -> None:
        if not cards:
            return
        await self.mount_all([self._make(card) for card in cards])
        for card in cards:
            # an answer's first words come with its card: they start the stream
            if isinstance(card, AssistantCard) and not card.done:
                await self._show(self._views[card.key], card)

    async def _insert(self, card: EvictedCard, state: ViewState) -> None:
        """Mount a card in its place among the others, or put it away where its neighbour is not mounted either."""
        keys = list(state.cards)
        following = keys[keys.index(card.key) + 1 :]
        after = next((key for key in following if key in self._views or key in self._earlier), "")
        if after in self._earlier:
            self._earlier.insert(self._earlier.index(after), card.key)
            return
        below = self._views.get(after)
        await self.mount(self._make(card), before=below)
        self._views = {key: self._views[key] for key in keys if key in self._views}

    async def _show(self, view: Widget, card: Card) -> None:
        shown = view.show(card)  # type: ignore[attr-defined]  # every view made below has it
        if shown is not None:
            await shown

    def _make(self, card: Card) -> Widget:
        view = self._view(card)
        self._views[card.key] = view
        return view

    def _view(self, card: Card) -> Widget:
        match card:
            case UserCard():
                return UserView(card)
            case ReasoningCard():
                return ReasoningView(card, self.full)
            case NoticeCard():
                return NoticeView(card)
            case EndCard():
                return EndView(card)
            case EvictedCard():
                from letta_code.tui.widgets.memory_cards import EvictedView

                return EvictedView(card)
            case CompactedCard() | ReflectionCard() | MemoryCard():
                from letta_code.tui.widgets.memory_cards import MemoryCardView

                return MemoryCardView(card, self.full)
            case ToolCard():
                # imported late, as below: the first frame has no cards
                from letta_code.tui.widgets.tool_card import ToolView

                return ToolView(card, self.full)
            case AssistantCard():
                from letta_code.tui.widgets.markdown_cards import AssistantView

                return AssistantView(card)
            case SayCard():
                from letta_code.tui.widgets.markdown_cards import SayView

                return SayView(card)

    async def _prune(self) -> None:
        # Only at the end: a person who reads above must not lose what is being read.
        if len(self._views) <= MOUNTED_LIMIT or self.scroll_y < self.max_scroll_y - 2:
            return
        keys = list(self._views)[: len(self._views) - MOUNTED_KEEP]
        views = [self._views.pop(key) for key in keys]
        self._earlier += keys
        with self.app.batch_update():
            await self.remove_children(views)
            await self._mark_earlier()

    async def _mark_earlier(self, count: int | None = None) -> None:
        count = len(self._earlier) if count is None else count
        if not count:
            if self._marker is not None:
                await self._marker.remove()
                self._marker = None
            return
        text = Content.styled(f"▲ {count:,} earlier — PgUp at the top, or a click", "$foreground 75%")
        if self._marker is None:
            self._marker = Static(text, markup=False, classes="earlier")
            await self.mount(self._marker, before=0)
        else:
            self._marker.update(text)

    async def on_click(self, event: Click) -> None:
        """A click on the line at the top brings older cards."""
        if event.widget is not None and event.widget is self._marker:
            await self.show_earlier()


def _start_of_last(state: ViewState, messages: int) -> int:
    """The index of the card from which on so many messages follow."""
    cards = list(state.cards.values())
    left = messages
    for index in range(len(cards) - 1, -1, -1):
        if isinstance(cards[index], UserCard | AssistantCard):
            left -= 1
            if left == 0:
                return index
    return 0
