"""Transcript: what was said and done as text that another reader (a summary, a reflection) gets as quoted data.

    2026-11-21
    [12] person: Use tabs.
      And no semicolons.
    [13] agent: I will.
    [13] calls Bash: {"command": "make"}
    [14] error of Bash: make: *** No rule

Only the first line of an entry stands at the margin, so that no text can pass for another entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from letta_code.core import events as ev
from letta_code.core.messages import AssistantText, Message, Reminder, Summary, ToolText, UserText, Value, text_of
from letta_code.memory.block import one_line
from letta_code.memory.render import escaped
from letta_code.safety.terminal import strip_controls

_OWN_TAG = re.compile(r"<(?=\s*/?\s*transcript\b)", re.IGNORECASE)


class Lengths(Value):
    """How many characters of each kind of text are shown; the middle of longer ones is left out."""

    person: int = 6_000
    agent: int = 2_500
    call: int = 400
    result: int = 600
    error: int = 1_000


SHORT = Lengths(person=2_000, agent=600, call=160, result=160, error=300)


class Entry(Value):
    """One thing that was said or done: the event it came with, whose it is, the text, and the day (UTC)."""

    seq: int
    who: str
    text: str
    day: str = ""

    def rendered(self) -> str:
        """The entry as its lines of the transcript."""
        text = _OWN_TAG.sub("&lt;", escaped(strip_controls(self.text))).strip("\n")
        return f"[{self.seq}] {self.who}: " + text.replace("\n", "\n  ")


def entries_of(events: Iterable[ev.Event], lengths: Lengths | None = None) -> list[Entry]:
    """The entries of a journal: what persons, the agent and tools said.  What the harness told is left out."""
    found: list[Entry] = []
    for event in events:
        found += _of_event(event, lengths or Lengths())
    return found


def _of_event(event: ev.Event, lengths: Lengths) -> list[Entry]:
    message: Message
    match event:
        case ev.UserMessage():
            message = UserText(message_id=event.message_id, content=event.content)
        case ev.AssistantMessage() if event.finish != "stalled":  # it was asked for again
            message = AssistantText(message_id=event.message_id, text=event.text, tool_calls=event.tool_calls)
        case ev.ToolResult():
            failed = event.status != "ok"
            message = ToolText(
                message_id=event.message_id,
                call_id=event.call_id,
                name=event.name,
                content=event.content,
                is_error=failed,
            )
        case _:
            return []
    return entries_of_message(message, event.seq, lengths, day=event.at[:10])


def entries_of_message(message: Message, seq: int, lengths: Lengths | None = None, *, day: str = "") -> list[Entry]:
    """The entries of one message, which came with the event `seq`."""
    most = lengths or Lengths()

    def entry(who: str, text: str, limit: int) -> Entry:
        return Entry(seq=seq, who=who, text=shortened(text, limit), day=day)

    match message:
        case UserText():
            return [entry("person", text_of(message.content), most.person)]
        case AssistantText():
            said = [entry("agent", message.text, most.agent)] if message.text.strip() else []
            calls = message.tool_calls
            return [*said, *(entry(f"calls {one_line(c.name, 60)}", c.arguments, most.call) for c in calls)]
        case ToolText():
            what = "error" if message.is_error else "result"
            limit = most.error if message.is_error else most.result
            return [entry(f"{what} of {one_line(message.name, 60)}", text_of(message.content), limit)]
        case Reminder():
            return [entry(f"letta-code ({message.kind})", message.text, most.result)]
        case Summary():
            return [entry("summary of what came before", message.text, most.person)]


def rendered(entries: Sequence[Entry]) -> str:
    """Entries as one text, with a line for each day."""
    lines: list[str] = []
    day = ""
    for entry in entries:
        if entry.day and entry.day != day:
            day = entry.day
            lines.append(day)
        lines.append(entry.rendered())
    return "\n".join(lines)


def shortened(text: str, limit: int) -> str:
    """A text of at most about `limit` characters: two thirds of its beginning, one third of its end."""
    text = text.strip()
    if len(text) <= limit + 40:  # the mark takes room too
        return text
    head, tail = limit * 2 // 3, limit // 3
    return f"{text[:head]} [… {len(text) - head - tail} characters …] {text[-tail:]}"
