"""Agents and their folders; runs as the journal tells them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from letta_code.core.errors import StoreError
from letta_code.core.events import KnownEvent, RequestAnswered, RequestMade, RunFinished, RunStarted, StopReason
from letta_code.core.requests import Approve, QuestionRequest
from letta_code.store.database import Store
from letta_code.store.marker import MARKER
from tests.store.support import open_store


async def test_the_first_agent_is_the_default_and_is_made_once(store: Store, home: Path) -> None:
    assert store.agents.default() is None
    agents = await asyncio.gather(*(store.agents.ensure_default("letta") for _ in range(5)))
    with open_store(home) as other:
        agents.append(await other.agents.ensure_default("another"))
    assert {agent.id for agent in agents} == {store.agents.list()[0].id}
    assert store.agents.default() == agents[0]
    second = await store.agents.create("second")
    assert [agent.name for agent in store.agents.list()] == ["letta", "second"]
    assert store.agents.get(second.id) == second
    assert store.agents.choose("second") == second
    assert store.agents.get("agent-nobody") is None


async def test_an_agent_has_a_marked_folder(store: Store, home: Path) -> None:
    agent = await store.agents.create("letta")
    folder = home / "agents" / agent.id
    assert (folder / MARKER).is_file()
    assert store.agents.folder(agent.id) == folder
    (folder / MARKER).unlink()
    assert store.agents.folder(agent.id) is None


async def test_an_agent_whose_folder_cannot_be_made_is_not_kept(store: Store, home: Path) -> None:
    (home / "agents").write_text("no folder")
    with pytest.raises(StoreError, match="could not be made"):
        await store.agents.create("letta")
    assert store.agents.list() == []


async def test_renaming_an_agent(store: Store) -> None:
    agent = await store.agents.create("letta")
    await store.agents.rename(agent.id, "ada")
    found = store.agents.get(agent.id)
    assert found
    assert (found.name, found.created_at) == ("ada", agent.created_at)
    with pytest.raises(StoreError, match="no agent"):
        await store.agents.rename("agent-nobody", "x")


_ASKED = RequestMade(run_id="run-1", request=QuestionRequest(request_id="r", call_id="c", question="?"))
_ANSWERED = RequestAnswered(request_id="r", answer=Approve())


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([], "running"),
        ([_ASKED], "waiting"),
        ([_ASKED, _ANSWERED], "running"),
        ([RunFinished(run_id="run-1", reason=StopReason.DONE)], "finished"),
        ([RunFinished(run_id="run-1", reason=StopReason.MAX_TURNS)], "finished"),
        ([RunFinished(run_id="run-1", reason=StopReason.ERROR)], "failed"),
        ([RunFinished(run_id="run-1", reason=StopReason.INTERRUPTED)], "interrupted"),
        ([_ASKED, RunFinished(run_id="run-1", reason=StopReason.ORPHANED), _ANSWERED], "orphaned"),
    ],
)
async def test_a_run_follows_the_journal(
    store: Store, conversation: str, events: list[KnownEvent], status: str
) -> None:
    await store.append(conversation, [RunStarted(run_id="run-1", model="m", mode="ask"), *events])
    run = store.runs.get("run-1")
    assert run
    assert (run.status, run.conversation_id) == (status, conversation)
    assert run.owner
    assert (run.owner.pid, run.owner.host) == (os.getpid(), os.uname().nodename)
    assert bool(run.ended_at) == (not run.is_open)
    assert store.runs.open() == ([run] if run.is_open else [])


async def test_a_queued_run_becomes_the_one_that_starts(store: Store, conversation: str) -> None:
    await store.runs.queue("run-1", conversation)
    queued = store.runs.get("run-1")
    assert queued
    assert (queued.status, queued.owner) == ("queued", None)
    await store.append(conversation, [RunStarted(run_id="run-1", model="m", mode="ask")])
    assert [(run.id, run.status) for run in store.runs.open(conversation)] == [("run-1", "running")]
    assert store.runs.get("run-2") is None


async def test_copies_and_restored_stores_keep_whose_run_it_was(store: Store, conversation: str, home: Path) -> None:
    await store.append(conversation, [RunStarted(run_id="run-1", model="m", mode="ask")])
    await store.append(conversation, [RunFinished(run_id="run-1", reason=StopReason.DONE)])
    copy = await store.conversations.copy(conversation, up_to=2)
    assert store.runs.open(copy.id) == []
    store.close()
    (home / "letta.db").unlink()
    with open_store(home) as restored:
        run = restored.runs.get("run-1")
        assert run
        assert (run.conversation_id, run.status) == (conversation, "finished")
