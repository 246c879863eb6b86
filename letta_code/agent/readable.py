"""Readable: a conversation as a Markdown document for people, with what was said, done and decided."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from letta_code.core import events as ev
from letta_code.core.display import DiffBlock
from letta_code.core.messages import text_of
from letta_code.core.requests import Approve, Deny, Reply
from letta_code.safety.terminal import strip_controls
from letta_code.store.conversations import Conversation

_LONGEST_RESULT = 20_000  # characters of a result; the JSON export has all


def markdown(conversation: Conversation, events: Iterable[ev.Event]) -> Iterator[str]:
    """The lines of the document.

    Instructions and reminders to the model are left out; long results are cut, and say so.
    """
    yield f"# {_line(conversation.name)}"
    yield ""
    yield f"- conversation: `{conversation.id}`"
    yield f"- agent: `{conversation.agent_id}`"
    yield f"- folder: `{_line(conversation.cwd)}`"
    yield f"- from {conversation.created_at} to {conversation.updated_at}"
    for event in events:
        yield from _event(event)


def _event(event: ev.Event) -> Iterator[str]:
    match event:
        case ev.UserMessage():
            yield from _said("Person", event, text_of(event.content))
        case ev.AssistantMessage():
            yield from _said(f"Agent ({_line(event.model)})", event, event.text)
            for call in event.tool_calls:
                yield from ("", f"**{_line(call.name)}**", "", *_fenced(written_arguments(call.arguments), "json"))
        case ev.ToolResult():
            yield from _result(event)
        case ev.ContextCompacted():
            yield from _said(f"Summary of {event.evicted} messages", event, event.summary)
        case ev.RequestAnswered():
            yield from _answer(event)
        case ev.RunFinished() if event.reason not in (ev.StopReason.DONE, ""):
            yield from ("", f"*The run ended: {event.reason}. {_line(event.error)}*".replace(". *", ".*"))
        case ev.Notice():
            yield from ("", f"*{event.level}: {_line(event.text)}*")
        case _:
            pass


def _said(who: str, event: ev.UserMessage | ev.AssistantMessage | ev.ContextCompacted, text: str) -> Iterator[str]:
    yield from ("", f"## {who} · {event.at[:16].replace('T', ' ')} · #{event.seq}", "")
    # A heading in what was said must not look like one of ours.
    for line in strip_controls(text).split("\n"):
        yield f"\\{line}" if line.startswith("#") else line


def _result(event: ev.ToolResult) -> Iterator[str]:
    title = _line(event.title or event.name)
    yield from ("", f"Result of **{title}**{'' if event.status == 'ok' else f' ({event.status})'}:", "")
    diffs = [block for block in event.blocks if isinstance(block, DiffBlock)]
    if diffs and event.status == "ok":
        for block in diffs:
            yield from _fenced(f"--- {block.path}\n{block.diff}", "diff")
        return
    yield from _fenced(shortened(text_of(event.content)))


def shortened(text: str) -> str:
    """A result that is not too long for a document; says how much was cut."""
    cut = len(text) - _LONGEST_RESULT
    return text[:_LONGEST_RESULT] + (f"\n… {cut} characters left out …" if cut > 0 else "")


def _answer(event: ev.RequestAnswered) -> Iterator[str]:
    match event.answer:
        case Approve():
            yield from ("", "*Allowed.*")
        case Deny(message=message):
            yield from ("", f"*Refused. {_line(message)}*".replace(". *", ".*"))
        case Reply(text=text):
            yield from ("", f"*Answer: {_line(text)}*")
        case _:
            pass


def written_arguments(arguments: str) -> str:
    """A call's arguments on lines of their own; as they are when they are no JSON."""
    try:
        return json.dumps(json.loads(arguments), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments


def _fenced(text: str, language: str = "") -> Iterator[str]:
    text = strip_controls(text).rstrip("\n")
    fence = "```"
    while fence in text:
        fence += "`"
    yield from (f"{fence}{language or 'text'}", *text.split("\n"), fence)


def _line(text: str) -> str:
    return " ".join(strip_controls(text).split())
