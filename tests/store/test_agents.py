"""Agents as a person handles them: found by name, described, deleted, brought back, removed for good, salvaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from letta_code.core.errors import StoreError, UsageError
from letta_code.store.agents import Purged
from letta_code.store.database import Store
from letta_code.store.engine import open_engine
from letta_code.store.marker import MARKER, Marker, read_marker
from letta_code.store.migrations import MIGRATIONS
from letta_code.store.passages import Passage
from letta_code.store.purging import Left, purge
from tests.store.support import open_store, raw_sql, said, started


async def test_an_agent_is_chosen_by_id_name_or_a_beginning(store: Store) -> None:
    ada = await store.agents.create("Ada Lovelace", "counts")
    bob = await store.agents.create("bob")
    for wanted in (ada.id, "Ada Lovelace", "ada lovelace", "ada", " Ada "):
        assert store.agents.choose(wanted) == ada
    bobby = await store.agents.create("bobby")
    assert store.agents.choose("bob") == bob  # a whole name goes before a beginning
    with pytest.raises(UsageError) as several:
        store.agents.choose("b")
    assert bob.id in str(several.value) and bobby.id in str(several.value)
    with pytest.raises(UsageError) as none:
        store.agents.choose("zoe")
    assert "zoe" in str(none.value) and ada.id in none.value.hint
    with pytest.raises(UsageError):
        store.agents.choose("")


async def test_two_of_one_name_are_told_apart_by_their_ids(store: Store) -> None:
    one, two = await store.agents.create("twin"), await store.agents.create("twin")
    with pytest.raises(UsageError, match=one.id):
        store.agents.choose("twin")
    assert store.agents.choose(two.id) == two


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\x1b[31mb", "a\u202eb"])
async def test_what_is_no_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(UsageError):
        await store.agents.create(name)
    assert store.agents.list() == []


async def test_the_marker_follows_name_and_description(store: Store, home: Path) -> None:
    agent = await store.agents.create("ada", "counts")
    await store.agents.rename(agent.id, "Ada  II")
    changed = await store.agents.describe(agent.id, "counts\nfaster")
    assert (changed.name, changed.description) == ("Ada II", "counts faster")
    assert read_marker(home / "agents" / agent.id) == Marker(
        id=agent.id, name="Ada II", description="counts faster", created_at=agent.created_at
    )


async def test_a_deleted_agent_is_in_no_list_until_it_is_restored(store: Store) -> None:
    first = await store.agents.create("first")
    second = await store.agents.create("second")
    await store.append("conv-1", [started("conv-1", first.id), said("hello")])
    await store.agents.delete(first.id)
    assert [one.id for one in store.agents.list()] == [second.id]
    assert [one.id for one in store.agents.list(deleted=True)] == [first.id]
    assert store.agents.default() == second
    assert store.conversations.list() == [] and store.conversations.latest_for("/work") is None
    assert len(store.conversations.list(agent_id=first.id)) == 1
    with pytest.raises(UsageError, match="was deleted on 20") as gone:
        store.agents.choose("first")
    assert f"restore {first.id}" in gone.value.hint
    assert store.agents.choose("first", deleted=True).id == first.id
    assert (await store.agents.restore(first.id)).deleted_at == ""
    assert store.agents.default() and len(store.conversations.list()) == 1
    for change in (store.agents.delete, store.agents.restore):
        with pytest.raises(StoreError, match="no agent"):
            await change("agent-nobody")


async def test_when_all_are_deleted_the_next_start_makes_a_new_one(store: Store) -> None:
    first = await store.agents.ensure_default()
    await store.agents.delete(first.id)
    assert store.agents.default() is None
    assert (await store.agents.ensure_default()).id != first.id


async def test_a_purge_removes_only_what_is_old_and_all_of_it(store: Store, home: Path) -> None:
    kept = await store.agents.create("kept")
    gone = await store.agents.create("gone")
    for name, agent in (("conv-kept", kept), ("conv-gone", gone)):
        await store.append(name, [started(name, agent.id), said("hello", client_id="c")])
        await store.passages.insert(Passage(id="", agent_id=agent.id, content=f"of {name}"))
    await store.agents.delete(gone.id)
    assert await store.purge_agents() == Purged()
    assert (home / "conversations" / "conv-gone.jsonl").exists()
    assert [one.id for one in (await store.purge_agents(older_than_days=-1)).agents] == [gone.id]
    assert store.agents.get(gone.id) is None and store.agents.list(deleted=True) == []
    assert not (home / "agents" / gone.id).exists() and not (home / "conversations" / "conv-gone.jsonl").exists()
    for table in ("events", "event_keys", "conversations"):
        column = "id" if table == "conversations" else "conversation_id"
        assert raw_sql(home, f"SELECT DISTINCT {column} FROM {table}") == [("conv-kept",)]
    assert store.passages.count(gone.id) == 0 and store.passages.count(kept.id) == 1
    assert (home / "agents" / kept.id / MARKER).is_file() and (home / "conversations" / "conv-kept.jsonl").exists()


async def test_a_purge_leaves_a_folder_that_is_not_ours(store: Store, home: Path) -> None:
    agent = await store.agents.create("ada")
    (home / "agents" / agent.id / MARKER).unlink()
    (home / "agents" / agent.id / "theirs").write_text("kept")
    await store.agents.delete(agent.id)
    assert len((await store.purge_agents(older_than_days=-1)).agents) == 1
    assert (home / "agents" / agent.id / "theirs").read_text() == "kept"


async def test_what_is_not_ours_beside_a_purged_agents_files_stays(store: Store, home: Path) -> None:
    agent = await store.agents.create("ada")
    await store.append("conv-1", [started("conv-1", agent.id), said("hello")])
    notes = home / "conversations" / "conv-1.notes"
    notes.mkdir()
    await store.agents.delete(agent.id)
    purged = await store.purge_agents(older_than_days=-1)
    assert [one.id for one in purged.agents] == [agent.id] and not purged.left
    assert notes.is_dir() and not (home / "conversations" / "conv-1.jsonl").exists()


async def test_files_that_cannot_be_removed_are_told_and_tried_again(
    store: Store, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await store.agents.create("ada")
    await store.append("conv-1", [started("conv-1", agent.id), said("hello")])
    copy, folder = home / "conversations" / "conv-1.jsonl", home / "agents" / agent.id
    await store.agents.delete(agent.id)
    stuck = [True]
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if stuck and path == copy:
            raise PermissionError(13, "Permission denied", str(path))
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    purged = await store.purge_agents(older_than_days=-1)
    assert [one.id for one in purged.agents] == [agent.id] and store.agents.get(agent.id) is None
    assert purged.left == (Left(path=str(copy), why="Permission denied"),) and folder.exists()
    assert raw_sql(home, "SELECT COUNT(*) FROM events") == [(0,)]
    assert (await store.purge_agents()).left == purged.left
    stuck.clear()
    assert await store.purge_agents() == Purged()
    assert not copy.exists() and not folder.exists()


async def test_a_purge_that_was_cut_off_is_finished_by_the_next(store: Store, home: Path) -> None:
    agent = await store.agents.create("ada")
    await store.append("conv-1", [started("conv-1", agent.id), said("hello")])
    copy, folder = home / "conversations" / "conv-1.jsonl", home / "agents" / agent.id
    other = home / "conversations" / "conv-2.jsonl"
    other.write_text("kept")
    outside = home / "letta.db"
    (folder / ".letta-code-purge").write_text(f"{copy}\n{outside}\n{folder.parent}/conv-x\n")
    assert await store.purge_agents() == Purged() and copy.exists()  # it lives: nothing is gone
    for table, column in (("events", "conversation_id"), ("conversations", "id"), ("agents", "id")):
        raw_sql(home, f"DELETE FROM {table} WHERE {column} IN ('conv-1', '{agent.id}')")
    assert await store.purge_agents() == Purged()
    assert not copy.exists() and not folder.exists() and other.exists() and outside.exists()


async def test_an_agent_that_was_restored_meanwhile_is_not_purged(store: Store, home: Path) -> None:
    agent = await store.agents.create("ada")
    await store.agents.delete(agent.id)
    engine = open_engine(home / "letta.db", home / "run")
    await store.agents.restore(agent.id)
    assert await engine.write(lambda db: purge(db, agent.id, "2999", home / "agents" / agent.id, None)) is None
    engine.close()
    assert store.agents.get(agent.id) and (home / "agents" / agent.id / MARKER).exists()


async def test_a_lost_database_gets_names_descriptions_and_deletions_back(home: Path) -> None:
    with open_store(home) as store:
        first = await store.agents.create("first", "the one")
        quiet = await store.agents.create("never spoke")
        gone = await store.agents.create("gone")
        await store.append("conv-1", [started("conv-1", first.id), said("hello")])
        await store.agents.delete(gone.id)
        living, deleted = store.agents.list(), store.agents.list(deleted=True)
    for path in home.glob("letta.db*"):
        path.unlink()
    with open_store(home) as store:
        assert "3 agents" in store.notices[0]
        assert [(one.id, one.name, one.description, one.created_at) for one in store.agents.list()] == [
            (one.id, one.name, one.description, one.created_at) for one in living
        ]
        assert quiet.id in {one.id for one in store.agents.list()}
        assert [one.deleted_at for one in store.agents.list(deleted=True)] == [one.deleted_at for one in deleted]


async def test_markers_of_the_first_versions_and_of_nobody(home: Path) -> None:
    agents = home / "agents"
    for name, text in (
        ("agent-old", '{"id":"agent-old"}'),
        ("agent-copy", '{"id":"agent-old"}'),
        ("agent-torn", '{"i'),
    ):
        (agents / name).mkdir(parents=True)
        (agents / name / MARKER).write_text(text)
    (agents / "agent-theirs").mkdir()
    with open_store(home) as store:
        assert sorted((one.id, one.name) for one in store.agents.list()) == [
            ("agent-old", "letta"),
            ("agent-torn", "letta"),
        ]
        assert all(one.created_at.endswith("Z") for one in store.agents.list())


def test_a_store_of_the_version_before_gets_the_columns(home: Path) -> None:
    engine = open_engine(home / "letta.db", home / "run", migrations=MIGRATIONS[:2])
    engine.close()
    raw_sql(home, "INSERT INTO agents VALUES ('agent-1', 'old', '2026-01-01', '2026-01-01')")
    with open_store(home) as store:
        assert "brought up to date" in store.notices[0]
        found = store.agents.list()[0]
        assert (found.name, found.description, found.deleted_at) == ("old", "", "")


async def test_use_counts_conversations_with_a_message(store: Store) -> None:
    agent = await store.agents.create("ada")
    await store.agents.create("idle")
    await store.append("conv-1", [started("conv-1", agent.id), said("hello")])
    await store.append("conv-2", [started("conv-2", agent.id)])
    use = store.agents.use()
    assert list(use) == [agent.id] and use[agent.id].conversations == 1 and use[agent.id].last_used


async def test_conversations_are_found_by_their_titles(store: Store) -> None:
    agent = await store.agents.create("ada")
    for name, text in (("conv-1", "Mend the parser"), ("conv-2", "Write docs for the PARSER"), ("conv-3", "else")):
        await store.append(name, [started(name, agent.id), said(text)])
    assert {one.id for one in store.conversations.titled("parser the")} == {"conv-1", "conv-2"}
    assert [one.id for one in store.conversations.titled("docs")] == ["conv-2"]
    assert store.conversations.titled("") == []
    assert store.conversations.taken("conv-1") and not store.conversations.taken("conv-9")


@pytest.mark.parametrize("damage", ["garbage behind", "all garbage"])
async def test_a_damaged_marker_changes_no_agents_age_and_is_told(home: Path, damage: str) -> None:
    with open_store(home) as store:
        first = await store.agents.create("first", "the one")
        second = await store.agents.create("second")
    marker = home / "agents" / first.id / MARKER
    marker.write_bytes(marker.read_bytes() + b"{garb\xff" if damage == "garbage behind" else b"\xff\x00")
    for path in home.glob("letta.db*"):
        path.unlink()
    with open_store(home) as store:
        default = store.agents.default()
        assert default is not None and default.id == first.id and default.created_at == first.created_at
        assert [one.name for one in store.agents.list()] == [
            "first" if damage == "garbage behind" else "letta",
            second.name,
        ]
        [told] = [text for text in store.notices if str(marker) in text]
        assert ("rename" in told) == (damage == "all garbage")
