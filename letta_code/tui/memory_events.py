"""Memory events: what compaction, reflection and edits of memory mean for the screen's state (no textual here)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_code.core import events as ev
from letta_code.core.display import MemoryBlock
from letta_code.tui.cards import CompactedCard, EvictedCard, MemoryCard, NoticeCard, ReflectionCard, ToolCard

if TYPE_CHECKING:
    from letta_code.tui.view_state import ViewState

_SAID = frozenset({ev.UserMessage, ev.AssistantMessage})
_NOTED = frozenset(
    {
        ev.ContextCompacted,
        ev.ReflectionDone,
        ev.ReflectionDecided,
        ev.Notice,
        ev.ReminderAdded,
        ev.ToolResult,
        ev.TodoChanged,
        ev.RunFinished,
        ev.Rewound,
    }
)  # looked up first: a long conversation is opened with ten thousands of events

_COMPACTING = "compacting"
_MAKING_ROOM = "Making room in the context: its oldest messages are being summarised."


def note(state: ViewState, event: ev.Event) -> None:
    """Take a durable event that may have to do with memory."""
    kind = type(event)
    if kind in _SAID:
        _place(state, event)
    elif kind in _NOTED:
        _noted(state, event)


def _noted(state: ViewState, event: ev.Event) -> None:
    match event:
        case ev.ContextCompacted():
            _compacted(state, event)
        case ev.ReflectionDone():
            if event.status not in ("nothing", "cancelled"):  # where that is worth telling, a notice does
                state.add(ReflectionCard(key=event.reflection_id, event=event))
            state.memory_mark += 1
        case ev.Notice(code="reflection"):
            _said_of_reflection(state, event)
        case ev.ReflectionDecided(reflection_id=reflection_id, verdict=verdict):
            card = state.cards.get(reflection_id)
            if isinstance(card, ReflectionCard):
                card.verdict = verdict
                state.touch(reflection_id)
            state.memory_mark += 1
        case ev.ReminderAdded(kind="memory"):
            state.add(MemoryCard(key=event.message_id, text=event.text, here=state.conversation_id))
            state.memory_mark += 1
        case ev.ToolResult(blocks=blocks) if any(isinstance(block, MemoryBlock) for block in blocks):
            state.memory_mark += 1
        case ev.TodoChanged():
            state.memory_mark += 1
        case ev.RunFinished():
            state.remove(_COMPACTING)
        case ev.Rewound():
            _rewound(state, event)
        case _:
            pass


def _rewound(state: ViewState, event: ev.Rewound) -> None:
    """Files and memory may be others now; the place that was gone back to may be in the middle of a run."""
    state.memory_mark += 1
    state.last_run = f"rewound-{event.seq}"
    if not event.to_seq:
        return
    state.running, state.waiting = False, None
    state.requests.clear()
    for card in reversed(state.cards.values()):
        if isinstance(card, ToolCard) and card.open:
            card.status = "interrupted"
            state.touch(card.key)


def note_wait(state: ViewState, event: ev.Waiting) -> None:
    """A card while the context is being compacted; it goes when something else is waited for."""
    if event.phase != "compacting":
        state.remove(_COMPACTING)
    elif _COMPACTING not in state.cards:
        state.add(NoticeCard(key=_COMPACTING, level="info", text=_MAKING_ROOM, hint="Memory blocks stay as they are."))


def _place(state: ViewState, event: ev.Event) -> None:
    """Remember which event a message's cards belong to, so that a compaction finds where the context begins."""
    match event:
        case ev.UserMessage(message_id=key, seq=seq):
            state.places.setdefault(key, seq)
        case ev.AssistantMessage(message_id=key, seq=seq, tool_calls=calls):
            for name in (f"thought-{key}", key, *(call.id for call in calls)):
                state.places.setdefault(name, seq)
        case _:
            pass


def _said_of_reflection(state: ViewState, event: ev.Notice) -> None:
    """The card of a reflection takes the notice about it, which says the same for faces that have no cards."""
    card = next((card for card in reversed(state.cards.values()) if not isinstance(card, NoticeCard)), None)
    if isinstance(card, ReflectionCard) and card.event.seq == event.seq - 1:
        card.text, card.hint = event.text, event.hint
        state.remove(f"notice-{event.seq}")
        state.touch(card.key)


def _compacted(state: ViewState, event: ev.ContextCompacted) -> None:
    state.remove(_COMPACTING)
    state.waiting = None
    state.remove(state.evicted)  # all above the new line has left, too
    line = EvictedCard(key=f"evicted-{event.seq}")
    state.evicted = line.key
    if first := _first_kept(state, event.first_kept_seq):
        state.add_before(first, line)
    else:
        state.add(line)
    state.add(CompactedCard(key=event.message_id or f"compacted-{event.seq}", event=event))


def _first_kept(state: ViewState, seq: int) -> str:
    """The key of the first card that came with this event or a later one, "" for none; it is near the end."""
    first = ""
    for key in reversed(state.cards) if seq > 0 else ():
        place = state.places.get(key, 0)
        if place >= seq:
            first = key
        elif place:
            break
    return first
