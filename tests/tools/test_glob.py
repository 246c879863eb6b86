"""Glob: files by pattern, newest first."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letta_code.core.errors import ToolError
from letta_code.tools.glob import LIMIT, Glob
from letta_code.workspace.local import LocalWorkspace
from tests.tools.context import FakeContext

glob = Glob()


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[FakeContext]:
    for age, name in enumerate(["src/old.py", "src/deep/new.py", "top.py", "out/gone.py", ".github/ci.yml"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    (tmp_path / ".gitignore").write_text("out/\n")
    workspace = LocalWorkspace(str(tmp_path))
    yield FakeContext(workspace)
    await workspace.close()


async def test_newest_first_and_ignored_left_out(context: FakeContext) -> None:
    assert await context.text(glob, pattern="**/*.py") == "top.py\nsrc/deep/new.py\nsrc/old.py"
    assert await context.text(glob, pattern="*.py", path="src") == "src/deep/new.py\nsrc/old.py"
    assert await context.text(glob, pattern="src/*.py") == "src/old.py"
    assert "out/gone.py" in await context.text(glob, pattern="*.py", ignored=True)
    assert await context.text(glob, pattern="**/*.yml") == ".github/ci.yml"
    assert await context.text(glob, pattern="*.rs") == "No files match."


async def test_a_long_list_is_cut_and_told(context: FakeContext) -> None:
    root = Path(context.workspace.capabilities.root)
    for number in range(LIMIT + 5):
        (root / f"{number}.txt").write_text("")
    lines = (await context.text(glob, pattern="*.txt")).splitlines()
    assert len(lines) == LIMIT + 1
    assert lines[-1].startswith("[there are more")


async def test_only_folders_are_walked(context: FakeContext) -> None:
    for path in ("top.py", "nowhere"):
        with pytest.raises(ToolError, match="not a folder"):
            await context.call(glob, pattern="*", path=path)
