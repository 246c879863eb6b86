"""Catching up: what the readable copy has beyond the database comes back, where it goes on from the same event."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import closing
from pathlib import Path

import pytest

from letta_code.store import catching
from letta_code.store.dialect import Database, connect
from letta_code.store.mirror import StoredRow
from letta_code.store.salvage import MirrorProblem
from tests.store.support import open_store, raw_sql, said, started

NAME = "conv-1"


async def _behind(home: Path, *, more: int = 3) -> list[tuple[object, ...]]:
    """A home whose database lost the newest events of the conversation; all of them as they were."""
    with open_store(home) as store:
        agent = (await store.agents.ensure_default()).id
        await store.append(NAME, [started(NAME, agent), said("one"), said("two")])
    raw_sql(home, "PRAGMA wal_checkpoint(TRUNCATE)")
    old = (home / "letta.db").read_bytes()
    with open_store(home) as store:
        for number in range(more):
            await store.append(NAME, [said(f"later {number}")])
    everything = _events(home)
    raw_sql(home, "PRAGMA wal_checkpoint(TRUNCATE)")
    for rest in home.glob("letta.db-*"):
        rest.unlink()
    (home / "letta.db").write_bytes(old)
    assert len(_events(home)) == len(everything) - more
    return everything


def _events(home: Path) -> list[tuple[object, ...]]:
    return raw_sql(home, "SELECT seq, crc, body FROM events WHERE conversation_id = ? ORDER BY seq", (NAME,))


def _write(home: Path) -> tuple[str, ...]:
    """Become the conversation's writer, and what is said of it."""
    with open_store(home) as store:
        store.acquire_writer(NAME, "test").release()
        return store.notices


async def test_who_becomes_the_writer_gets_back_what_the_database_lost(home: Path) -> None:
    everything = await _behind(home)
    with open_store(home) as store:
        assert len(store.read(NAME)) == 3, "opening alone changes nothing"
        store.acquire_writer(NAME, "test").release()
        assert [one.raw for one in store.read(NAME)] == [bytes(row[2]) for row in everything]  # type: ignore[call-overload]
        assert store.last_seq(NAME) == len(everything)
        [told] = store.notices
        assert "had lost 3 events" in told
    assert _events(home) == everything
    assert not _write(home), "once is enough"
    with open_store(home) as store:  # and it goes on from there, in both
        await store.append(NAME, [said("after")])
        assert [one.seq for one in store.read(NAME)] == [*range(1, len(everything) + 2)]


async def test_a_copy_that_tells_another_story_of_the_last_event_gives_nothing(home: Path, tmp_path: Path) -> None:
    await _behind(home)
    elsewhere = tmp_path / "elsewhere"
    with open_store(elsewhere) as store:
        agent = (await store.agents.ensure_default()).id
        await store.append(NAME, [started(NAME, agent), said("one"), said("another two"), said("of somebody else")])
    shutil.copy(elsewhere / "conversations" / f"{NAME}.jsonl", home / "conversations" / f"{NAME}.jsonl")
    before = _events(home)
    assert not _write(home)
    assert _events(home) == before


async def test_what_another_process_stored_meanwhile_is_not_stored_twice(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = await _behind(home)
    read = catching.read_mirror
    others = 0

    def slowly(path: Path) -> tuple[list[StoredRow], list[MirrorProblem]]:
        nonlocal others
        if not others:  # between the look at the database and the writing
            others = 1
            with closing(connect(home / "letta.db", read_only=False)) as second:
                assert catching.catch_up(second, path, NAME) == 3
        return read(path)

    monkeypatch.setattr(catching, "read_mirror", slowly)
    with closing(connect(home / "letta.db", read_only=False)) as database:
        assert catching.catch_up(database, home / "conversations" / f"{NAME}.jsonl", NAME) == 0
    assert others == 1
    assert _events(home) == everything


async def test_a_folder_that_did_not_change_is_not_read_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []
    unknown_copies = catching.unknown_copies

    def look(database: Database, directory: Path, agents_dir: Path | None) -> list[Path]:
        looked.append(directory)
        return unknown_copies(database, directory, agents_dir)

    monkeypatch.setattr(catching, "unknown_copies", look)
    with open_store(home) as store:
        agent = (await store.agents.ensure_default()).id
        await store.append(NAME, [started(NAME, agent), said("one")])
    _settled(home)
    open_store(home).close()  # the copy was too new to be sure of its time
    looked.clear()
    for _ in range(3):
        with open_store(home) as store:
            await store.append(NAME, [said("more")])  # changes the database, and no copy comes
    assert looked == []
    with open_store(home) as store:
        await store.append("conv-2", [started("conv-2", agent), said("two")])
    _settled(home)
    open_store(home).close()
    assert looked == [home / "conversations"]


async def test_a_log_that_is_lost_is_seen_though_no_file_has_changed(home: Path) -> None:
    with open_store(home) as store:
        agent = (await store.agents.ensure_default()).id
        await store.append(NAME, [started(NAME, agent), said("one")])
    raw_sql(home, "PRAGMA wal_checkpoint(TRUNCATE)")
    old = home / "old.db"
    shutil.copy2(home / "letta.db", old)
    with open_store(home) as store, open_store(home):
        await store.append("conv-2", [started("conv-2", agent), said("two")])
        _settled(home)
        open_store(home).close()  # it knows both, from the log
        shutil.copy2(home / "letta.db", old)
    for rest in home.glob("letta.db-*"):
        rest.unlink()
    (home / "letta.db").write_bytes(old.read_bytes())
    os.utime(home / "letta.db", ns=(old.stat().st_atime_ns, old.stat().st_mtime_ns))
    with open_store(home) as store:
        assert store.last_seq("conv-2") == 2


def _settled(home: Path) -> None:
    """The folder of the copies is of a while ago."""
    os.utime(home / "conversations", (time.time() - 5, time.time() - 5))


async def test_the_note_of_what_was_seen_is_not_written_through_a_link(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.write_text("of somebody")
    with open_store(home) as store:
        agent = (await store.agents.ensure_default()).id
        await store.append("conv-1", [started("conv-1", agent), said("hello")])
    seen = home / "run" / "copies.seen"
    seen.unlink(missing_ok=True)
    seen.symlink_to(other)
    deadline = time.monotonic() + 30
    while seen.is_symlink() and time.monotonic() < deadline:  # nothing is noted in the tick of the folder's last change
        time.sleep(0.06)
        open_store(home).close()
    assert not seen.is_symlink() and other.read_text() == "of somebody"
