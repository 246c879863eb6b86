"""What a person is shown before a git command changes something."""

from __future__ import annotations

from pathlib import Path

from letta_code.core.display import ShellBlock
from letta_code.tools.git import Git
from letta_code.workspace.local import LocalWorkspace
from tests.host.hostile import repository
from tests.tools.context import FakeContext


async def test_a_commit_shows_its_message_and_what_would_be_in_it(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo")
    workspace = LocalWorkspace(str(root))
    try:
        context = FakeContext(workspace)
        (root / "f.txt").write_text("one\ntwo\n")
        (root / "other.txt").write_text("not staged\n")
        await context.text(Git(), subcommand="add", paths=["f.txt"])
        args = await context.prepare(Git(), subcommand="commit", message="Two lines now")
        (block,) = await Git().preview(args, context)
        assert isinstance(block, ShellBlock)
        assert "Two lines now" in block.command
        assert "f.txt" in block.output
        assert "other.txt" not in block.output
        args = await context.prepare(Git(), subcommand="restore", paths=["f.txt"])
        (block,) = await Git().preview(args, context)
        assert isinstance(block, ShellBlock)
        assert block.command == "git restore -- f.txt"
    finally:
        await workspace.close()
