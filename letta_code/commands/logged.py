"""Logged: events of a journal as lines for a person; no command of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from letta_code.commands.wording import tokens
from letta_code.core import events as ev
from letta_code.core.messages import ToolCall, text_of
from letta_code.safety.terminal import strip_controls, visible

LINES = 12  # shown of one text
_WIDTH = 200  # of one line
_MESSAGES = (ev.UserMessage, ev.AssistantMessage, ev.ToolResult, ev.ReminderAdded, ev.ContextCompacted)


def last_messages(events: Sequence[ev.Event], count: int) -> Sequence[ev.Event]:
    """The events from the `count`th last message on, with those between; all for a greater count."""
    places = [at for at, event in enumerate(events) if isinstance(event, _MESSAGES)]
    if count <= 0:
        return ()
    return events[places[-count] :] if count < len(places) else events


def lines_of(events: Iterable[ev.Event]) -> list[str]:
    """Each event: its seq, the time, what it is; below it its text, shortened."""
    found: list[str] = []
    for event in events:
        title, text = _told(event)
        found.append(f"{event.seq:>5}  {event.at[11:19] or '        '}  {visible(title)}")
        found += [f"       {line}" for line in _shortened(text)]
    return found


def _shortened(text: str) -> list[str]:
    if not text.strip():
        return []
    lines = strip_controls(text).strip("\n").split("\n")
    shown = lines if len(lines) <= LINES + 1 else lines[:LINES]
    cut = [line if len(line) <= _WIDTH else f"{line[:_WIDTH]}… ({len(line) - _WIDTH:,} more)" for line in shown]
    return [*cut, f"… {len(lines) - LINES:,} more lines"] if len(shown) < len(lines) else cut


def _told(event: ev.Event) -> tuple[str, str]:
    """What an event is, in a line, and its text."""
    match event:
        case ev.UserMessage():
            return "you", text_of(event.content)
        case ev.AssistantMessage():
            return _answer(event), "\n".join([*([event.text] if event.text else []), *map(_call, event.tool_calls)])
        case ev.ToolResult():
            return f"result of {event.name}: {event.status}", text_of(event.content)
        case ev.ReminderAdded():
            return f"reminder: {event.kind}", event.text
        case ev.ContextCompacted():
            return _compacted(event), event.summary
        case ev.ContextPinned():
            return f"head pinned{f': {event.reason}' if event.reason else ''}", ""
        case ev.MessageQueued():
            return "queued", text_of(event.content)
        case ev.Notice():
            return f"notice: {event.level}", event.text
        case ev.RunFinished():
            return f"run finished: {event.reason}, {event.steps} steps", event.error
        case _:
            return _other(event)


def _answer(event: ev.AssistantMessage) -> str:
    mark = "" if event.usage_exact else "~"
    end = "" if event.finish in ("stop", "tool_calls") else f", {event.finish}"
    counts = f"{mark}{tokens(event.usage.input)} in, {mark}{tokens(event.usage.output)} out"
    return f"answer of {event.model}: {counts}{end}"


def _call(call: ToolCall) -> str:
    return f"→ {call.name} {call.arguments}"


def _compacted(event: ev.ContextCompacted) -> str:
    sizes = f"{tokens(event.tokens_before)} → {tokens(event.tokens_after)} tokens"
    return f"compacted ({event.method}, {event.reason}): {event.evicted} messages left, {sizes}"


def _other(event: ev.Event) -> tuple[str, str]:
    """Its type, and its fields as JSON but for those that every event has."""
    name = ev.type_of(event).replace("_", " ")
    if isinstance(event, ev.UnknownEvent):
        return name, event.raw.decode("utf-8", "replace")
    fields: dict[str, object] = msgspec.to_builtins(event)
    rest = {key: value for key, value in fields.items() if key not in ("type", "seq", "at", "run_id") and value}
    return name, msgspec.json.encode(rest).decode() if rest else ""
