"""A lost database: everything comes back from the readable copies, however often the restore is cut off."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import msgspec
import pytest

from letta_code.core.errors import StoreError
from letta_code.core.events import RunStarted
from letta_code.store.database import Store
from letta_code.store.passages import MIRROR, Passage
from tests.store.support import open_store, raw_sql, said, started, worker

_COUNT = 3


async def _filled(home: Path, count: int = _COUNT) -> Passage:
    """A home with conversations and a passage, whose database is then lost."""
    with open_store(home) as store:
        agent = (await store.agents.ensure_default()).id
        for number in range(count):
            name = f"conv-{number}"
            run = RunStarted(run_id=f"run-{number}", model="m", mode="ask")
            await store.append(name, [started(name, agent), said(name, client_id=name), run])
        passage, _ = await store.passages.insert(Passage(id="", agent_id=agent, content="precious", tags=("a",)))
    _lose(home)
    return passage


def _lose(home: Path) -> None:
    for path in home.glob("letta.db*"):
        path.unlink()


def _check(store: Store, passage: Passage, count: int = _COUNT) -> None:
    found = store.conversations.list(limit=1000)
    assert sorted(one.id for one in found) == sorted(f"conv-{number}" for number in range(count))
    assert all((one.last_seq, one.message_count, one.opening) == (3, 1, one.id) for one in found)
    assert len(store.runs.open()) == count
    assert store.passages.list(passage.agent_id) == [passage]


# The first copy is opened to see that there is one, then each for its first bytes and for its lines, then the passages.
@pytest.mark.parametrize("moment", range(1, 2 * _COUNT + 3))
async def test_a_restore_that_was_killed_goes_on_at_the_next_start(home: Path, moment: int) -> None:
    passage = await _filled(home)
    for _ in range(2):
        process = worker("die-restoring", home, moment)
        process.communicate(timeout=30)
        if process.returncode == 0:
            break  # it went on behind what the first one had done, and came to the end
        assert process.returncode == -signal.SIGKILL
    else:
        with open_store(home) as store:
            assert "Restored: " in store.notices[0]
            _check(store, passage)
    with open_store(home) as store:
        assert store.notices == ()
        _check(store, passage)


async def test_a_start_that_may_only_read_tells_that_the_restore_is_not_finished(home: Path) -> None:
    passage = await _filled(home)
    worker("die-restoring", home, 5).communicate(timeout=30)
    with open_store(home, read_only=True) as reader:
        assert 0 < len(reader.conversations.list()) < _COUNT
        assert "not whole again" in reader.notices[0]
    with open_store(home) as store:
        _check(store, passage)


async def test_a_restore_that_failed_goes_on_at_the_next_start(home: Path) -> None:
    passage = await _filled(home)
    (home / "conversations" / "conv-1.jsonl").rename(home / "aside")
    worker("die-restoring", home, 3).communicate(timeout=30)
    raw_sql(
        home,
        "CREATE TRIGGER planted BEFORE INSERT ON conversations WHEN NEW.id = 'conv-1' "
        "BEGIN SELECT RAISE(ABORT, 'planted'); END",
    )
    (home / "aside").rename(home / "conversations" / "conv-1.jsonl")
    with pytest.raises(StoreError, match="planted"):
        open_store(home)
    raw_sql(home, "DROP TRIGGER planted")
    with open_store(home) as store:
        _check(store, passage)


async def test_processes_that_find_the_database_lost_restore_it_together(home: Path) -> None:
    passage = await _filled(home, 40)
    for _ in range(3):
        processes = [worker("opens") for _ in range(4)]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write(f"{home}\n")
            process.stdin.flush()
        assert [process.communicate(timeout=60)[0] for process in processes] == ["open\n"] * 4
        with open_store(home) as store:
            assert store.notices == ()
            _check(store, passage, 40)
        _lose(home)


async def test_a_copy_that_cannot_be_used_keeps_no_other_out(home: Path) -> None:
    passage = await _filled(home)
    folder = home / "conversations"
    shutil.copy(folder / "conv-0.jsonl", folder / "conv-0 (copy).jsonl")
    with open_store(home) as store:
        _check(store, passage)
        assert "Restored: 3 conversations from" in store.notices[0]
        assert "conv-0 (copy).jsonl: 1 part set aside" in store.notices[0]
    with open_store(home) as again:
        assert again.notices == ()


async def test_passages_come_back_as_they_were(home: Path) -> None:
    passage = await _filled(home)
    with open_store(home) as store:
        deleted, _ = await store.passages.insert(msgspec.structs.replace(passage, content="no longer wanted"))
        await store.passages.delete(deleted.id)
    with (home / "agents" / passage.agent_id / MIRROR).open("ab") as file:
        file.write(b'{"id":"p","agent_id":"\xff","content":"not UTF-8"}\nno JSON\n')
    _lose(home)
    with open_store(home) as store:
        _check(store, passage)
        assert "2 passages" in store.notices[0]
        back = store.passages.get(deleted.id)
        assert back is not None
        assert (back.content, bool(back.deleted_at)) == ("no longer wanted", True)
