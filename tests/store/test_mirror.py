"""The readable copy: plain JSON lines, each checkable, never behind for long, never in the way."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import zlib
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letta_code.store.database import Store
from letta_code.store.mirror import StoredRow, from_line, to_line
from letta_code.store.salvage import read_mirror
from tests.store.support import note, open_store, raw_sql, said


@pytest.fixture
def mirror(home: Path, conversation: str) -> Path:
    """The conversation's file."""
    return home / "conversations" / f"{conversation}.jsonl"


async def test_every_line_is_json_with_its_checksum_first(store: Store, conversation: str, mirror: Path) -> None:
    await store.append(conversation, [said("two\nlines \u2028 and ✓"), note("b")])
    lines = mirror.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3]
    for line, stored in zip(lines, store.read(conversation), strict=True):
        found = re.fullmatch(rb'\{"crc":"([0-9a-f]{8})",(.*)', line)
        assert found
        assert b"{" + found[2] == stored.raw
        assert int(found[1], 16) == zlib.crc32(stored.raw)


async def test_it_is_private(store: Store, conversation: str, mirror: Path) -> None:
    await store.append(conversation, [note("a")])
    assert mirror.stat().st_mode & 0o777 == 0o600
    assert mirror.parent.stat().st_mode & 0o777 == 0o700


async def test_a_line_cut_off_by_a_crash_is_written_again(store: Store, conversation: str, mirror: Path) -> None:
    await store.append(conversation, [note("a"), note("b")])
    with mirror.open("r+b") as file:
        file.truncate(mirror.stat().st_size - 7)
    await store.append(conversation, [note("c")])
    _whole(store, conversation, mirror)


@pytest.mark.parametrize("cut", [0, 1, 5, 20])
async def test_a_copy_that_missed_events_catches_up_after_opening_again(
    store: Store, conversation: str, mirror: Path, home: Path, cut: int
) -> None:
    await store.append(conversation, [note("a"), note("b")])
    store.close()
    mirror.write_bytes(mirror.read_bytes()[:cut])
    with open_store(home) as again:
        await again.append(conversation, [note("c")])
        _whole(again, conversation, mirror)


async def test_a_removed_copy_comes_back_whole(store: Store, conversation: str, mirror: Path) -> None:
    await store.append(conversation, [note("a")])
    mirror.unlink()
    await store.append(conversation, [note("b")])
    _whole(store, conversation, mirror)


async def test_a_very_long_last_line_is_recognised(store: Store, conversation: str, mirror: Path, home: Path) -> None:
    await store.append(conversation, [said("x" * 3_000_000)])
    store.close()
    before = mirror.stat().st_size
    with open_store(home) as again:
        await again.append(conversation, [note("b")])
        assert mirror.stat().st_size < before + 1000
        _whole(again, conversation, mirror)


async def test_events_after_a_damaged_line_are_written_after_it(
    store: Store, conversation: str, mirror: Path, home: Path
) -> None:
    await store.append(conversation, [note("a"), note("precious")])
    store.close()
    mirror.write_bytes(mirror.read_bytes().replace(b"precious", b"preci0us"))
    with open_store(home) as again:
        await again.append(conversation, [note("c")])
        rows, problems = read_mirror(mirror)
        assert [row.body for row in rows] == [stored.raw for stored in again.read(conversation)]
        assert [problem.line for problem in problems] == [3]


async def test_a_copy_of_a_later_state_is_kept_beside_the_new_one(
    store: Store, conversation: str, mirror: Path, home: Path
) -> None:
    store.close()
    older = (home / "letta.db").read_bytes()
    with open_store(home) as ahead:
        await ahead.append(conversation, [note("lost 1"), note("lost 2"), note("lost 3")])
    (home / "letta.db").write_bytes(older)
    with open_store(home) as again:
        await again.append(conversation, [note("another future")])
        _whole(again, conversation, mirror)
    (kept,) = mirror.parent.glob("*.old")
    assert b"lost 3" in kept.read_bytes()


async def test_another_programs_file_of_that_name_is_left_alone(
    store: Store, home: Path, conversation: str, mirror: Path
) -> None:
    store.close()
    mirror.write_bytes(b"somebody's notes")
    with open_store(home) as again:
        assert (await again.append(conversation, [note("a")]))[0].seq == 2
        assert mirror.read_bytes() == b"somebody's notes"
        assert mirror.name in again.notices[0]


async def test_a_copy_that_cannot_be_written_costs_no_event(store: Store, conversation: str, mirror: Path) -> None:
    folder = mirror.parent
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("no folder any more")
    kept = await store.append(await _second(store), [note("a")])
    assert kept[0].seq == 2
    assert "could not be written" in store.notices[0]
    folder.unlink()
    await store.append(conversation, [note("b")])
    assert store.notices == ()
    _whole(store, conversation, mirror)


async def _second(store: Store) -> str:
    return (await store.conversations.create(store.agents.list()[0].id, "/work")).id


async def test_a_copy_that_another_process_holds_is_not_waited_for(
    store: Store, conversation: str, mirror: Path
) -> None:
    await store.append(conversation, [note("a")])
    with mirror.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert (await store.append(conversation, [note("b")]))[0].seq == 3
    await store.append(conversation, [note("c")])
    _whole(store, conversation, mirror)


async def test_what_the_last_append_could_not_copy_is_copied_when_the_store_closes(
    store: Store, conversation: str, mirror: Path
) -> None:
    with mirror.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        await store.append(conversation, [note("a")])
    with _no_folder(mirror.parent):
        await store.append(await _second(store), [note("b")])
        await store.append(conversation, [note("c")])
    everything = [stored.raw for stored in store.read(conversation)]
    store.close()
    assert [row.body for row in read_mirror(mirror)[0]] == everything
    assert len(list(mirror.parent.glob("*.jsonl"))) == 2


async def test_what_could_not_be_copied_until_the_end_is_told_and_copied_by_the_next_writer(
    store: Store, conversation: str, mirror: Path, home: Path
) -> None:
    assert store.complete_copies() == ()
    with _no_folder(mirror.parent):
        await store.append(conversation, [note("a"), note("b")])
        [told] = store.complete_copies()
        assert str(mirror) in told and "could not be written" in told and "is kept" in told
        store.close()
    with open_store(home) as again:
        again.acquire_writer(conversation).release()
        assert again.notices == (f"{mirror} had missed 2 events; added from {home / 'letta.db'}.",)
        _whole(again, conversation, mirror)
    with open_store(home) as again:
        again.acquire_writer(conversation).release()
        assert again.notices == ()


@contextlib.contextmanager
def _no_folder(folder: Path) -> Generator[None]:
    """Meanwhile nothing can be written in the folder."""
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    folder.write_text("no folder any more")
    try:
        yield
    finally:
        folder.unlink()
        elsewhere.rename(folder)


async def test_two_stores_write_one_copy_in_order(store: Store, conversation: str, mirror: Path, home: Path) -> None:
    with open_store(home) as other:
        for number in range(20):
            await (store, other)[number % 2].append(conversation, [note(str(number))])
    _whole(store, conversation, mirror)


async def test_damage_in_the_database_is_not_copied(store: Store, conversation: str, mirror: Path, home: Path) -> None:
    await store.append(conversation, [note("a"), note("b")])
    mirror.unlink()
    raw_sql(home, "UPDATE events SET body = 'no bytes' WHERE seq = 2")
    await store.append(conversation, [note("c")])
    rows, problems = read_mirror(mirror)
    assert [row.seq for row in rows] == [1, 3, 4]
    assert [problem.text for problem in problems] == ["events 2 to 2 are missing"]


async def test_many_conversations_do_not_keep_many_files_open(store: Store, conversation: str, home: Path) -> None:
    names = [await _second(store) for _ in range(40)]
    open_files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert open_files < 60
    for name in names:
        await store.append(name, [note("a")])
        _whole(store, name, home / "conversations" / f"{name}.jsonl")


def _whole(store: Store, conversation: str, mirror: Path) -> None:
    """The file holds exactly the conversation's events, in order, once."""
    lines = mirror.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [from_line(line).body for line in lines] == [stored.raw for stored in store.read(conversation)]


_row = StoredRow(seq=7, crc=zlib.crc32(b'{"seq":7,"type":"notice"}'), body=b'{"seq":7,"type":"notice"}')


def test_a_line_gives_back_its_event() -> None:
    assert from_line(to_line(_row)[:-1]) == _row


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_wrong_bit_goes_unseen(data: st.DataObject) -> None:
    line = bytearray(to_line(_row)[:-1])
    place = data.draw(st.integers(min_value=0, max_value=len(line) * 8 - 1))
    line[place // 8] ^= 1 << place % 8
    with pytest.raises(ValueError):
        from_line(bytes(line))


async def test_every_cut_of_a_copy_gives_the_exact_beginning(store: Store, conversation: str, mirror: Path) -> None:
    await store.append(conversation, [said("a"), note("b ✓"), said("c")])
    whole = mirror.read_bytes()
    bodies = [stored.raw for stored in store.read(conversation)]
    cut_file = mirror.with_suffix(".cut")
    for cut in range(len(whole) + 1):
        cut_file.write_bytes(whole[:cut])
        rows, problems = read_mirror(cut_file)
        lines = whole[:cut].split(b"\n")
        # A last line that lacks nothing but its newline is whole.
        torn = lines.pop() if whole[cut : cut + 1] != b"\n" else b""
        assert [row.body for row in rows] == bodies[: len(lines)]
        assert len(problems) == bool(torn)


async def test_what_is_no_event_at_the_end_is_not_thrown_away(
    store: Store, conversation: str, mirror: Path, home: Path
) -> None:
    await store.append(conversation, [note("before")])
    with mirror.open("ab") as file:
        file.write(b"the notes of somebody")
    with open_store(home) as other:
        await other.append(conversation, [note("after")])
    assert b"the notes of somebody\n" in mirror.read_bytes()
    rows, problems = read_mirror(mirror)
    assert [row.seq for row in rows] == [1, 2, 3]
    assert [problem.text for problem in problems] == ["not a line of a conversation's log"]


async def test_a_pipe_in_its_place_costs_neither_events_nor_descriptors(
    store: Store, conversation: str, mirror: Path
) -> None:
    mirror.unlink()
    os.mkfifo(mirror)
    await store.append(conversation, [note("first")])
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        await store.append(conversation, [note(f"event {number}")])
    assert len(os.listdir("/proc/self/fd")) == before
    assert str(mirror) in store.notices[-1]
