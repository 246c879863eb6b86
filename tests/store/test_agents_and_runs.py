"""Agents and their folders; runs as the journal tells them."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from letta_code.core.errors import StoreError
from letta_code.core.events import (
    KnownEvent,
    RequestAnswered,
    RequestMade,
    RunDetached,
    RunFinished,
    RunMoved,
    RunResumed,
    RunStarted,
    StopReason,
)
from letta_code.core.requests import Approve, QuestionRequest
from letta_code.store.database import Store
from letta_code.store.engine import open_engine
from letta_code.store.marker import MARKER
from letta_code.store.migrations import MIGRATIONS
from tests.store.support import note, open_store, started


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


_MOVED = RunMoved(run_id="run-1", background=True, by="tui")
_DETACHED = RunDetached(run_id="run-1", by="tui")
_RESUMED = RunResumed(run_id="run-1", reason="died", attempt=2, background=True)
_ENDED = RunFinished(run_id="run-1", reason=StopReason.DONE)


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([_MOVED], ("queued", False, True, 0)),
        ([_DETACHED], ("running", True, True, 0)),
        ([_DETACHED, RunDetached(run_id="run-1", background=False)], ("running", True, False, 0)),
        ([_ENDED, _DETACHED], ("finished", True, False, 0)),
        ([_MOVED, _RESUMED], ("running", True, True, 2)),
        ([_MOVED, _RESUMED, _MOVED], ("queued", False, True, 2)),
        ([_RESUMED, RunResumed(run_id="run-1", attempt=2)], ("running", True, False, 2)),
        ([_ENDED, _MOVED, _RESUMED], ("finished", True, False, 0)),
    ],
)
async def test_a_run_changes_its_owner(
    store: Store, conversation: str, events: list[KnownEvent], told: tuple[str, bool, bool, int]
) -> None:
    await store.append(conversation, [RunStarted(run_id="run-1", model="m", mode="ask"), *events])
    run = store.runs.get("run-1")
    assert run
    assert (run.status, run.owner is not None, run.background, run.attempts) == told
    assert store.runs.get("run-2") is None


async def test_runs_are_listed_newest_first_and_by_folder(store: Store, conversation: str) -> None:
    agent = await store.agents.ensure_default("letta")
    elsewhere = await store.conversations.create(agent.id, "/elsewhere")
    for run_id, where in (("run-1", conversation), ("run-2", elsewhere.id), ("run-3", conversation)):
        await store.append(where, [RunStarted(run_id=run_id, model="m", mode="ask", background=run_id == "run-2")])
        await asyncio.sleep(0.002)  # their times differ
    assert [run.id for run in store.runs.list()] == ["run-3", "run-2", "run-1"]
    assert [run.id for run in store.runs.list(limit=1)] == ["run-3"]
    assert [(run.id, run.background) for run in store.runs.list(cwd="/elsewhere")] == [("run-2", True)]
    assert [run.id for run in store.runs.list(conversation_id=conversation)] == ["run-3", "run-1"]


async def test_a_silent_owner_is_seen_by_the_time_of_its_lock(store: Store, conversation: str, home: Path) -> None:
    assert store.runs.silent_for(conversation) == 0.0
    with store.acquire_writer(conversation, "test") as lock:
        os.utime(lock.fileno(), (time.time() - 40, time.time() - 40))
        assert store.runs.silent_for(conversation) >= 40
        os.utime(lock.fileno())
        assert store.runs.silent_for(conversation) < 30


async def test_an_older_store_gets_the_new_columns(home: Path) -> None:
    home.mkdir(exist_ok=True)
    engine = open_engine(home / "letta.db", home / "run", migrations=MIGRATIONS[:3])
    engine.write_now(
        lambda database: database.query(
            "INSERT INTO agents (id, name, created_at, updated_at) VALUES ('agent-1', 'old', '', '')"
        )
    )
    engine.write_now(
        lambda database: database.query(
            "INSERT INTO conversations (id, agent_id, cwd, title, opening, created_at, updated_at, last_seq, "
            "message_count, forked_from) VALUES ('conv-1', 'agent-1', '/w', '', '', '', '', 0, 0, '')"
        )
    )
    engine.write_now(
        lambda database: database.query(
            "INSERT INTO runs (id, conversation_id, status, owner, started_at, ended_at) "
            "VALUES ('run-0', 'conv-1', 'finished', '', '2026', '2026')"
        )
    )
    engine.close()
    with open_store(home) as store:
        run = store.runs.get("run-0")
        assert run
        assert (run.status, run.background, run.attempts) == ("finished", False, 0)
    assert list(home.glob("letta.db.version-3.*")), "the copy from before the migration is kept"


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


async def test_the_newest_run_of_a_folder_is_found_behind_conversations_touched_since(store: Store) -> None:
    agent = (await store.agents.ensure_default()).id
    names = [f"conv-{number}" for number in range(40)]
    for at, name in enumerate(names):
        folder = "/work" if at % 2 else "/work/inside"
        await store.append(name, [started(name, agent, folder), RunStarted(run_id=f"run-{at}", model="m", mode="ask")])
        await store.append(name, [RunFinished(run_id=f"run-{at}", reason=StopReason.DONE)])
    elsewhere = started("conv-else", agent, "/works")
    await store.append("conv-else", [elsewhere, RunStarted(run_id="run-else", model="m", mode="ask")])
    for said_later in (False, True):
        if said_later:
            for name in names[:-1]:
                await store.append(name, [note("renamed")])
        found = store.runs.newest_in("/work")
        assert found is not None and found.id == "run-39"
        inside = store.runs.newest_in("/work/inside")
        assert inside is not None and inside.id == "run-38"
    assert store.runs.newest_in("/nowhere") is None
