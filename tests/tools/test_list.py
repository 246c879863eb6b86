"""List: one folder, folders first, odd entries named for what they are."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letta_code.core.errors import ToolError
from letta_code.tools.list import LIMIT, List
from letta_code.workspace.local import LocalWorkspace
from tests.tools.context import FakeContext

listing = List()


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[FakeContext]:
    (tmp_path / "tree").mkdir()
    workspace = LocalWorkspace(str(tmp_path / "tree"))
    yield FakeContext(workspace)
    await workspace.close()


async def test_what_is_there(context: FakeContext) -> None:
    root = Path(context.workspace.capabilities.root)
    (root / "src").mkdir()
    (root / "a.py").write_text("x" * 812)
    (root / "big.bin").write_bytes(b"x" * 4200)
    (root / "link").symlink_to("a.py")
    os.mkfifo(root / "pipe")
    (root / "evil\x1b[2J\nname").write_text("")
    assert (await context.text(listing)).splitlines() == [
        "src/",
        "a.py  812",
        "big.bin  4.1K",
        "evil\\x1b[2J\\nname  0",
        "link -> a.py",
        "pipe  (device, FIFO or socket)",
    ]
    assert await context.text(listing, path="src") == "(empty folder)"


async def test_a_long_folder_is_cut_and_told(context: FakeContext) -> None:
    root = Path(context.workspace.capabilities.root)
    for number in range(LIMIT + 3):
        (root / f"f{number:04d}").write_text("")
    lines = (await context.text(listing)).splitlines()
    assert len(lines) == LIMIT + 1
    assert lines[-1].startswith("[3 more")


async def test_errors_name_the_next_step(context: FakeContext) -> None:
    (Path(context.workspace.capabilities.root) / "f").write_text("")
    with pytest.raises(ToolError, match="use Read"):
        await context.call(listing, path="f")
    with pytest.raises(ToolError, match="does not exist"):
        await context.call(listing, path="nowhere")
