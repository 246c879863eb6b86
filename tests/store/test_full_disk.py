"""No room: nothing is acknowledged that is not kept, and it goes on when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_code.core.errors import StoreFull
from letta_code.store.database import Store
from letta_code.store.mirror import from_line
from tests.store.support import note, open_store, said, started, worker


async def test_a_file_that_may_not_grow_is_told_and_survived(store: Store, conversation: str, home: Path) -> None:
    process = worker("cramped", home, conversation)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    full, after = output.splitlines()
    kept, kind, hint = full.split(" ", 2)
    assert int(kept) > 5
    assert kind == "store_full"
    assert "room" in hint
    assert int(after) == int(kept) + 2
    assert [stored.seq for stored in store.read(conversation)] == list(range(1, int(after) + 1))
    assert [stored.damage for stored in store.read(conversation) if stored.damage] == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB; only root can make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
    )
    if not made or made.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


async def test_a_full_disk_is_told_and_survived(small_disk: Path) -> None:
    home = small_disk / ".letta"
    with open_store(home) as store:
        agent = await store.agents.ensure_default()
        conversation = "conv-full"
        await store.append(conversation, [started(conversation, agent.id)])
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"\0" * 600_000)
        acknowledged = [1]
        with pytest.raises(StoreFull) as caught:
            while True:
                kept = await store.append(conversation, [said("x" * 20_000), note("y")])
                acknowledged.extend(event.seq for event in kept)
        assert "letta.db" in str(caught.value)
        assert "room" in caught.value.hint
        assert [stored.seq for stored in store.read(conversation)] == acknowledged
        with pytest.raises(StoreFull):
            await store.append(conversation, [said("x" * 20_000)])
        ballast.unlink()
        again = await store.append(conversation, [said("there is room")])
        assert again[0].seq == len(acknowledged) + 1
        assert store.notices == ()
        lines = (home / "conversations" / f"{conversation}.jsonl").read_bytes().splitlines()
        assert [from_line(line).body for line in lines] == [stored.raw for stored in store.read(conversation)]
    with open_store(home) as again_opened:
        assert again_opened.last_seq(conversation) == len(acknowledged) + 1


async def test_a_store_cannot_be_made_on_a_full_disk_but_later(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with pytest.raises(OSError):
        ballast.write_bytes(b"\0" * 4_000_000)
    with pytest.raises(StoreFull):
        open_store(small_disk / ".letta")
    ballast.unlink()
    with open_store(small_disk / ".letta") as store:
        assert await store.agents.ensure_default()
