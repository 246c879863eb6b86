"""Several processes on one store: nothing lost, nothing twice, one order."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from letta_code.core.errors import ConversationBusy
from letta_code.core.events import Notice, RunFinished, RunStarted, StopReason, UserMessage
from letta_code.core.messages import text_of
from letta_code.store.database import Store
from letta_code.store.mirror import from_line
from tests.store.support import open_store, raw_sql, said, started, worker


def _acknowledged(lines: list[str]) -> dict[int, str]:
    pairs = (line.split(" ", 1) for line in lines if " " in line and line.endswith("\n"))
    return {int(seq): text.strip() for seq, text in pairs}


def _check(store: Store, conversation: str, acknowledged: dict[int, str]) -> None:
    """Every acknowledged event is there, none twice, seq has no gap, each append is whole, the mirror agrees."""
    read = store.read(conversation)
    assert [stored.seq for stored in read] == list(range(1, len(read) + 1))
    assert store.last_seq(conversation) == len(read)
    messages = {stored.seq: text_of(stored.event.content) for stored in read if isinstance(stored.event, UserMessage)}
    assert messages.items() >= acknowledged.items()
    assert len(set(messages.values())) == len(messages)
    for seq, text in messages.items():
        follower = read[seq].event  # the event after it: both were one append
        assert isinstance(follower, Notice)
        assert follower.text == text


async def test_two_processes_append_to_one_conversation(store: Store, conversation: str, home: Path) -> None:
    processes = [worker("append", home, conversation, name, 100) for name in ("a", "b", "c")]
    acknowledged: dict[int, str] = {}
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        acknowledged |= _acknowledged(output.splitlines(keepends=True))
    assert len(acknowledged) == 300
    _check(store, conversation, acknowledged)
    lines = (home / "conversations" / f"{conversation}.jsonl").read_bytes().splitlines()
    assert [from_line(line).seq for line in lines] == list(range(1, 602))


async def test_two_processes_append_to_two_conversations(store: Store, conversation: str, home: Path) -> None:
    other = (await store.conversations.create(store.agents.list()[0].id, "/work")).id
    processes = [(name, worker("append", home, name, "w", 100)) for name in (conversation, other)]
    for name, process in processes:
        output, _ = process.communicate(timeout=60)
        _check(store, name, _acknowledged(output.splitlines(keepends=True)))


async def test_of_two_processes_answering_one_wins_and_both_know(store: Store, conversation: str, home: Path) -> None:
    for round_ in range(5):
        processes = [worker("answer", home, conversation, f"req-{round_}", name) for name in ("left", "right")]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        told = {process.communicate(timeout=30)[0].strip() for process in processes}
        assert len(told) == 1
    assert store.last_seq(conversation) == 6


async def test_processes_that_open_a_new_store_together_make_one(home: Path) -> None:
    processes = [worker("open", home) for _ in range(4)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    told = {process.communicate(timeout=30)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert len(told) == 1
    with open_store(home) as store:
        assert [agent.id for agent in store.agents.list()] == [told.pop().strip()]


def test_a_store_that_is_just_being_made_is_never_taken_for_another_programs(tmp_path: Path) -> None:
    processes = [worker("opens") for _ in range(4)]
    pipes = [(process.stdin, process.stdout) for process in processes]
    told: list[str] = []
    for number in range(-1, 60):  # the first round waits until all are ready
        for into, _ in pipes if number >= 0 else ():
            assert into
            into.write(f"{tmp_path / str(number)}\n")
            into.flush()
        for _, out in pipes:
            assert out
            told.append(out.readline().strip())
    for process in processes:
        process.communicate(timeout=30)
    assert told[:4] == ["ready"] * 4
    assert set(told[4:]) == {"open"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_writer_loses_nothing_that_it_acknowledged(home: Path) -> None:
    rng = random.Random(20261121)
    conversation = "conv-killed"
    with open_store(home) as store:
        asyncio.run(store.append(conversation, [started(conversation, _agent(store))]))
    acknowledged: dict[int, str] = {}
    life, end = 0, time.monotonic() + 240
    while life < 50 or len(acknowledged) <= 200:  # kills in plenty, and much to lose, however slow the machine is
        assert time.monotonic() < end, f"{life} lives, {len(acknowledged)} events"
        life += 1
        process = worker("append", home, conversation, f"life{life}", 0)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.06))
        process.kill()
        acknowledged |= _acknowledged(process.stdout.readlines())
        process.wait()
        with open_store(home) as store:
            _check(store, conversation, acknowledged)
    assert raw_sql(home, "PRAGMA integrity_check") == [("ok",)]
    with open_store(home) as store:
        asyncio.run(store.append(conversation, [said("end")]))
        lines = (home / "conversations" / f"{conversation}.jsonl").read_bytes().splitlines()
        assert [from_line(line).body for line in lines] == [stored.raw for stored in store.read(conversation)]


def _agent(store: Store) -> str:
    return asyncio.run(store.agents.ensure_default()).id


async def test_one_process_runs_a_conversation_and_a_dead_one_is_free_at_once(
    store: Store, conversation: str, home: Path
) -> None:
    process = worker("hold", home, conversation)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(ConversationBusy, match=f"process {process.pid} \\(worker\\)"):
        store.acquire_writer(conversation)
    owner = store.runs.writer(conversation)
    assert owner
    assert owner.pid == process.pid
    store.acquire_writer("conv-other").release()
    process.kill()
    process.wait()
    assert store.runs.writer(conversation) is None
    with store.acquire_writer(conversation) as lock:
        assert lock.held
        with pytest.raises(ConversationBusy):
            store.acquire_writer(conversation)
    assert store.runs.writer(conversation) is None


async def test_a_run_whose_process_died_is_found_and_closed(store: Store, conversation: str) -> None:
    await store.append(conversation, [RunStarted(run_id="run-1", model="m", mode="ask")])
    assert [(run.id, run.status) for run in store.runs.open(conversation)] == [("run-1", "running")]
    with store.acquire_writer(conversation):
        for run in store.runs.open(conversation):
            await store.append(conversation, [RunFinished(run_id=run.id, reason=StopReason.ORPHANED)])
    assert store.runs.open() == []
    run = store.runs.get("run-1")
    assert run
    assert (run.status, run.is_open) == ("orphaned", False)
    assert run.ended_at
