"""The list of conversations, their names, exports and copies."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path

import pytest

from letta_code.core.errors import StoreError
from letta_code.core.events import AssistantMessage, ConversationStarted, UnknownEvent, UserMessage
from letta_code.core.messages import ImagePart, TextPart
from letta_code.store.database import Store
from letta_code.store.mirror import from_line
from tests.store.support import note, open_store, raw_sql, said, started

# An event of a newer version, and a known one with a field that we do not know; spacing and numbers as they came.
_STRANGE = (
    b'{"type":"hologram_shown","seq":2,"at":"2030-01-01T00:00:00.000Z","depth":1.50,"a":{"z":1,"a":2}}',
    b'{"type":"notice","level":"info","text":"t","seq":3,"at":"2030-01-01T00:00:00.000Z","colour":"blue"}',
)


async def _new(store: Store, cwd: str, *texts: str) -> str:
    agent = await store.agents.ensure_default()
    created = await store.conversations.create(agent.id, cwd)
    for text in texts:
        await store.append(created.id, [said(text)])
    await asyncio.sleep(0.002)  # times have milliseconds
    return created.id


async def test_what_a_list_shows(store: Store) -> None:
    name = await _new(store, "/work", "\n  Fix the parser  \nplease", "and test it")
    await store.append(name, [AssistantMessage(message_id="m", model="x", text="Done.")])
    found = store.conversations.get(name)
    assert found
    assert (found.opening, found.title, found.name) == ("Fix the parser", "", "Fix the parser")
    assert (found.cwd, found.message_count, found.last_seq, found.forked_from) == ("/work", 3, 4, "")
    assert found.agent_id == store.agents.list()[0].id
    assert found.created_at <= found.updated_at
    assert store.conversations.get("conv-nowhere") is None


async def test_a_message_without_text_opens_with_what_it_has(store: Store) -> None:
    name = await _new(store, "/work")
    picture = ImagePart(media_type="image/png", data="", name="shot.png")
    await store.append(name, [UserMessage(message_id="m", content=(picture, TextPart(text="x" * 500)))])
    found = store.conversations.get(name)
    assert found
    assert found.opening == "[image shot.png]"


async def test_newest_first_by_folder_and_agent(store: Store) -> None:
    first = await _new(store, "/a", "1")
    second = await _new(store, "/b", "2")
    third = await _new(store, "/a", "3")
    empty = await _new(store, "/a")
    other = await store.agents.create("other")
    theirs = (await store.conversations.create(other.id, "/a")).id
    await store.append(theirs, [said("4")])
    await asyncio.sleep(0.002)
    await store.append(first, [said("again")])
    listed = store.conversations.list
    assert [each.id for each in listed()] == [first, theirs, third, second]
    assert [each.id for each in listed(cwd="/a")] == [first, theirs, third]
    assert [each.id for each in listed(agent_id=other.id)] == [theirs]
    assert [each.id for each in listed(limit=1)] == [first]
    assert empty in {each.id for each in listed(empty=True)}
    latest = store.conversations.latest_for("/b")
    assert latest
    assert latest.id == second
    assert store.conversations.latest_for("/nowhere") is None


async def test_a_title_is_an_event_and_shows_in_the_list(store: Store, conversation: str) -> None:
    await store.conversations.rename(conversation, "The parser", by="model")
    await store.conversations.rename(conversation, "The parser, fixed")
    found = store.conversations.get(conversation)
    assert found
    assert (found.title, found.name) == ("The parser, fixed", "The parser, fixed")
    assert store.last_seq(conversation) == 3
    with pytest.raises(StoreError, match="no conversation"):
        await store.conversations.rename("conv-nowhere", "x")


def _strange(home: Path, conversation: str) -> None:
    for seq, raw in enumerate(_STRANGE, start=2):
        raw_sql(
            home,
            "INSERT INTO events (conversation_id, seq, type, run_id, at, crc, body) VALUES (?, ?, 'x', '', '', ?, ?)",
            (conversation, seq, zlib.crc32(raw), raw),
        )
    raw_sql(home, "UPDATE conversations SET last_seq = 3 WHERE id = ?", (conversation,))


async def test_unknown_fields_and_types_survive_reading_export_copy_and_rebuild(
    store: Store, conversation: str, home: Path, tmp_path: Path
) -> None:
    _strange(home, conversation)
    await store.append(conversation, [said("after")])
    raws = [stored.raw for stored in store.read(conversation)]
    assert raws[1:3] == list(_STRANGE)
    assert isinstance(store.read(conversation)[1].event, UnknownEvent)

    assert store.conversations.export(conversation, tmp_path / "out.jsonl") == 4
    assert (tmp_path / "out.jsonl").read_bytes().split(b"\n") == [*raws, b""]
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600

    copy = await store.conversations.copy(conversation)
    assert [stored.raw for stored in store.read(copy.id)][:4] == raws
    mirror = (home / "conversations" / f"{copy.id}.jsonl").read_bytes().splitlines()
    assert [from_line(line).body for line in mirror] == [stored.raw for stored in store.read(copy.id)]

    store.close()
    for path in home.glob("letta.db*"):
        path.unlink()
    with open_store(home) as again:
        assert [stored.raw for stored in again.read(conversation)] == raws
        assert [stored.raw for stored in again.read(copy.id)][:4] == raws


async def test_exporting_what_does_not_exist_is_an_error(store: Store, tmp_path: Path, conversation: str) -> None:
    with pytest.raises(StoreError, match="no conversation"):
        store.conversations.export("conv-nowhere", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    with pytest.raises(StoreError, match="could not be written"):
        store.conversations.export(conversation, tmp_path / "nowhere" / "out.jsonl")


async def test_an_export_tells_a_damaged_event_in_its_place(store: Store, conversation: str, home: Path) -> None:
    await store.append(conversation, [note("a"), note("b")])
    (home / "conversations" / f"{conversation}.jsonl").unlink()
    raw_sql(home, "UPDATE events SET body = x'0a0a' WHERE seq = 2")
    lines = list(store.conversations.export_lines(conversation))
    assert len(lines) == 3
    assert b"damaged_event" in lines[1]
    assert all(line.count(b"\n") == 1 for line in lines)


async def test_a_copy_goes_its_own_way(store: Store, conversation: str) -> None:
    await store.append(conversation, [said("one", client_id="c1"), note("x"), said("two", client_id="c2")])
    await store.conversations.rename(conversation, "The parser")
    copy = await store.conversations.copy(conversation, up_to=3, cwd="/elsewhere")
    assert (copy.forked_from, copy.cwd, copy.title, copy.opening) == (conversation, "/elsewhere", "The parser", "one")
    assert (copy.last_seq, copy.message_count) == (4, 1)
    last = store.read(copy.id)[-1].event
    assert isinstance(last, ConversationStarted)
    assert (last.conversation_id, last.forked_from) == (copy.id, conversation)
    # What was said in the copied part is known there, what came later is not.
    assert (await store.append(copy.id, [said("one", client_id="c1")]))[0].seq == 2
    assert (await store.append(copy.id, [said("two", client_id="c2")]))[0].seq == 5
    assert store.last_seq(conversation) == 5
    with pytest.raises(StoreError, match="no conversation"):
        await store.conversations.copy("conv-nowhere")


async def test_a_copy_of_a_copy_comes_back_from_its_mirror_as_itself(
    store: Store, conversation: str, home: Path
) -> None:
    await store.append(conversation, [said("one", client_id="c1")])
    copy = await store.conversations.copy(conversation)
    again = await store.conversations.copy(copy.id)
    await store.append(again.id, [said("three")])
    before = {each.id: each for each in store.conversations.list()}
    store.close()
    (home / "letta.db").unlink()
    with open_store(home) as restored:
        after = {each.id: each for each in restored.conversations.list()}
        assert after.keys() == before.keys()
        for name, each in after.items():
            assert (each.title, each.opening, each.last_seq) == (
                before[name].title,
                before[name].opening,
                before[name].last_seq,
            )
            assert (each.message_count, each.forked_from, each.updated_at) == (
                before[name].message_count,
                before[name].forked_from,
                before[name].updated_at,
            )
        assert (await restored.append(again.id, [said("one", client_id="c1")]))[0].seq == 2


async def test_a_damaged_mirror_gives_back_what_is_whole(store: Store, conversation: str, home: Path) -> None:
    await store.append(conversation, [said("one"), said("precious"), said("three")])
    store.close()
    (home / "letta.db").unlink()
    mirror = home / "conversations" / f"{conversation}.jsonl"
    mirror.write_bytes(mirror.read_bytes().replace(b"precious", b"preci0us"))
    before = mirror.read_bytes()
    with open_store(home) as restored:
        read = restored.read(conversation)
        assert [stored.seq for stored in read] == [1, 2, 3, 4]
        assert [bool(stored.damage) for stored in read] == [False, False, True, False]
        assert mirror.name in restored.notices[0]
        assert (await restored.append(conversation, [said("five")]))[0].seq == 5
    assert mirror.read_bytes().startswith(before)


async def test_a_conversation_that_lost_its_beginning_comes_back(store: Store, conversation: str, home: Path) -> None:
    await store.append(conversation, [said("one")])
    store.close()
    (home / "letta.db").unlink()
    mirror = home / "conversations" / f"{conversation}.jsonl"
    mirror.write_bytes(mirror.read_bytes().split(b"\n", 1)[1])
    with open_store(home) as restored:
        assert [found.opening for found in restored.conversations.list()] == ["one"]
        assert [bool(stored.damage) for stored in restored.read(conversation)] == [True, False]


async def test_a_conversation_can_be_started_in_one_append(store: Store) -> None:
    agent = await store.agents.ensure_default()
    await store.append("conv-1", [started("conv-1", agent.id, cwd="/x"), said("hi")])
    found = store.conversations.get("conv-1")
    assert found
    assert (found.cwd, found.last_seq, found.message_count) == ("/x", 2, 1)
