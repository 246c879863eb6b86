"""Following a conversation: from the past into the present, from any process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from letta_code.core.errors import StoreError
from letta_code.store.database import Store
from letta_code.store.journal import PAGE, StoredEvent
from tests.store.support import note, open_store, worker


async def _take(store: Store, conversation: str, count: int, after: int = 0) -> list[StoredEvent]:
    taken: list[StoredEvent] = []
    async for stored in store.follow(conversation, after):
        taken.append(stored)
        if len(taken) == count:
            break
    return taken


async def test_what_is_there_comes_first_then_what_happens(store: Store, conversation: str) -> None:
    await store.append(conversation, [note("a")])
    taking = asyncio.create_task(_take(store, conversation, 4))
    await asyncio.sleep(0.05)
    await store.append(conversation, [note("b"), note("c")])
    taken = await asyncio.wait_for(taking, 5)
    assert taken == store.read(conversation)


async def test_from_a_place_on(store: Store, conversation: str) -> None:
    await store.append(conversation, [note(str(n)) for n in range(5)])
    assert [stored.seq for stored in await _take(store, conversation, 2, after=3)] == [4, 5]


async def test_more_than_one_page(store: Store, conversation: str) -> None:
    await store.append(conversation, [note(str(n)) for n in range(2 * PAGE + 9)])
    taken = await asyncio.wait_for(_take(store, conversation, 2 * PAGE + 10), 10)
    assert [stored.seq for stored in taken] == list(range(1, 2 * PAGE + 11))


async def test_a_follower_of_this_process_hears_at_once(store: Store, conversation: str) -> None:
    delays: list[float] = []
    for _ in range(10):
        taking = asyncio.create_task(_take(store, conversation, 1, after=store.last_seq(conversation)))
        await asyncio.sleep(0.02)
        await store.append(conversation, [note("a")])
        kept = time.perf_counter()
        await asyncio.wait_for(taking, 5)
        delays.append(time.perf_counter() - kept)
    assert sorted(delays)[5] < 0.05  # polling alone would take 0.05 on average, up to 0.1


async def test_a_follower_of_another_process_hears_soon(store: Store, conversation: str, home: Path) -> None:
    process = worker("append", home, conversation, "w", 30)
    taken = await asyncio.wait_for(_take(store, conversation, 61), 30)
    assert process.wait(30) == 0
    assert [stored.seq for stored in taken] == list(range(1, 62))
    assert taken == store.read(conversation)


async def test_another_conversations_events_are_not_told(store: Store, conversation: str) -> None:
    other = await store.conversations.create(store.agents.list()[0].id, "/work")
    taking = asyncio.create_task(_take(store, conversation, 1, after=1))
    await store.append(other.id, [note("elsewhere")])
    await asyncio.sleep(0.25)
    assert not taking.done()
    await store.append(conversation, [note("here")])
    assert (await asyncio.wait_for(taking, 5))[0].seq == 2


async def test_several_followers_in_several_loops(store: Store, conversation: str) -> None:
    def elsewhere() -> list[StoredEvent]:
        return asyncio.run(_take(store, conversation, 11))

    threads = [asyncio.to_thread(elsewhere) for _ in range(3)]
    taking = asyncio.gather(*threads, _take(store, conversation, 11))
    for number in range(10):
        await store.append(conversation, [note(str(number))])
    for taken in await asyncio.wait_for(taking, 10):
        assert taken == store.read(conversation)


async def test_it_ends_when_the_store_is_closed(store: Store, conversation: str, home: Path) -> None:
    taking = asyncio.create_task(_take(store, conversation, 9))
    await asyncio.sleep(0.05)
    store.close()
    assert len(await asyncio.wait_for(taking, 5)) == 1
    with open_store(home) as again, pytest.raises(StoreError):
        again.close()
        again.read(conversation)


async def test_waiting_costs_next_to_nothing(store: Store, conversation: str) -> None:
    taking = asyncio.create_task(_take(store, conversation, 1, after=1))
    await asyncio.sleep(0.1)
    before = time.process_time()
    await asyncio.sleep(1.0)
    assert time.process_time() - before < 0.02
    taking.cancel()
