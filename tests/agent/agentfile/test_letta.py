"""Letta's own agent files: what they hold comes in, what has no place here is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from letta_code.agent.agentfile.bring import Brought, bring
from letta_code.agent.agentfile.form import AgentFileError, lines_of
from letta_code.agent.agentfile.letta_messages import letta_time
from letta_code.agent.agentfile.read import read_agent_file
from letta_code.agent.history import History
from letta_code.config.paths import Paths
from letta_code.core.events import UnknownEvent
from letta_code.core.messages import AssistantText, Reminder, ToolText, UserText, text_of
from letta_code.memory.blocks import Blocks
from letta_code.store.database import Store
from tests.agent.agentfile.homes import open_home

Home = tuple[Paths, Store]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    paths, store = open_home(tmp_path / "home")
    with store:
        yield paths, store


def call(identity: str, name: str, arguments: Any) -> dict[str, Any]:
    given = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": given}}


def words(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def packed(**fields: str) -> str:
    return msgspec.json.encode(fields).decode()


# Written by hand after Letta's public schema of today (AgentFileSchema).
TODAY: dict[str, Any] = {
    "agents": [
        {
            "id": "agent-0",
            "name": "Sam Companion",
            "description": "A friend",
            "agent_type": "memgpt_v2_agent",
            "system": "You are Letta.",
            "block_ids": ["block-1", "block-0", "block-2", "block-9"],
            "in_context_message_ids": ["message-0", "message-1"],
            "tool_ids": ["tool-0"],
            "tool_rules": [{"tool_name": "send_message", "type": "exit_loop"}],
            "tool_exec_environment_variables": {"OPENAI_API_KEY": "sk-should-never-be-seen-1234"},
            "llm_config": {"model": "gpt-4o-mini", "context_window": 32000},
            "messages": [
                {"id": "message-0", "role": "system", "content": words("You are Letta. …")},
                {
                    "id": "message-1",
                    "role": "user",
                    "content": words(packed(type="user_message", message="Hi there", time="2025-01-01")),
                    "created_at": "2025-05-06T07:08:09.123456+02:00",
                },
                {
                    "id": "message-2",
                    "role": "assistant",
                    "model": "gpt-4o-mini",
                    "content": words("They greet me."),
                    "tool_calls": [call("c1", "send_message", {"message": "Hello Sam!"})],
                },
                {
                    "id": "message-3",
                    "role": "tool",
                    "tool_call_id": "c1",
                    "name": "send_message",
                    "content": words(packed(status="OK", message="None", time="x")),
                },
                {"id": "message-4", "role": "user", "content": words(packed(type="heartbeat", reason="again"))},
                {
                    "id": "message-5",
                    "role": "assistant",
                    "content": [{"type": "reasoning", "reasoning": "search it"}, *words("Let me look.")],
                    "tool_calls": [
                        call("c2", "web_search", {"query": "tea"}),
                        call("c3", "web_search", "{not json"),
                    ],
                },
                {
                    "id": "message-6",
                    "role": "tool",
                    "content": [],
                    "tool_returns": [
                        {"tool_call_id": "c2", "status": "success", "func_response": packed(status="OK", message="42")},
                        {"tool_call_id": "c7", "status": "error", "func_response": "lost"},
                    ],
                },
                {"id": "message-7", "role": "system", "content": words(packed(type="system_alert", message="low"))},
                {"id": "message-8", "role": "user", "content": "plain text"},
                {"id": "message-9", "role": "juggler", "content": "?"},
            ],
            "files_agents": [],
            "group_ids": [],
        }
    ],
    "groups": [],
    "blocks": [
        {"id": "block-0", "label": "human", "value": "Name: Sam", "limit": 2000, "description": "the person"},
        {"id": "block-1", "label": "persona", "value": "I am kind.", "limit": 5000, "read_only": True},
        {"id": "block-2", "label": "To Do / List!", "value": "x", "limit": 10_000_000},
    ],
    "files": [{"id": "file-0", "file_name": "book.pdf"}],
    "sources": [{"id": "source-0", "name": "books"}],
    "tools": [{"id": "tool-0", "name": "web_search", "source_code": "import os"}],
    "mcp_servers": [{"id": "mcp-0", "server_name": "files", "server_type": "stdio"}],
    "passages": [{"text": "Sam likes tea", "tags": ["food", 5], "created_at": "2024-02-03T04:05:06Z"}],
    "metadata": {"revision_id": "abc"},
    "created_at": "2025-06-01T00:00:00Z",
}

# The first form: one agent at the top, core memory and messages within.
FIRST: dict[str, Any] = {
    "agent_type": "memgpt_agent",
    "name": "old one",
    "description": None,
    "system": "You are MemGPT.",
    "version": "0.6.47",
    "created_at": "2025-03-01T10:00:00",
    "core_memory": [
        {"label": "human", "value": "Chad", "limit": 5000, "description": None, "is_template": False},
        {"label": "system/Persona", "value": "old", "limit": 5000},
        {"label": "persona", "value": "again", "limit": 5000},
    ],
    "in_context_message_indices": [0, 1],
    "messages": [
        {"role": "system", "content": words("sys"), "tool_calls": [], "tool_returns": [], "tool_call_id": None},
        {"role": "user", "content": words("What is up?"), "created_at": "2025-03-01T10:00:01", "tool_calls": []},
        {"role": "assistant", "content": words("Not much."), "tool_calls": None},
    ],
    "tools": [{"name": "core_memory_append"}],
    "tool_rules": [],
    "tool_exec_environment_variables": [{"key": "TOKEN", "value": "hush-hush"}],
    "tags": [],
    "embedding_config": {},
    "llm_config": {"model": "m"},
}


async def brought(value: dict[str, Any], home: Home, tmp_path: Path) -> tuple[Brought, str]:
    path = tmp_path / "sam.af"
    path.write_bytes(msgspec.json.encode(value))
    file, notices = read_agent_file(path)
    result = await bring(home[1], home[0], file)
    return result, "\n".join((*notices, *result.notices))


def told_to_a_model(store: Store, agent_id: str) -> History:
    [row] = store.conversations.list(agent_id=agent_id)
    history = History()
    stored = store.read(row.id)
    assert not any(isinstance(one.event, UnknownEvent) or one.damage for one in stored)
    history.extend(one.event for one in stored)
    return history


async def test_todays_form(home: Home, tmp_path: Path) -> None:
    result, told = await brought(TODAY, home, tmp_path)
    assert (result.agent.name, result.agent.description) == ("Sam Companion", "A friend")
    blocks = Blocks(home[0].home, result.agent.id)
    view = blocks.view()
    assert (view.find("human").value, view.find("human").limit) == ("Name: Sam", 2000)
    assert view.find("persona").read_only and not view.find("human").read_only
    assert view.find("to_do_list").limit == 100_000
    assert blocks.past.blame("human")[0].change.provenance.source == "import:Sam Companion"
    [passage] = home[1].passages.list(result.agent.id)
    assert (passage.content, passage.tags, passage.created_at[:10]) == ("Sam likes tea", ("food",), "2024-02-03")
    for missing in (
        "web_search",
        "send_message",
        "files",
        "OPENAI_API_KEY",
        "book.pdf",
        "books",
        "system prompt",
        "gpt-4o",
    ):
        assert missing in told
    assert "1 block that the file names and does not hold (block-9)" in told and result.blocks == 3
    assert "sk-should" not in told and "juggler" in told and "heartbeat" in told and "To Do / List!" in told


async def test_its_messages_are_a_conversation_that_can_go_on(home: Home, tmp_path: Path) -> None:
    result, _ = await brought(TODAY, home, tmp_path)
    history = told_to_a_model(home[1], result.agent.id)
    messages = history.messages
    assert [type(one) for one in messages] == [
        UserText, AssistantText, AssistantText, ToolText, ToolText, Reminder, UserText,
    ]  # fmt: skip
    assert isinstance(messages[0], UserText) and text_of(messages[0].content) == "Hi there"
    first, second = (one for one in messages if isinstance(one, AssistantText))
    assert first.text == "Hello Sam!" and first.reasoning[0].text == "They greet me." and not first.tool_calls
    assert second.text == "Let me look." and [one.id for one in second.tool_calls] == ["c2", "c3"]
    results = {one.call_id: one for one in messages if isinstance(one, ToolText)}
    assert text_of(results["c2"].content) == "42" and not results["c2"].is_error
    assert results["c3"].is_error and "not in the imported" in text_of(results["c3"].content)
    assert history.open_calls == {} and history.title == "Imported: Sam Companion"
    assert home[1].conversations.list()[0].created_at == "2025-05-06T05:08:09.123Z"


async def test_the_first_form(home: Home, tmp_path: Path) -> None:
    result, told = await brought(FIRST, home, tmp_path)
    view = Blocks(home[0].home, result.agent.id).view()
    assert (view.find("human").value, view.find("persona").value, view.find("persona_2").value) == (
        "Chad",
        "old",
        "again",
    )
    history = told_to_a_model(home[1], result.agent.id)
    assert [type(one) for one in history.messages] == [UserText, AssistantText]
    assert "core_memory_append" in told and "TOKEN" in told and "hush" not in told


@pytest.mark.parametrize(
    "change",
    [
        {"agents": []},
        {"agents": 5},
        {"agents": ["x"]},
    ],
)
async def test_a_file_without_an_agent_says_so(home: Home, tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(AgentFileError, match="no agent"):
        await brought({**TODAY, **change}, home, tmp_path)


async def test_wrong_types_everywhere_cost_only_themselves(home: Home, tmp_path: Path) -> None:
    agent = {
        "name": ["x"],
        "description": 7,
        "block_ids": [1, None, "block-0", {}],
        "messages": [None, 5, {"role": 5}, {"role": "assistant", "tool_calls": [5, {}, {"function": 7}], "content": 9}],
        "tool_rules": "none",
        "tool_exec_environment_variables": 3,
        "created_at": 10**30,
    }
    blocks = [{"id": "block-0", "label": "../../etc/passwd", "value": 5, "limit": -(10**40)}, "x"]
    result, told = await brought({"agents": [agent], "blocks": blocks, "tools": {}}, home, tmp_path)
    assert result.agent.name == "sam" and "etc_passwd" in told
    for notice in (
        "2 things in `messages` that should not stand there",
        "1 thing in `blocks` that should not stand there",
        "what stands in `block_ids` and is no id",
        "`etc_passwd` has no text in the file",
    ):
        assert notice in told
    assert Blocks(home[0].home, result.agent.id).view().find("etc_passwd").value == ""
    assert told_to_a_model(home[1], result.agent.id).open_calls == {}


@pytest.mark.parametrize("field", ["blocks", "messages", "block_ids"])
async def test_a_list_that_is_none_is_told(home: Home, tmp_path: Path, field: str) -> None:
    value = msgspec.json.decode(msgspec.json.encode(TODAY))
    (value if field == "blocks" else value["agents"][0])[field] = {"a": 1}
    result, told = await brought(value, home, tmp_path)
    assert f"`{field}`" in told and result.agent.name == "Sam Companion"


async def test_a_mark_of_the_byte_order_is_no_damage(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "sam.af"
    path.write_bytes(b"\xef\xbb\xbf" + msgspec.json.encode(TODAY))
    assert read_agent_file(path)[0].agent.name == "Sam Companion"
    path.write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines_of(read_agent_file(path)[0])))
    assert read_agent_file(path)[0].agent.name == "Sam Companion"


def test_times() -> None:
    assert letta_time("2025-05-06T07:08:09.5+0200") == "2025-05-06T05:08:09.500Z"
    assert letta_time("2025-05-06 07:08:09") == "2025-05-06T07:08:09.000Z"
    for wrong in (None, 5, "", "yesterday", "2025-99-99T00:00:00", "9" * 500):
        assert letta_time(wrong) == ""
