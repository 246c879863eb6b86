"""Origin: where the lines of a block came from; the change, and what was said in the conversation when it was made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from letta_code.core.events import AssistantMessage, Event, ReflectionDone, ToolResult, UserMessage
from letta_code.core.messages import ToolCall, Value, text_of
from letta_code.memory.block import BlockError, one_line
from letta_code.memory.history import BlamedLine
from letta_code.memory.provenance import REFLECTION, Change
from letta_code.memory.view import View
from letta_code.store.journal import StoredEvent

# The events of a conversation after a seq, at most so many (`Store.read`).
Read: TypeAlias = Callable[[str, int, int | None], list[StoredEvent]]

QUOTED = 240  # characters of what was said
_BACK = (40, 400)  # events that are looked at for what the person had said; the second where the first had nothing


class Moment(Value):
    """What somebody said or did at an event: `who` is you, the agent, tool NAME or the reflection ID.

    `text` is one line, shortened.
    """

    seq: int
    at: str
    who: str
    text: str


class Origin(Value):
    """Neighbouring lines that one change brought, and the moments around it, oldest first.

    `moments` are what the person said last before the event, and the event itself; of what a reflection concluded only
    its own reason, because nobody said it.  `missing` says why there are none where the change names a conversation.
    """

    change: Change
    lines: tuple[BlamedLine, ...]
    moments: tuple[Moment, ...] = ()
    missing: str = ""


def named_line(place: str) -> tuple[str, int]:
    """`LABEL:LINE` in its parts, the line 0 where none is named; raises `BlockError`."""
    label, colon, line = place.strip().rpartition(":")
    if not colon:
        return place.strip(), 0
    if not (label and line.isascii() and line.isdecimal() and int(line[:9]) > 0):
        raise BlockError(f"{place!r} names no line: give LABEL:LINE, such as human:3.")
    return label, int(line[:9])


def chosen(view: View, label: str, lines: Sequence[BlamedLine], number: int) -> Sequence[BlamedLine]:
    """The blamed lines that are meant (0: all); raises `BlockError` for a line that is not there."""
    if not number:
        return lines
    found = [line for line in lines if line.number == number]
    if found:
        return found
    block = view.find(label)
    count = block.value.count("\n") + 1 if block.value else 0
    if number <= count:  # a standard block without a file has lines that no change brought
        return ()
    has = f"has {count} {'line' if count == 1 else 'lines'}" if count else "is empty"
    raise BlockError(f"There is no line {number} in `{block.label}`: it {has}.")


def origins(lines: Sequence[BlamedLine], read: Read) -> list[Origin]:
    """The lines in their order, grouped by the change that brought them, with what the journal says of each."""
    groups: list[list[BlamedLine]] = []
    for line in lines:
        if groups and groups[-1][-1].change.commit == line.change.commit:
            groups[-1].append(line)
        else:
            groups.append([line])
    known: dict[str, tuple[tuple[Moment, ...], str]] = {}
    found: list[Origin] = []
    for group in groups:
        change = group[0].change
        if change.commit not in known:
            known[change.commit] = _told_of(change, read)
        moments, missing = known[change.commit]
        found.append(Origin(change=change, lines=tuple(group), moments=moments, missing=missing))
    return found


def _told_of(change: Change, read: Read) -> tuple[tuple[Moment, ...], str]:
    by = change.provenance
    if not (by.conversation and by.seq):
        return (), ""
    at = read(by.conversation, by.seq - 1, 1)
    if not at or at[0].seq != by.seq:
        return (), "that event is not in this store"
    if by.source == REFLECTION:
        concluded = _concluded(change, read)
        return ((concluded,), "") if concluded else ((), f"concluded from what was said up to event {by.seq}")
    event = at[0].event
    moments = (moment,) if (moment := moment_of(event)) else ()
    if isinstance(event, UserMessage):
        return moments, ""
    said = _said_before(by.conversation, by.seq, read)
    return ((said, *moments) if said else moments), ""


def _concluded(change: Change, read: Read) -> Moment | None:
    """The reflection that brought a change, with its reason; its event stands soon after the last one that it read."""
    by = change.provenance
    for stored in read(by.conversation, by.seq, _BACK[1]):
        event = stored.event
        if isinstance(event, ReflectionDone) and (
            event.reflection_id == by.reflection or event.commit == change.commit
        ):
            events = f"events {by.since} to {by.seq}" if by.since else f"what was said up to event {by.seq}"
            return _moment(
                stored.seq, event.at, f"the reflection {event.reflection_id}, which read {events}", event.why
            )
    return None


def _said_before(conversation: str, seq: int, read: Read) -> Moment | None:
    for back in _BACK:
        start = max(seq - 1 - back, 0)
        for stored in reversed(read(conversation, start, seq - 1 - start)):
            if isinstance(stored.event, UserMessage) and stored.seq < seq:
                return moment_of(stored.event)
        if not start:
            break
    return None


def moment_of(event: Event) -> Moment | None:
    """Who said or did what at an event; None for events that are neither."""
    match event:
        case UserMessage():
            # What was attached, such as a command's output, stands before the words.
            return _moment(event.seq, event.at, "you", text_of(event.content[-1:]))
        case AssistantMessage():
            did = [f"[{_called(call)}]" for call in event.tool_calls]
            return _moment(event.seq, event.at, "the agent", " ".join(filter(None, [event.text.strip(), *did])))
        case ToolResult():
            return _moment(event.seq, event.at, f"tool {event.name}", text_of(event.content))
        case _:
            return None


def _called(call: ToolCall) -> str:
    """A call by its name and, of a memory tool, what it was to do with which block."""
    if "memory" not in call.name:
        return call.name
    try:
        given = msgspec.json.decode(call.arguments, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return call.name
    words = (given.get(name) for name in ("command", "label", "path"))
    return " ".join([call.name, *(word for word in words if isinstance(word, str))])


def _moment(seq: int, at: str, who: str, text: str) -> Moment:
    return Moment(seq=seq, at=at, who=who, text=one_line(text, QUOTED))
