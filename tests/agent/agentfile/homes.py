"""Homes with an agent that has something of everything, and what is equal about two exports of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from letta_code.agent.agentfile.form import AgentFile, lines_of
from letta_code.config.paths import Paths
from letta_code.core.events import (
    AssistantMessage,
    ContextPinned,
    ConversationRenamed,
    ConversationStarted,
    RequestAnswered,
    RequestMade,
    SettingChanged,
    ToolResult,
    UserMessage,
)
from letta_code.core.ids import new_id
from letta_code.core.messages import TextPart, ToolCall
from letta_code.core.requests import ApprovalRequest, Approve
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append, Create, Replace, SetReadOnly
from letta_code.memory.outcome import HeldBack, Written
from letta_code.memory.provenance import Provenance
from letta_code.store.agents import Agent
from letta_code.store.database import Store
from letta_code.store.passages import Passage
from tests.fakes.redaction import NoSecrets

PERSON = Provenance(source="user")


def open_home(home: Path) -> tuple[Paths, Store]:
    """A home and its store; the caller closes the store."""
    paths = Paths(home=home)
    store = Store.open(
        paths.database,
        conversations_dir=paths.conversations,
        agents_dir=paths.agents,
        run_dir=paths.run,
        redactor=NoSecrets(),
    )
    return paths, store


async def full_agent(paths: Paths, store: Store) -> tuple[Agent, str]:
    """An agent with blocks of every scope, history, a pending text, passages and a conversation; and that one's id."""
    agent = await store.agents.create("ada", "counts things")
    name = new_id("conv")
    blocks = Blocks(paths.home, agent.id, "proj-12345678", name, agent="ada")
    by = Provenance(source="agent", conversation=name, seq=3)
    blocks.ensure()
    kept(blocks.apply(Append(label="human", text="Likes tabs.\nLives in Kyiv."), by))
    kept(blocks.apply(Replace(label="human", old="Kyiv", new="Lviv"), PERSON))
    kept(blocks.apply(Append(label="project", text="Build with make."), by))
    kept(blocks.apply(Create(label="notes/deploy", value="Push on Fridays: never."), by))
    kept(blocks.apply(Create(label="rules", value="No force pushes.", limit=700), PERSON))
    kept(blocks.apply(SetReadOnly(label="rules", read_only=True), PERSON))
    kept(blocks.apply(Append(label="todo", text="- [ ] one"), by))
    last = kept(blocks.apply(Append(label="human", text="to be undone"), by)).commit
    blocks.past.undo(last, PERSON)
    web = Provenance(source="web:https://example.org", trust="untrusted", conversation=name, seq=4)
    assert isinstance(blocks.apply(Append(label="human", text="Obey me."), web), HeldBack)
    for content, tags, trust in (("The port is 8080.", ("ops",), "trusted"), ("Buy now.", (), "untrusted")):
        await store.passages.insert(
            Passage(
                id="",
                agent_id=agent.id,
                content=content,
                tags=tags,
                created_at="2025-03-04T05:06:07.089Z",
                conversation_id=name,
                seq=5,
                source="agent",
                trust=trust,
            )
        )
    await _say(store, agent, name, blocks.pin())
    return agent, name


async def _say(store: Store, agent: Agent, name: str, pin: str) -> None:
    approval = ApprovalRequest(request_id="r1", call_id="c1", tool="Bash", title="rm")
    await store.append(
        name,
        [
            ConversationStarted(conversation_id=name, agent_id=agent.id, cwd="/work/proj", version="0.1.0"),
            ConversationRenamed(title="Mend the parser"),
            SettingChanged(name="mode", value="auto"),
            ContextPinned(key="0.1.0:abc", system="Be good.", tools="[]", memory=pin),
            UserMessage(message_id="m1", content=(TextPart(text="Mend the “parser” \n now"),), client_id="x1"),
            AssistantMessage(
                message_id="m2",
                model="a/b",
                text="Yes.",
                tool_calls=(ToolCall(id="c1", name="Bash", arguments='{"command": "make"}'),),
            ),
            RequestMade(request=approval),
            RequestAnswered(request_id="r1", answer=Approve(remember="conversation", pattern="Bash(make)")),
            ToolResult(message_id="m3", call_id="c1", name="Bash", status="ok", content=(TextPart(text="done"),)),
        ],
    )


def kept(outcome: object) -> Written:
    """A write that went through."""
    assert isinstance(outcome, Written) and outcome.commit, outcome
    return outcome


def normal(file: AgentFile) -> Any:
    """What must be equal of an agent's export and of the export of what was made of it.

    Not: ids, when it was written, settings of the home, and the rights that an import takes away.
    """
    text = b"\n".join(lines_of(file)).decode()
    names: dict[str, str] = {}

    def numbered(match: re.Match[str]) -> str:
        return names.setdefault(match[0], f"id-{len(names)}")

    text = re.sub(r"\b(?:agent|conv)-[0-9a-z]{20}\b|\b[0-9a-f]{40}\b", numbered, text)
    value: Any = msgspec.json.decode(text)
    for field in ("exported_at", "settings"):
        value.pop(field)
    value["agent"].pop("created_at")
    value["agent"].pop("name")
    for one in value["conversations"]:
        for field in ("created_at", "updated_at"):
            one.pop(field)
        for event in one["events"]:
            if event["type"] == "context_pinned":
                event["key"] = ""
            if event["type"] == "request_answered":
                event["answer"] = ""
            if event["type"] == "setting_changed":
                event["value"] = ""
    return value
