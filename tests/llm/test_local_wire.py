"""What a small model is sent: two sides in turn, few tokens, an end that only grows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from letta_code.core.messages import (
    AssistantText,
    ImagePart,
    Message,
    Reminder,
    Summary,
    TextPart,
    ToolCall,
    ToolText,
    UserText,
)
from letta_code.llm.local_wire import body_of, system_text
from letta_code.llm.model import ChatRequest, ToolSpec
from letta_code.tools.base import load_tools
from tests.llm.test_local_reply import READ


def words(text: str) -> tuple[TextPart, ...]:
    return (TextPart(text=text),)


TALK: tuple[Message, ...] = (
    Reminder(message_id="m0", kind="environment", text="cwd: /w"),
    UserText(message_id="m1", content=words("Read a and b")),
    AssistantText(
        message_id="m2",
        tool_calls=(
            ToolCall(id="c1", name="Read", arguments='{"path": "a"}'),
            ToolCall(id="c2", name="Read", arguments='{"path": '),
        ),
    ),
    ToolText(message_id="m3", call_id="c1", name="Read", content=words("text of a")),
    ToolText(message_id="m4", call_id="c2", name="Read", content=words("bad JSON"), is_error=True),
    AssistantText(message_id="m5", text='I have "read" them.'),
    UserText(message_id="m6", content=(TextPart(text="Good"), ImagePart(media_type="image/png", data="x"))),
    Summary(message_id="m7", text="So far: a was read."),
)


def sent(messages: tuple[Message, ...], tools: tuple[ToolSpec, ...] = (READ,)) -> dict[str, Any]:
    return msgspec.json.decode(body_of(ChatRequest(system="Be brief.", tools=tools, messages=messages), 500))


def test_two_sides_speak_in_turn() -> None:
    roles = [turn["role"] for turn in sent(TALK)["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user", "assistant", "user"]


def test_calls_are_as_the_model_writes_them_and_stand_before_their_results() -> None:
    turns = [turn["content"] for turn in sent(TALK)["messages"]]
    assert turns[1] == "<system-reminder>\ncwd: /w\n</system-reminder>\n\nRead a and b"
    assert turns[2] == '{"tool":"Read","arguments":{"path": "a"}}'
    assert turns[3] == "Result of Read:\ntext of a"
    assert msgspec.json.decode(turns[4])["arguments"] == {"_invalid": '{"path": '}
    assert turns[5] == "Read failed:\nbad JSON"
    assert msgspec.json.decode(turns[6]) == {"answer": 'I have "read" them.'}
    assert "picture" in turns[7] and "So far: a was read." in turns[7]


@pytest.mark.parametrize(("before", "after"), [(2, 5), (5, 7), (7, 8)])
def test_the_dialogue_only_grows(before: int, after: int) -> None:
    """The server keeps what it has read: each request of a conversation begins as the one before it."""
    assert dialogue(TALK[:after]).startswith(dialogue(TALK[:before]))


def dialogue(messages: tuple[Message, ...]) -> str:
    return "\0".join(f"{turn['role']}: {turn['content']}" for turn in sent(messages)["messages"])


def test_without_tools_the_reply_is_free() -> None:
    body = sent(TALK[:2], tools=())
    assert "response_format" not in body
    assert body["messages"][0]["content"] == "Be brief."


def test_the_form_is_forced_and_bounded() -> None:
    body = sent(TALK[:2])
    assert body["response_format"]["json_schema"]["schema"]["oneOf"]
    assert body["max_tokens"] == 500 and body["stream"] is True


def test_the_head_of_the_lean_tools_is_small() -> None:
    """At most 1,150 tokens for instructions and 5 tools; a token of this text is more than 3.5 characters."""
    tools = tuple(tool.spec for tool in load_tools().values() if tool.lean)
    from letta_code.agent.head import instructions

    text = system_text(ChatRequest(system=instructions(lean=True), tools=tools, messages=()))
    assert len(tools) == 5
    assert all(f"Tool {tool.name}: " in text for tool in tools)
    assert "- path (string)" in text and ", optional): " in text
    assert len(text) / 3.5 <= 1210
