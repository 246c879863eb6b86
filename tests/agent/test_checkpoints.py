"""How checkpoints are made: off the critical path, within their time, named, and let go of."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from letta_code.agent.trees import Trees
from letta_code.agent.upkeep import clean_checkpoints
from letta_code.config.paths import Paths
from letta_code.config.settings import CheckpointSettings
from letta_code.core import events as ev
from letta_code.core.errors import UsageError, WorkspaceError
from letta_code.host.snapshots import Snapshot
from tests.agent.test_rewind import THREE, Opener, bash, opened, say, turn, work

__all__ = ["opened", "work"]


class SlowStore:
    """Takes as long as it is told to."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.taken = 0

    def take(self) -> Snapshot:
        self.taken += 1
        self.go_on.wait(30)
        return Snapshot(tree="t", files=1)


def trees_on(store: Any, tmp_path: Path) -> Trees:
    trees = Trees(tmp_path / "store", str(tmp_path / "work"), tmp_path / "home")
    trees.__dict__["snapshots"] = store
    return trees


async def test_a_snapshot_that_takes_too_long_is_waited_for_no_longer_and_not_begun_twice(tmp_path: Path) -> None:
    store = SlowStore()
    trees = trees_on(store, tmp_path)
    for _ in range(2):
        with pytest.raises(WorkspaceError, match="longer than"):
            await trees.take(0.05)
    assert store.taken == 1
    store.go_on.set()
    assert (await trees.take(20)).tree == "t"


async def test_several_that_wait_for_one_snapshot_get_one_each(tmp_path: Path) -> None:
    store = SlowStore()
    trees = trees_on(store, tmp_path)
    waiting = [asyncio.create_task(trees.take(20)) for _ in range(4)]
    await asyncio.sleep(0)
    store.go_on.set()
    assert [one.tree for one in await asyncio.gather(*waiting)] == ["t"] * 4
    assert store.taken == 4


async def test_the_home_folder_and_what_is_above_it_are_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    for root in (tmp_path / "me", tmp_path, Path("/")):
        with pytest.raises(WorkspaceError, match="no project"):
            await Trees(tmp_path / "store", str(root), tmp_path / "home").take(5)
    assert Trees(tmp_path / "store", str(tmp_path / "me" / "p"), tmp_path / "home").unfit == ""
    assert Trees(tmp_path / "store", str(tmp_path / "mean"), tmp_path / "home").unfit == ""


async def test_a_bug_in_the_thread_is_an_error_that_the_run_survives(tmp_path: Path) -> None:
    class Broken:
        def take(self) -> Snapshot:
            raise ValueError("boom")

    with pytest.raises(WorkspaceError, match="boom"):
        await trees_on(Broken(), tmp_path).take(5)


async def test_the_snapshot_of_the_quiet_moment_is_the_one_that_the_first_effect_has(
    opened: Opener, work: Path
) -> None:
    async with opened(THREE) as session:
        session.checkpoints.begin()
        assert session.checkpoints.trees is not None
        await say(session, "first")
        made = session.history.checkpoints[0]
        assert made.tree
        await session.set_mode("plan")
        running = asyncio.all_tasks()
        session.checkpoints.begin()
        assert asyncio.all_tasks() == running  # nothing can be changed: nothing is read


async def test_names_that_cannot_be_meant_are_refused(opened: Opener, work: Path) -> None:
    async with opened(THREE) as session:
        await say(session, "first")
        for name in ("12", "all", "x" * 81):
            with pytest.raises(UsageError):
                await session.checkpoints.save(name)
        assert [one.kind for one in session.history.checkpoints] == ["run"]


async def test_old_checkpoints_are_cleaned_and_said_to_be(opened: Opener, work: Path) -> None:
    async with opened(THREE) as session:
        await say(session, "first")
        for name in ("mine", "last"):
            (work / "big").write_bytes(random.randbytes(2_000_000))  # what cannot be packed smaller
            await session.checkpoints.save(name)
        [said] = await asyncio.to_thread(clean_checkpoints, Paths.find(), CheckpointSettings(max_bytes=1_000_000))
        assert f" in {Paths.find().checkpoints}" in said
        way = session.checkpoints.rewinding
        newest = await way.preview(await way.find("last"))
        assert newest.files == newest.warnings == ()  # it stays, whatever its size
        assert "cleaned away (age or space)" in (await way.preview(await way.find("mine"))).warnings[0]


async def test_a_run_that_only_looks_commits_no_checkpoint_and_leaves_no_store_behind_in_the_tree(
    opened: Opener, work: Path
) -> None:
    look = (turn("", ("Read", {"path": "a.txt"}), ("List", {"path": "."})), turn("Seen."))
    async with opened(look) as session:
        await say(session, "look")
        assert not any(isinstance(event, ev.CheckpointMade) for event in await session.log())
    assert sorted(path.name for path in work.iterdir()) == [".git", "a.txt", "loose.txt"]


async def test_a_stash_has_a_way_back(opened: Opener, work: Path) -> None:
    turns = (
        turn("", bash("echo mine > a.txt")),
        turn("", bash("git -c user.name=p -c user.email=p@x stash -u -q && git stash drop -q")),
        turn("Gone."),
    )
    async with opened(turns) as session:
        await say(session, "go")
        assert [one.kind for one in session.history.checkpoints] == ["run", "danger"]
        assert not (work / "loose.txt").exists()
        way = session.checkpoints.rewinding
        await way.go(await way.preview(await way.find("2")), ("code",))
        assert (work / "a.txt").read_text() == "mine\n"
        assert (work / "loose.txt").exists()
