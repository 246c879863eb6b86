"""What is appended is durable, in order, once, and read back byte for byte."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path

import pytest

from letta_code.core.errors import StoreError
from letta_code.core.events import (
    ConversationStarted,
    MessageQueued,
    MessageUnqueued,
    Notice,
    RequestAnswered,
    RunStarted,
    UnknownEvent,
    UserMessage,
    encode,
)
from letta_code.core.messages import TextPart
from letta_code.core.requests import Approve, Deny, Reply
from letta_code.store.database import Store
from tests.core.samples import DURABLE_SAMPLES
from tests.store.support import note, open_store, raw_sql, said, started


async def test_events_get_gapless_seq_and_a_time(store: Store, conversation: str) -> None:
    first = await store.append(conversation, [note("a"), note("b")])
    second = await store.append(conversation, [note("c")])
    assert [event.seq for event in (*first, *second)] == [2, 3, 4]
    assert all(event.at.endswith("Z") for event in first)
    assert store.last_seq(conversation) == 4


async def test_every_type_of_event_is_read_back_as_its_bytes(store: Store, conversation: str) -> None:
    events = [event for event in DURABLE_SAMPLES if not isinstance(event, ConversationStarted)]
    kept = await store.append(conversation, events)
    read = store.read(conversation, after=1)
    assert [stored.event for stored in read] == list(kept)
    assert [stored.raw for stored in read] == [encode(event) for event in kept]
    assert [stored.seq for stored in read] == list(range(2, len(events) + 2))


async def test_rows_carry_the_checksum_of_their_bytes(store: Store, conversation: str, home: Path) -> None:
    await store.append(conversation, [note("a")])
    for crc, body in raw_sql(home, "SELECT crc, body FROM events"):
        assert crc == zlib.crc32(body)


async def test_what_is_kept_is_there_after_opening_again(store: Store, conversation: str, home: Path) -> None:
    kept = await store.append(conversation, [said("hello")])
    store.close()
    with open_store(home) as again:
        assert again.read(conversation)[-1].event == kept[0]


async def test_reading_from_a_place_and_up_to_a_number(store: Store, conversation: str) -> None:
    await store.append(conversation, [note(str(number)) for number in range(10)])
    assert [stored.seq for stored in store.read(conversation, after=3, limit=4)] == [4, 5, 6, 7]
    assert store.read(conversation, after=11) == []
    assert store.read("conv-nowhere") == []
    assert store.last_seq("conv-nowhere") == 0


async def test_an_append_is_kept_whole_or_not_at_all(store: Store, conversation: str) -> None:
    twice = RequestAnswered(request_id="r", answer=Reply(text="x"))
    await store.append(conversation, [twice])
    before = store.read(conversation)
    bad = Notice(level="info", text="t", run_id="run-1")
    with pytest.raises(StoreError):
        await store.append(conversation, [bad, RunStarted(model="m", mode="ask")])  # a run without an id is refused
    assert store.read(conversation) == before
    assert (await store.append(conversation, [note("next")]))[0].seq == before[-1].seq + 1


async def test_a_conversation_begins_with_its_first_event(store: Store) -> None:
    agent = await store.agents.ensure_default()
    with pytest.raises(StoreError, match="no conversation"):
        await store.append("conv-new", [note("a")])
    with pytest.raises(StoreError, match="no agent"):
        await store.append("conv-new", [started("conv-new", "agent-nobody")])
    with pytest.raises(StoreError, match="id"):
        await store.append("../escape", [started("../escape", agent.id)])
    kept = await store.append("conv-new", [started("conv-new", agent.id), said("hi")])
    assert [event.seq for event in kept] == [1, 2]
    assert store.conversations.get("conv-new") is not None


async def test_nothing_to_append_is_nothing(store: Store, conversation: str) -> None:
    assert await store.append(conversation, []) == ()
    assert store.last_seq(conversation) == 1


async def test_a_message_sent_twice_is_kept_once(store: Store, conversation: str) -> None:
    first = await store.append(conversation, [said("hello", client_id="c1")])
    again = await store.append(conversation, [said("hello, again", client_id="c1")])
    assert again == first
    assert store.last_seq(conversation) == 2


async def test_client_ids_are_per_conversation_and_only_for_messages_that_have_one(
    store: Store, conversation: str
) -> None:
    other = await store.conversations.create(store.agents.list()[0].id, "/elsewhere")
    await store.append(conversation, [said("a", client_id="c1")])
    assert (await store.append(other.id, [said("a", client_id="c1")]))[0].seq == 2
    await store.append(conversation, [said("same"), said("same")])
    assert store.last_seq(conversation) == 4


async def test_a_queued_message_is_delivered_once(store: Store, conversation: str) -> None:
    queued = MessageQueued(client_id="c1", content=(TextPart(text="later"),))
    first = await store.append(conversation, [queued])
    assert await store.append(conversation, [queued]) == first
    delivered = await store.append(conversation, [said("later", client_id="c1")])
    assert isinstance(delivered[0], UserMessage)
    assert delivered[0].seq == 3
    assert await store.append(conversation, [said("later", client_id="c1")]) == delivered
    assert (await store.append(conversation, [queued])) == first
    assert store.last_seq(conversation) == 3


async def test_a_message_that_was_delivered_at_once_is_not_queued_when_sent_again(
    store: Store, conversation: str
) -> None:
    sent = await store.append(conversation, [said("now", client_id="c1")])
    again = await store.append(conversation, [MessageQueued(client_id="c1", content=())])
    assert again == sent
    assert store.last_seq(conversation) == 2


async def test_others_of_an_append_are_kept_beside_a_known_message(store: Store, conversation: str) -> None:
    await store.append(conversation, [said("a", client_id="c1")])
    kept = await store.append(conversation, [note("x"), said("a", client_id="c1"), MessageUnqueued(client_id="z")])
    assert [event.seq for event in kept] == [3, 2, 4]


async def test_the_first_answer_wins_and_later_ones_are_told(store: Store, conversation: str, home: Path) -> None:
    yes = RequestAnswered(request_id="req-1", answer=Approve(), by="tui")
    no = RequestAnswered(request_id="req-1", answer=Deny(message="no"), by="rest")
    first = await store.answer(conversation, yes)
    with open_store(home) as elsewhere:
        second = await elsewhere.answer(conversation, no)
    assert second == first
    assert (second.by, second.seq) == ("tui", 2)
    assert store.last_seq(conversation) == 2


async def test_of_answers_at_the_same_moment_one_stands(store: Store, conversation: str) -> None:
    answers = [RequestAnswered(request_id="r", answer=Reply(text=str(n)), by=str(n)) for n in range(20)]
    told = await asyncio.gather(*(store.answer(conversation, answer) for answer in answers))
    assert len({answer.by for answer in told}) == 1
    assert store.last_seq(conversation) == 2


async def test_appends_at_the_same_moment_are_all_kept_in_one_order(store: Store, conversation: str) -> None:
    kept = await asyncio.gather(*(store.append(conversation, [note(str(n))]) for n in range(100)))
    assert sorted(events[0].seq for events in kept) == list(range(2, 102))


async def test_a_caller_that_is_cancelled_leaves_the_store_usable(store: Store, conversation: str) -> None:
    task = asyncio.create_task(store.append(conversation, [note("a")]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await store.append(conversation, [note("b")]))[0].seq in (2, 3)


async def test_half_a_surrogate_pair_is_kept_as_a_sign_that_json_can_hold(store: Store, conversation: str) -> None:
    broken = "x\udcffy"
    kept = (await store.append(conversation, [said(broken)]))[0]
    assert isinstance(kept, UserMessage)
    assert kept.content == (TextPart(text="x�y"),)
    assert store.read(conversation)[-1].event == kept


async def test_an_event_of_a_newer_version_is_read_as_its_bytes(store: Store, conversation: str, home: Path) -> None:
    raw = b'{"type":"hologram_shown","seq":2,"depth":1.50}'
    _insert_raw(home, conversation, 2, raw)
    stored = store.read(conversation)[-1]
    assert stored.raw == raw
    assert isinstance(stored.event, UnknownEvent)
    assert stored.event.type == "hologram_shown"


def _insert_raw(home: Path, conversation: str, seq: int, raw: bytes) -> None:
    raw_sql(
        home,
        "INSERT INTO events (conversation_id, seq, type, run_id, at, crc, body) VALUES (?, ?, 'x', '', '', ?, ?)",
        (conversation, seq, zlib.crc32(raw), raw),
    )
    raw_sql(home, "UPDATE conversations SET last_seq = ? WHERE id = ?", (seq, conversation))


async def test_a_damaged_row_is_read_from_the_mirror(store: Store, conversation: str, home: Path) -> None:
    kept = await store.append(conversation, [note("precious"), note("next")])
    raw_sql(home, 'UPDATE events SET body = CAST(\'{"type":"no\' AS BLOB) WHERE seq = 2')
    assert [stored.event for stored in store.read(conversation, after=1)] == list(kept)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET crc = crc + 1 WHERE seq = 2",
        "UPDATE events SET body = x'00' WHERE seq = 2",
        "UPDATE events SET body = 'text' WHERE seq = 2",
        "DELETE FROM events WHERE seq = 2",
    ],
)
async def test_damage_beyond_help_is_told_in_its_place(
    store: Store, conversation: str, home: Path, damage: str
) -> None:
    await store.append(conversation, [note("precious"), note("next")])
    (home / "conversations" / f"{conversation}.jsonl").unlink()
    raw_sql(home, damage)
    read = store.read(conversation)
    assert [stored.seq for stored in read] == [1, 2, 3]
    assert [bool(stored.damage) for stored in read] == [False, True, False]
    notice = read[1].event
    assert isinstance(notice, Notice)
    assert (notice.level, notice.code, notice.seq) == ("error", "damaged_event", 2)
    assert conversation in notice.text
    assert (await store.append(conversation, [note("later")]))[0].seq == 4


async def test_a_closed_store_says_so(store: Store, conversation: str) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.append(conversation, [note("a")])
    with pytest.raises(StoreError, match="closed"):
        store.read(conversation)


async def test_events_that_the_readable_copy_mends_are_told_once(store: Store, conversation: str, home: Path) -> None:
    await store.append(conversation, [note("precious"), note("next")])
    raw_sql(home, "UPDATE events SET crc = crc + 1 WHERE seq > 1")
    assert [stored.damage for stored in store.read(conversation)] == ["", "", ""]
    store.read(conversation)
    [told] = store.notices
    assert str(home / "letta.db") in told and conversation in told
