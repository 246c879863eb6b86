"""After damage every conversation that some copy has opens: mirrors, the newest good copy, the database itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from letta_code.agent import mending
from letta_code.agent.saving import daily
from letta_code.agent.saving.daily import copy_of_the_day
from letta_code.agent.saving.salvaging import copies, newest_good_copy, salvage
from letta_code.config.paths import Paths
from letta_code.store.backing import rescued, verified
from letta_code.store.marker import MARKER
from letta_code.store.passages import Passage
from tests.store.support import open_store, raw_sql, said, started


async def _home(home: Path, count: int = 4) -> Paths:
    paths = Paths(home=home)
    with open_store(home) as store:
        agent = (await store.agents.create("ada", "billing")).id
        for number in range(count):
            name = f"conv-{number}"
            await store.append(name, [started(name, agent), *(said(f"{number}.{word}") for word in range(30))])
        await store.passages.insert(Passage(id="", agent_id=agent, content="precious"))
    return paths


def _events(home: Path) -> list[tuple[object, ...]]:
    return raw_sql(home, "SELECT conversation_id, seq, crc, body FROM events ORDER BY 1, 2")


def _noise(path: Path, start: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[start:] = os.urandom(len(data) - start)
    path.write_bytes(data)


def _today(paths: Paths) -> Path:
    assert copy_of_the_day(paths) == ""
    [path] = paths.backups.iterdir()
    return path


@pytest.mark.parametrize("lost", ["nothing", "a copy", "half of each copy", "all copies"])
async def test_database_gone_bad_and_copies_too_with_a_backup(tmp_path: Path, lost: str) -> None:
    paths = await _home(tmp_path / "home")
    _today(paths)
    before = _events(paths.home)
    _noise(paths.database)
    copied = sorted(paths.conversations.iterdir())
    match lost:
        case "a copy":
            copied[1].unlink()
        case "half of each copy":
            for path in copied:
                _noise(path, path.stat().st_size // 2)
        case "all copies":
            for path in copied:
                _noise(path)
    damaged = paths.database.read_bytes()
    done = salvage(paths)
    assert _events(paths.home) == before and done.conversations == 4
    assert (Path(done.aside) / "letta.db").read_bytes() == damaged  # kept, and named
    with open_store(paths.home) as store:
        assert [(one.name, one.description) for one in store.agents.list()] == [("ada", "billing")]
        assert [one.content for one in store.passages.list(store.agents.list()[0].id)] == ["precious"]
        assert all(len(store.read(f"conv-{number}")) == 31 for number in range(4))


async def test_what_was_said_after_the_backup_comes_from_the_readable_copy(tmp_path: Path) -> None:
    paths = await _home(tmp_path / "home")
    _today(paths)
    with open_store(paths.home) as store:
        await store.append("conv-1", [said("later")])
    before = _events(paths.home)
    raw_sql(paths.home, "PRAGMA wal_checkpoint(TRUNCATE)")
    _noise(paths.database)
    salvage(paths)
    assert _events(paths.home) == before


async def test_without_backup_and_copy_what_the_database_still_gives_is_kept(tmp_path: Path) -> None:
    paths = await _home(tmp_path / "home")
    before = _events(paths.home)
    (paths.conversations / "conv-2.jsonl").unlink()
    raw_sql(paths.home, "UPDATE events SET body = 'x' WHERE conversation_id = 'conv-2' AND seq = 9")
    done = salvage(paths)
    assert _events(paths.home) == [row for row in before if row[:2] != ("conv-2", 9)]
    assert done.backup == "" and done.completed == 1


async def test_agents_whose_folders_are_gone_come_from_the_backup(tmp_path: Path) -> None:
    import shutil

    paths = await _home(tmp_path / "home")
    _today(paths)
    _noise(paths.database)
    shutil.rmtree(paths.agents)
    salvage(paths)
    with open_store(paths.home) as store:
        [agent] = store.agents.list()
        assert agent.name == "ada" and [one.content for one in store.passages.list(agent.id)] == ["precious"]


# ---------------------------------------------------------------- daily


async def test_one_copy_a_day_a_few_of_them_and_never_of_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = await _home(tmp_path / "home")
    today = _today(paths)
    assert today.stat().st_mode & 0o777 == 0o600 and verified(today).conversations == 4
    stamp = today.stat().st_mtime_ns
    assert copy_of_the_day(paths) == "" and today.stat().st_mtime_ns == stamp
    for day in range(1, 6):
        old = paths.backups / f"letta-2026010{day}.db"
        old.write_bytes(today.read_bytes())
        os.utime(old, (time.time() - day * 86_400,) * 2)
    today.unlink()
    assert copy_of_the_day(paths) == "" and len(list(paths.backups.iterdir())) == daily.KEPT
    kept = sorted(paths.backups.iterdir())
    today.unlink()
    raw_sql(paths.home, "UPDATE events SET body = 'x' WHERE seq = 9")
    assert "damaged" in copy_of_the_day(paths)
    assert sorted(paths.backups.iterdir()) == [path for path in kept if path != today]
    monkeypatch.setattr(daily, "_SHARE", 0.0)
    assert "only" in copy_of_the_day(paths)


async def test_a_copy_that_is_damaged_itself_is_not_used(tmp_path: Path) -> None:
    paths = await _home(tmp_path / "home")
    good = _today(paths)
    bad = paths.backups / "letta-99991231.db"
    bad.write_bytes(good.read_bytes())
    _noise(bad, 8000)
    assert copies(paths)[0] == bad and newest_good_copy(paths) == good


@pytest.mark.parametrize("odd", ["link", "folder", "pipe"])
async def test_what_is_no_copy_goes_aside_and_what_it_leads_to_stays(tmp_path: Path, odd: str) -> None:
    paths = await _home(tmp_path / "home")
    before = _events(paths.home)
    copy, elsewhere = paths.conversations / "conv-1.jsonl", tmp_path / "elsewhere"
    elsewhere.write_text("of somebody")
    copy.unlink()
    match odd:
        case "link":
            copy.symlink_to(elsewhere)
        case "folder":
            copy.mkdir()
        case _:
            os.mkfifo(copy)
    done = salvage(paths)
    assert _events(paths.home) == before
    assert copy.is_file() and not copy.is_symlink()
    assert os.path.lexists(Path(done.aside) / "conversations" / copy.name)
    assert elsewhere.read_text() == "of somebody"


async def test_a_mark_that_is_none_any_more_is_kept_and_named(tmp_path: Path) -> None:
    paths = await _home(tmp_path / "home")
    [folder] = paths.agents.iterdir()
    (folder / ".letta-code-agent").write_bytes(b"x" * 70_000)
    done = salvage(paths)
    [kept] = folder.glob(".letta-code-agent.corrupt-*")
    assert kept.read_bytes() == b"x" * 70_000
    assert any(str(kept) in problem for problem in done.problems)


@pytest.mark.parametrize("how", ["deleted", "empty"])
async def test_a_lost_database_comes_back_with_what_only_its_copy_has(tmp_path: Path, how: str) -> None:
    paths = await _home(tmp_path / "home")
    _today(paths)
    before = _events(paths.home)
    paths.database.unlink()
    if how == "empty":
        paths.database.touch()
    _noise(paths.conversations / "conv-1.jsonl")
    (paths.conversations / "conv-2.jsonl").unlink()
    with mending.open_store(paths) as store:
        [told] = [text for text in store.notices if "was missing" in text]
    assert _events(paths.home) == before
    assert str(paths.backups) in told and "4 conversations" in told


async def test_an_agent_whose_marker_is_damaged_has_its_name_and_age_from_the_backup(tmp_path: Path) -> None:
    paths = await _home(tmp_path / "home")
    _today(paths)
    with open_store(paths.home) as store:
        [before] = store.agents.list()
    _noise(paths.database)
    marker = paths.agents / before.id / MARKER
    _noise(marker)
    noise = marker.read_bytes()
    done = salvage(paths)
    with open_store(paths.home) as store:
        [agent] = store.agents.list()
    assert (agent.name, agent.description, agent.created_at) == (before.name, before.description, before.created_at)
    [kept] = [path for path in marker.parent.glob(f"{MARKER}.corrupt-*") if path.read_bytes() == noise]
    assert any(str(kept) in text for text in done.problems)


async def test_an_event_that_only_a_copy_of_the_database_has_is_read_from_it(tmp_path: Path) -> None:
    paths = await _home(tmp_path / "home")
    copy = _today(paths)
    with mending.opened(paths) as store:
        before = store.read("conv-1")
    raw_sql(paths.home, "UPDATE events SET body = x'00' WHERE conversation_id = 'conv-1' AND seq IN (7, 8)")
    (paths.conversations / "conv-1.jsonl").write_text("2026-11-21\n")
    with mending.opened(paths) as store:
        assert store.read("conv-1") == before
        [told] = [text for text in store.notices if str(copy) in text]
        assert "conv-1" in told
    copy.unlink()
    with mending.opened(paths) as store:
        assert [one.seq for one in store.read("conv-1") if one.damage] == [7, 8]


@pytest.mark.parametrize("index", ["sqlite_autoindex_agents_1", "sqlite_autoindex_conversations_1"])
async def test_a_row_that_its_index_lost_is_mended_at_the_start(tmp_path: Path, index: str) -> None:
    paths = await _home(tmp_path / "home")
    [(page, size)] = raw_sql(
        paths.home, "SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = ?", (index,)
    )
    raw_sql(paths.home, "PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(paths.database.read_bytes())
    start = (page - 1) * size
    data[start + 3 : start + 5] = bytes(2)  # the page has no cells any more, as far as it says
    paths.database.write_bytes(data)
    with mending.open_store(paths) as store:
        [agent] = store.agents.list()
        assert store.agents.get(agent.id) == agent
        assert all(store.conversations.get(f"conv-{number}") for number in range(4))
        await store.append("conv-new", [started("conv-new", agent.id)])
        assert any(str(paths.database) in text and "damaged" in text for text in store.notices)


_NO_TEXT = "CAST(x'66ff' AS TEXT)"


async def test_a_text_that_is_none_is_damage_that_a_start_mends(tmp_path: Path) -> None:
    paths = await _home(tmp_path / "home")
    before = _events(paths.home)
    raw_sql(paths.home, f"UPDATE conversations SET title = {_NO_TEXT} WHERE id = 'conv-1'")
    raw_sql(paths.home, f"UPDATE events SET conversation_id = {_NO_TEXT} WHERE conversation_id = 'conv-2' AND seq = 9")
    raw_sql(paths.home, f"UPDATE agents SET description = {_NO_TEXT}")
    with mending.open_store(paths) as store:
        assert len(store.conversations.list()) == 4
        assert [one.name for one in store.agents.list()] == ["ada"]
        assert any(str(paths.database) in text and "damaged" in text for text in store.notices)
    assert _events(paths.home) == before


async def test_a_text_that_is_none_keeps_no_other_event_back(tmp_path: Path) -> None:
    paths = await _home(tmp_path / "home")
    for path in paths.conversations.iterdir():
        path.unlink()
    for seq in (3, 20):
        raw_sql(paths.home, f"UPDATE events SET conversation_id = conversation_id || {_NO_TEXT} WHERE seq = {seq}")
    found = rescued(paths.database, {}, shared=True)
    assert {name: len(rows) for name, rows in found.events.items()} == {f"conv-{number}": 29 for number in range(4)}
