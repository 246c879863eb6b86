"""Unfinished: the cards that grow while the model writes and a tool prints, until the journal has the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_code.core.events import CallDelta, ReasoningDelta, TextDelta
from letta_code.tui.cards import AssistantCard, Growing, ReasoningCard, Tail, ToolCard

if TYPE_CHECKING:
    from letta_code.tui.view_state import ViewState


def thought_of(message_id: str) -> str:
    """The key of the card with a message's reasoning."""
    return f"thought-{message_id}"


class Unfinished:
    """Of one screen's state, whose cards it makes, fills and takes away."""

    def __init__(self, state: ViewState) -> None:
        self._state = state
        self._texts: dict[str, Growing] = {}  # by the card's key
        self._tails: dict[str, Tail] = {}  # by the call
        self._cards: dict[str, list[str]] = {}  # by the message: the cards that were made for its parts

    def grow(self, event: TextDelta | ReasoningDelta | CallDelta) -> bool:
        """More of a message came; False when it was whole already."""
        match event:
            case CallDelta():
                self._call(event)
                return True
            case TextDelta():
                return self._text(event.message_id, event, AssistantCard)
            case ReasoningDelta():
                return self._text(thought_of(event.message_id), event, ReasoningCard)

    def _text(
        self, key: str, event: TextDelta | ReasoningDelta, kind: type[AssistantCard] | type[ReasoningCard]
    ) -> bool:
        card = self._state.cards.get(key)
        if card is None:
            card = kind(key=key)
            self._cards.setdefault(event.message_id, []).append(key)
            self._state.add_to_run(card)
        if not isinstance(card, AssistantCard | ReasoningCard) or card.done:
            return False
        if kind is AssistantCard:
            self._end_thought(event.message_id)
        growing = self._texts.setdefault(key, Growing())
        if growing.add(event.offset, event.text):
            card.text = growing.text
            self._state.touch(key)
        return True

    def _call(self, event: CallDelta) -> None:
        if event.call_id not in self._state.cards:
            self._cards.setdefault(event.message_id, []).append(event.call_id)
            self._state.tool(event.call_id, event.name).status = "writing"
        card = self._state.tool(event.call_id, event.name)
        if card.status == "writing":
            card.typed = max(card.typed, event.characters)
        self._end_thought(event.message_id)

    def _end_thought(self, message_id: str) -> None:
        thought = self._state.cards.get(thought_of(message_id))
        if isinstance(thought, ReasoningCard) and not thought.done:
            thought.done = True
            self._state.touch(thought.key)

    def output(self, call_id: str, offset: int, text: str) -> None:
        """A running call printed something."""
        card = self._state.cards.get(call_id)
        if not isinstance(card, ToolCard) or not card.open:
            return
        tail = self._tails.setdefault(call_id, Tail())
        if tail.add(offset, text):
            card.output = tail.text
            self._state.touch(call_id)

    def drop(self, message_id: str) -> None:
        """A message will never be whole: what there was of it goes."""
        for key in self._cards.pop(message_id, ()):
            self._texts.pop(key, None)
            card = self._state.cards.get(key)
            if isinstance(card, ToolCard) and card.status != "writing":
                continue
            self._state.remove(key)

    def drop_all(self) -> None:
        """No message that was begun is told on, and no output."""
        for message_id in [*self._cards]:
            self.drop(message_id)
        self._tails.clear()

    def written(self, message_id: str) -> None:
        """A message is whole."""
        self._cards.pop(message_id, None)
        for key in (message_id, thought_of(message_id)):
            self._texts.pop(key, None)

    def printed(self, call_id: str) -> None:
        """A call has its result."""
        self._tails.pop(call_id, None)

    def forget(self) -> None:
        """The run is over: what stands there stays as it is."""
        self._cards.clear()
        self._texts.clear()
        self._tails.clear()
