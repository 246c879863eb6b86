"""Which agent a start is with, and what a person does with agents and conversations."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_code.agent.forking import forebears, fork_conversation
from letta_code.agent.roster import (
    agent_rows,
    choose_agent,
    create_agent,
    delete_agent,
    purge_agents,
    remember_agent,
    remembered_agent,
    rename_agent,
    restore_agent,
)
from letta_code.agent.upkeep import keep_up
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings
from letta_code.core.errors import ConversationBusy, UsageError
from letta_code.core.events import ConversationRenamed
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append
from letta_code.memory.provenance import Provenance
from letta_code.memory.recall import Recall, spoken
from letta_code.store.database import Store
from tests.agent.agentfile.homes import PERSON, full_agent, kept, open_home
from tests.store.support import raw_sql, said, started

Home = tuple[Paths, Store]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    paths, store = open_home(tmp_path / "home")
    with store:
        yield paths, store


@pytest.fixture
def project(tmp_path: Path) -> str:
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    (folder / "src" / "deep").mkdir(parents=True)
    return str(folder)


async def test_setting_then_project_then_default(home: Home, project: str) -> None:
    paths, store = home
    default = await choose_agent(store, paths, Settings(), project)
    assert default.name == "letta" and store.agents.list() == [default]
    ada, bob = await store.agents.create("ada"), await store.agents.create("bob")
    remember_agent(paths, project, ada.id)
    assert await choose_agent(store, paths, Settings(), project) == ada
    assert await choose_agent(store, paths, Settings(), f"{project}/src/deep") == ada  # one project, one agent
    assert await choose_agent(store, paths, Settings(), "/") == default
    assert await choose_agent(store, paths, Settings(agent="bob"), project) == bob
    assert await choose_agent(store, paths, Settings(agent=bob.id), project) == bob
    with pytest.raises(UsageError) as wrong:
        await choose_agent(store, paths, Settings(agent="zoe"), project)
    assert "ada" in wrong.value.hint
    remember_agent(paths, project, "")
    remember_agent(paths, project, "")
    assert remembered_agent(paths, project) == "" and await choose_agent(store, paths, Settings(), project) == default


async def test_a_projects_agent_that_is_gone_is_told(home: Home, project: str) -> None:
    paths, store = home
    default = await store.agents.ensure_default()
    ada = await store.agents.create("ada")
    remember_agent(paths, project, ada.id)
    await store.agents.delete(ada.id)
    told: list[str] = []
    assert await choose_agent(store, paths, Settings(), project, told.append) == default
    remember_agent(paths, project, "agent-nobody")
    assert await choose_agent(store, paths, Settings(), project, told.append) == default
    assert "folder, ada, was deleted: letta is used" in told[0] and "agent-nobody, is not there" in told[1]


async def test_a_deleted_default_is_told(home: Home, project: str) -> None:
    paths, store = home
    default = await store.agents.ensure_default()
    ada = await store.agents.create("ada")
    told: list[str] = []
    assert await choose_agent(store, paths, Settings(), project, told.append) == default and not told
    await store.agents.delete(default.id)
    assert await choose_agent(store, paths, Settings(), project, told.append) == ada
    assert told == ["The default agent, letta, was deleted: ada is used. `letta-code agents use NAME` chooses."]
    remember_agent(paths, project, ada.id)
    assert await choose_agent(store, paths, Settings(), project, told.append) == ada and len(told) == 1


async def test_a_setting_that_names_nobody_is_told_with_its_file(home: Home, project: str) -> None:
    paths, store = home
    await store.agents.create("ada")
    paths.config.write_text("agent: zoe\n")
    with pytest.raises(UsageError, match="no agent 'zoe'") as wrong:
        await choose_agent(store, paths, Settings(agent="zoe"), project)
    assert f"`agent:` in {paths.config} says so. There is: ada" in wrong.value.hint
    with pytest.raises(UsageError) as flag:
        await choose_agent(store, paths, Settings(agent="bob"), project)
    assert "config.yaml" not in flag.value.hint


def test_what_is_remembered_is_private_and_readable(home: Home, project: str, tmp_path: Path) -> None:
    paths = home[0]
    link = tmp_path / "link"
    link.symlink_to(project)
    remember_agent(paths, str(link), "agent-1")
    assert remembered_agent(paths, project) == "agent-1"
    [path] = paths.projects.glob("*/agent")
    assert project in path.read_text() and oct(path.stat().st_mode)[-3:] == "600"
    for text in (b"", b"{", b"\xff", b"[]", b"x" * 100_000):
        path.write_bytes(text)
        assert remembered_agent(paths, project) == ""


def test_looking_for_a_remembered_agent_costs_next_to_nothing(home: Home, project: str) -> None:
    remembered_agent(home[0], project)
    best = min(_timed(home[0], f"{project}/src/deep") for _ in range(50))
    assert best < 0.0005  # measured: below 0.1 ms; the limit of the plan is 0.2 on a machine that does nothing else


def _timed(paths: Paths, cwd: str) -> float:
    began = time.perf_counter()
    remembered_agent(paths, cwd)
    return time.perf_counter() - began


async def test_names_are_each_agents_own(home: Home) -> None:
    store = home[1]
    ada = await create_agent(store, "ada", "counts")
    bob = await create_agent(store, "bob")
    for name in ("ADA", " ada "):
        with pytest.raises(UsageError, match="already"):
            await create_agent(store, name)
        with pytest.raises(UsageError, match="already"):
            await rename_agent(store, bob, name)
    assert (await rename_agent(store, ada, "Ada")).name == "Ada"
    await store.agents.delete(ada.id)
    assert (await create_agent(store, "ada")).id != ada.id
    told = await restore_agent(store, ada)
    back = store.agents.get(ada.id)
    assert back and back.name == "Ada 2" and "Ada (" in told and "called Ada 2: the name was taken" in told
    await store.agents.delete(back.id)
    assert "taken" not in await restore_agent(store, back)


async def test_deleting_says_what_it_means(home: Home) -> None:
    store = home[1]
    first, second = await store.agents.create("first"), await store.agents.create("second")
    await store.append("conv-1", [started("conv-1", first.id), said("hello")])
    with pytest.raises(UsageError, match="of this conversation"):
        await delete_agent(store, first, is_open=True)
    lock = store.acquire_writer("conv-1", "tui")
    with pytest.raises(ConversationBusy, match="conv-1"):
        await delete_agent(store, first)
    lock.release()
    told = await delete_agent(store, first)
    assert (
        "0 passages and 1 conversation are kept" in told
        and "30 days" in told
        and f"restore {first.id}" in told
        and "last" not in told
    )
    assert "last agent" in await delete_agent(store, second)


async def test_a_purge_takes_the_words_out_of_the_index_too(home: Home) -> None:
    paths, store = home
    agent, _ = await full_agent(paths, store)
    index = store.text_index(paths.index, spoken)
    assert Recall(index, agent.id).search("parser").found
    await store.agents.delete(agent.id)
    assert await purge_agents(store, paths) == ()
    raw_sql(paths.home, "UPDATE agents SET deleted_at = '2020-01-01T00:00:00.000Z'")
    [told] = await purge_agents(store, paths)
    assert "ada" in told and "2020-01-01" in told
    assert not list(paths.index.glob("text-*")) and not (paths.agents / agent.id).exists()


async def test_rows_tell_what_each_agent_holds(home: Home, project: str) -> None:
    paths, store = home
    await store.agents.ensure_default()
    ada, _ = await full_agent(paths, store)
    rows = agent_rows(store, paths, Settings(), project)
    assert [(row.name, row.here) for row in rows] == [("letta", True), ("ada", False)]
    assert (rows[1].blocks, rows[1].passages, rows[1].conversations) == (3, 2, 1) and rows[1].last_used
    remember_agent(paths, project, ada.id)
    assert [row.name for row in agent_rows(store, paths, Settings(), project) if row.here] == ["ada"]
    assert [row.name for row in agent_rows(store, paths, Settings(agent="letta"), project) if row.here] == ["letta"]
    assert agent_rows(store, paths, Settings(), project, deleted=True) == []


async def test_a_purge_that_fails_is_a_sentence(home: Home) -> None:
    paths, store = home
    agent = await store.agents.create("ada")
    await store.agents.delete(agent.id)
    raw_sql(paths.home, "UPDATE agents SET deleted_at = '2020-01-01T00:00:00.000Z'")
    raw_sql(paths.home, "CREATE TRIGGER no BEFORE DELETE ON agents BEGIN SELECT RAISE(ABORT, 'no room'); END")
    [told] = await purge_agents(store, paths)
    assert "could not be removed" in told and "no room" in told
    assert (paths.agents / agent.id).exists()


async def test_writers_are_looked_for_in_all_conversations(home: Home) -> None:
    _, store = home
    agent = await store.agents.create("ada")
    for at in range(1002):
        raw_sql(
            home[0].home,
            "INSERT INTO conversations (id, agent_id, cwd, title, opening, created_at, updated_at, last_seq, "
            "message_count, forked_from) VALUES (?, ?, '/', '', '', '', ?, 0, 0, '')",
            (f"conv-{at}", agent.id, f"{at:06d}"),
        )
    lock = store.acquire_writer("conv-0", "tui")
    with pytest.raises(ConversationBusy, match="conv-0"):
        await delete_agent(store, agent)
    lock.release()


async def test_upkeep_is_done_once_a_day_and_never_fails(home: Home) -> None:
    paths, store = home
    agent = await store.agents.create("ada")
    await store.agents.delete(agent.id)
    await keep_up(store, paths)
    raw_sql(paths.home, "UPDATE agents SET deleted_at = '2020-01-01T00:00:00.000Z'")
    await keep_up(store, paths)
    assert store.agents.get(agent.id) is not None  # today it was done already
    (paths.cache / "purged").write_text("2020-01-01\n")
    await keep_up(store, paths)
    assert store.agents.get(agent.id) is None
    (paths.cache / "purged").unlink()
    (paths.cache / "purged").mkdir()
    await keep_up(store, paths)


async def test_a_fork_knows_what_its_forebears_did(home: Home) -> None:
    paths, store = home
    agent, name = await full_agent(paths, store)
    last = store.last_seq(name)
    pin = Blocks(paths.home, agent.id, "", name).pin()
    before = Provenance(source="agent", conversation=name, seq=last)
    kept(Blocks(paths.home, agent.id, "", name).apply(Append(label="human", text="Has a cat."), before))
    copy = await fork_conversation(store, paths, await fork_conversation(store, paths, name))
    known = forebears(one.event for one in store.read(copy))
    assert known[name] == last and len(known) == 2
    blocks = Blocks(paths.home, agent.id, "", copy)
    assert [change.by for change in blocks.changes_since(pin, but=copy) if change.label == "human"]
    blocks.known = known
    assert not [change for change in blocks.changes_since(pin, but=copy) if change.label == "human"]
    later = Provenance(source="agent", conversation=name, seq=last + 3)
    kept(Blocks(paths.home, agent.id, "", name).apply(Append(label="human", text="Has a dog."), later))
    [change] = [change for change in blocks.changes_since(pin, but=copy) if change.label == "human"]
    assert (
        change.after
        and "dog" in change.after.value
        and "dog" in str(change.diff)
        and "+Has a cat" not in str(change.diff)
    )


async def test_a_fork_has_its_own_blocks(home: Home) -> None:
    paths, store = home
    agent, name = await full_agent(paths, store)
    copy = await fork_conversation(store, paths, name)
    row = store.conversations.get(copy)
    assert row and (row.title, row.forked_from, row.message_count) == ("Mend the parser (fork)", name, 2)
    mine, theirs = (Blocks(paths.home, agent.id, "", one) for one in (copy, name))
    assert mine.view().find("todo").value == "- [ ] one"
    kept(mine.apply(Append(label="todo", text="- [ ] two"), PERSON))
    assert theirs.view().find("todo").value == "- [ ] one"
    titled = store.conversations.get(await fork_conversation(store, paths, name, "other"))
    assert titled and titled.title == "other"
    assert isinstance(store.read(copy)[-1].event, ConversationRenamed)
    with pytest.raises(UsageError, match="nothing to fork"):
        await fork_conversation(store, paths, "conv-none")
