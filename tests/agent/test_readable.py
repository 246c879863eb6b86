"""A conversation as a document."""

from __future__ import annotations

from letta_code.agent.readable import markdown
from letta_code.core.display import DiffBlock
from letta_code.core.events import (
    AssistantMessage,
    Event,
    Notice,
    ReminderAdded,
    RequestAnswered,
    RunFinished,
    ToolResult,
    UserMessage,
)
from letta_code.core.messages import TextPart, ToolCall
from letta_code.core.requests import Approve, Deny, Reply
from letta_code.store.conversations import Conversation

ROW = Conversation(
    id="conv-1",
    agent_id="agent-1",
    cwd="/work",
    title="A\ntitle",
    opening="",
    created_at="2026-01-02T03:04:05.000Z",
    updated_at="2026-01-02T03:05:05.000Z",
    last_seq=9,
    message_count=2,
    forked_from="",
)
AT = "2026-01-02T03:04:05.000Z"


def document(*events: Event) -> str:
    return "\n".join(markdown(ROW, events))


def parts(text: str) -> tuple[TextPart, ...]:
    return (TextPart(text=text),)


def test_what_was_said_done_and_decided_is_there() -> None:
    text = document(
        UserMessage(seq=3, at=AT, message_id="m", content=parts("# not a heading\nPlease")),
        ReminderAdded(message_id="r", kind="env", text="never shown"),
        AssistantMessage(
            seq=4,
            at=AT,
            message_id="a",
            model="a/b",
            text="I **do**.",
            tool_calls=(ToolCall(id="c", name="Bash", arguments='{"command":"ls"}'),),
        ),
        RequestAnswered(request_id="q", answer=Approve()),
        RequestAnswered(request_id="q", answer=Deny(message="no")),
        RequestAnswered(request_id="q", answer=Reply(text="blue")),
        ToolResult(message_id="t", call_id="c", name="Bash", status="error", content=parts("```\nout\x1b[31m")),
        Notice(level="warning", text="careful"),
        RunFinished(reason="error", error="it broke"),
        RunFinished(reason="done"),
    )
    for part in (
        "# A title\n",
        "## Person · 2026-01-02 03:04 · #3",
        "\\# not a heading",
        "## Agent (a/b) · 2026-01-02 03:04 · #4",
        "I **do**.",
        '"command": "ls"',
        "*Allowed.*",
        "*Refused. no*",
        "*Answer: blue*",
        "Result of **Bash** (error):",
        "````text\n```\nout\n````",
        "*warning: careful*",
        "*The run ended: error. it broke*",
    ):
        assert part in text, part
    assert "never shown" not in text and "\x1b" not in text and "done" not in text


def test_changes_are_shown_as_diffs_and_long_results_cut() -> None:
    diff = DiffBlock(path="a.py", diff="@@\n-x\n+y", added=1, removed=1)
    text = document(
        ToolResult(message_id="t", call_id="c", name="Edit", status="ok", content=parts("edited"), blocks=(diff,)),
        ToolResult(message_id="u", call_id="d", name="Bash", status="ok", content=parts("z" * 30_000)),
    )
    assert "```diff\n--- a.py\n@@\n-x\n+y\n```" in text and "edited" not in text
    assert "10000 characters left out" in text and len(text) < 25_000
