"""Readable HTML: a conversation as one page: no script, nothing loaded, everything from outside escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from letta_code.agent.readable import shortened, written_arguments
from letta_code.core import events as ev
from letta_code.core.display import DiffBlock
from letta_code.core.messages import text_of
from letta_code.core.requests import Approve, Deny, Reply
from letta_code.safety.terminal import strip_controls, visible
from letta_code.store.conversations import Conversation

# The browser itself is told to load and run nothing, should an escape ever be forgotten.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --add: #2a8a3c2e; --del: #c0303028; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; } dd { margin: 0; }
section { border-top: 1px solid var(--line); margin-top: 1.5rem; padding-top: .5rem; }
h2 { font-size: 1rem; margin: .25rem 0; } h2 small { font-weight: normal; opacity: .75; }
.said, pre { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 4px; padding: .6rem; font-size: .85rem;
  max-height: 32rem; overflow: auto; margin: .4rem 0; }
details { margin: .5rem 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
.add { background: var(--add); display: block; } .del { background: var(--del); display: block; }
.note { opacity: .8; font-style: italic; } .failed summary { font-weight: bold; }
"""


def html(conversation: Conversation, events: Iterable[ev.Event]) -> Iterator[str]:
    """The lines of the page.

    Instructions and reminders to the model are left out; long results are cut, and say so.
    """
    title = _line(conversation.name)
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{title}</h1>"
    about = {
        "Conversation": conversation.id,
        "Agent": conversation.agent_id,
        "Folder": conversation.cwd,
        "From": conversation.created_at,
        "To": conversation.updated_at,
    }
    yield f"<dl>{''.join(f'<dt>{name}</dt><dd>{_line(value)}</dd>' for name, value in about.items())}</dl>"
    for event in events:
        yield from _event(event)
    yield "</body></html>"


def _event(event: ev.Event) -> Iterator[str]:
    match event:
        case ev.UserMessage():
            yield _said("Person", event, text_of(event.content))
        case ev.AssistantMessage():
            if event.text:
                yield _said(f"Agent ({event.model})", event, event.text)
            for call in event.tool_calls:
                yield _folded(f"Call of {call.name}", _pre(written_arguments(call.arguments)))
        case ev.ToolResult():
            yield _result(event)
        case ev.ContextCompacted():
            yield _said(f"Summary of {event.evicted} messages", event, event.summary)
        case ev.RequestAnswered(answer=Approve()):
            yield _note("Allowed.")
        case ev.RequestAnswered(answer=Deny(message=message)):
            yield _note(f"Refused. {message}")
        case ev.RequestAnswered(answer=Reply(text=text)):
            yield _note(f"Answer: {text}")
        case ev.RunFinished() if event.reason not in (ev.StopReason.DONE, ""):
            yield _note(f"The run ended: {event.reason}. {event.error}")
        case ev.Notice():
            yield _note(f"{event.level}: {event.text}")
        case _:
            pass


def _said(who: str, event: ev.UserMessage | ev.AssistantMessage | ev.ContextCompacted, text: str) -> str:
    at = _line(event.at[:16].replace("T", " "))
    head = f"<h2>{_line(who)} <small>{at} · #{event.seq}</small></h2>"
    return f'<section id="e{event.seq}">{head}<div class="said">{_text(text)}</div></section>'


def _result(event: ev.ToolResult) -> str:
    failed = event.status != "ok"
    title = f"Result of {event.title or event.name}{f' ({event.status})' if failed else ''}"
    diffs = [block for block in event.blocks if isinstance(block, DiffBlock)]
    if diffs and not failed:
        return _folded(title, "".join(_diff(block) for block in diffs))
    return _folded(title, _pre(shortened(text_of(event.content))), failed=failed)


def _diff(block: DiffBlock) -> str:
    lines = (_diff_line(line) for line in strip_controls(block.diff).split("\n"))
    return f"<div>{_line(block.path)}</div><pre>{''.join(lines)}</pre>"


def _diff_line(line: str) -> str:
    kind = {"+": "add", "-": "del"}.get(line[:1])
    # a block has its own end of line
    return f'<span class="{kind}">{_text(line)}</span>' if kind else f"{_text(line)}\n"


def _folded(title: str, inside: str, *, failed: bool = False) -> str:
    return f"<details{' class=failed' if failed else ''}><summary>{_line(title)}</summary>{inside}</details>"


def _pre(text: str) -> str:
    return f"<pre>{_text(text)}</pre>"


def _note(text: str) -> str:
    return f'<p class="note">{_line(text)}</p>'


def _text(text: str) -> str:
    """Several lines: without control sequences, what is invisible or reorders written out, and escaped."""
    return "\n".join(escape(visible(line)) for line in strip_controls(text).split("\n"))


def _line(text: str) -> str:
    return escape(visible(" ".join(strip_controls(text).split())))
