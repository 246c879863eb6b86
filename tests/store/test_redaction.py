"""The one write point: what a store keeps has no secrets, and without a redactor it keeps nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from letta_code.core.errors import StoreError
from letta_code.core.events import ConversationRenamed, UserMessage
from letta_code.core.messages import TextPart
from letta_code.memory.block import BlockError
from letta_code.memory.edits import Append
from letta_code.memory.opening import open_desk
from letta_code.memory.provenance import Provenance
from letta_code.safety.vault import Secrets
from letta_code.store.agents import Agent
from letta_code.store.database import Store
from letta_code.store.newcomer import Newcomer
from letta_code.store.passages import Passage
from tests.fakes.redaction import NoSecrets
from tests.safety.canaries import CANARIES, VALUES
from tests.store.support import said, started

TOKEN = CANARIES[2].value


def opened(home: Path, redactor: Secrets | NoSecrets | None) -> Store:
    return Store.open(home / "letta.db", conversations_dir=home / "conversations", redactor=redactor)


def planted(home: Path) -> list[str]:
    data = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file()).decode("utf-8", "replace")
    return [value for value in VALUES if value in data]


async def test_a_store_without_a_redactor_keeps_no_events(tmp_path: Path) -> None:
    with opened(tmp_path, None) as store:
        with pytest.raises(StoreError, match="without a redactor"):
            await store.append("conv-1", [started("conv-1", "agent-1")])
        assert store.last_seq("conv-1") == 0


async def test_what_is_kept_is_given_back_as_it_is_kept(tmp_path: Path) -> None:
    secrets = Secrets()
    with opened(tmp_path, secrets) as store:
        agent = await store.agents.create("ada", "")
        events = [started("conv-1", agent.id), *(said(one.line) for one in CANARIES), ConversationRenamed(title=TOKEN)]
        kept = await store.append("conv-1", events)
        assert planted(tmp_path) == []
        assert [one.event for one in store.read("conv-1")] == [*kept]
        message = kept[3]
        assert isinstance(message, UserMessage) and isinstance(message.content[0], TextPart)
        assert TOKEN in CANARIES[2].line and message.content[0].text == secrets.clean(CANARIES[2].line, "conv-1")
        found = store.conversations.get("conv-1")
        assert found is not None and found.title.startswith("<secret:github-token:")
    assert planted(tmp_path) == []


async def test_what_an_older_version_kept_is_exported_without(tmp_path: Path) -> None:
    with opened(tmp_path, NoSecrets()) as store:
        agent = await store.agents.create("ada", "")
        await store.append("conv-1", [started("conv-1", agent.id), said(f"it is {TOKEN}"), said("fine")])
    assert planted(tmp_path) == [TOKEN]
    with opened(tmp_path, Secrets()) as store:
        lines = [*store.conversations.export_lines("conv-1")]
        assert not any(TOKEN.encode() in line for line in lines) and b"<secret:github-token:" in lines[1]
        assert lines[2].rstrip() == store.read("conv-1")[2].raw


async def test_many_conversations_at_once_keep_their_own_placeholders(tmp_path: Path) -> None:
    secrets = Secrets()
    names = [f"conv-{number}" for number in range(8)]
    with opened(tmp_path, secrets) as store:
        agent = await store.agents.create("ada", "")
        both = [[started(name, agent.id), said(f"{name} has {TOKEN}")] for name in names]
        kept = await asyncio.gather(*(store.append(name, events) for name, events in zip(names, both, strict=True)))
    texts = {str(events[1]) for events in kept}
    assert len(texts) == 8 and planted(tmp_path) == []
    assert len({secrets.clean(TOKEN, name) for name in names}) == 8


OURS = "plain words of a provider"  # no format knows it: it is secret since the environment or the credentials have it


async def test_archival_memory_keeps_no_secret_whoever_writes_it(tmp_path: Path) -> None:
    mirrors, agents = tmp_path / "conversations", tmp_path / "agents"
    with Store.open(
        tmp_path / "letta.db", conversations_dir=mirrors, agents_dir=agents, redactor=Secrets([OURS])
    ) as store:
        agent = await store.agents.create("ada", "")
        text = f"deploy with {OURS}, and {TOKEN}"
        kept, _ = await store.passages.insert(Passage(id="", agent_id=agent.id, content=text, tags=(OURS,)))
        assert kept.content.startswith("deploy with <secret:") and store.passages.get(kept.id) == kept
        guest = Agent(id="agent-2", name="guest", created_at="2026", updated_at="2026")
        theirs = Passage(id="passage-9", agent_id=guest.id, content=text, created_at="2026-01-01T00:00:00Z")
        (tmp_path / "agents" / guest.id).mkdir()
        await store.admit(Newcomer(agent=guest, passages=(theirs,)))
        assert [one.id for one in store.passages.list(guest.id)] == ["passage-9"]
        assert planted(tmp_path) == []
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and OURS.encode() in path.read_bytes()]
        desk = open_desk(store, tmp_path, agent.id, str(tmp_path), "conv-1")
        by = Provenance(source="user", conversation="conv-1")
        with pytest.raises(BlockError, match="a key or password here"):
            await desk.archive.insert(f"the word is {OURS}", by=by)
        with pytest.raises(BlockError, match="a key or password here"):
            desk.blocks.apply(Append(label="human", text=f"the word is {OURS}"), by)
    with opened(tmp_path / "bare", None) as store, pytest.raises(StoreError, match="without a redactor"):
        await store.passages.insert(Passage(id="", agent_id="agent-1", content="anything"))
