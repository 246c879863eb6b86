"""Settling: what a session still has to write of memory when it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from letta_code.agent.settling import Settling
from letta_code.core.events import Notice
from letta_code.memory.blocks import Blocks
from letta_code.memory.desk import Desk


def no_search() -> Any:
    raise AssertionError("nothing searches here")


async def test_a_task_that_came_after_the_quiet_moment_is_written_at_the_end(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, "agent-1", "project-1", "conv-1")
    desk = Desk(blocks, "conv-1", open_archive=no_search, open_recall=no_search)
    told: list[Notice] = []
    settling = Settling(desk, len, told.append)
    desk.take_task("Say hello.")
    settling.begin()
    await settling.end()
    assert "Say hello." in blocks.view().find("task").value
    desk.take_task("Say goodbye.")
    await settling.end()
    assert "Say goodbye." in blocks.view().find("task").value and not told


async def test_a_memory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "agents").write_text("a file stands where the folder would be")
    desk = Desk(
        Blocks(tmp_path, "agent-1", "project-1", "conv-1"), "conv-1", open_archive=no_search, open_recall=no_search
    )
    told: list[Notice] = []
    settling = Settling(desk, len, told.append)
    settling.begin()
    await settling.end()
    assert told and all(notice.level == "warning" and notice.code == "memory" for notice in told)


async def test_what_is_found_in_the_files_at_the_end_is_told(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, "agent-1", "project-1", "conv-1")
    blocks.ensure()
    (blocks.root / "system/human.md").write_text("likes tea\n")
    told: list[Notice] = []
    settling = Settling(Desk(blocks, "conv-1", open_archive=no_search, open_recall=no_search), len, told.append)
    settling.begin()
    await settling.end()
    [notice] = told
    assert "system/human.md" in notice.text and notice.level == "info"
