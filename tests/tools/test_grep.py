"""Grep: lines under their files, bounded, and no way round the question about secrets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letta_code.core.display import MatchesBlock
from letta_code.core.errors import ToolError, WorkspaceError
from letta_code.safety.operations import ReadOperation
from letta_code.tools.grep import Grep, _globs
from letta_code.workspace.local import LocalWorkspace
from tests.tools.context import FakeContext

grep = Grep()


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[FakeContext]:
    root = tmp_path / "tree"
    for name, text in {
        "src/a.py": "import os\n\n\ndef needle():\n    pass\n\n\nneedle()\n",
        "src/b.ts": "// needle\n",
        "README.md": "# needle\n",
        ".env": "KEY=needle\n",
        "skipped.log": "needle\n",
        ".gitignore": "*.log\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    workspace = LocalWorkspace(str(root))
    yield FakeContext(workspace)
    await workspace.close()


async def test_lines_stand_under_their_file(context: FakeContext) -> None:
    text = await context.text(grep, pattern="needle", glob="*.{py,ts}")
    assert text == "src/a.py\n4:def needle():\n8:needle()\n\nsrc/b.ts\n1:// needle"
    assert await context.text(grep, pattern="needle", path="src", glob="*.ts") == "src/b.ts\n1:// needle"
    assert await context.text(grep, pattern=r"needle\(\)$", path="src/a.py") == "src/a.py\n8:needle()"


async def test_context_lines_and_gaps(context: FakeContext) -> None:
    text = await context.text(grep, pattern="needle", path="src/a.py", context=1)
    assert text == "src/a.py\n3-\n4:def needle():\n5-    pass\n--\n7-\n8:needle()"


async def test_files_and_counts(context: FakeContext) -> None:
    files = (await context.text(grep, pattern="needle", show="files", glob="*.py *.md")).splitlines()
    assert sorted(files) == ["README.md", "src/a.py"]
    assert await context.text(grep, pattern="needle", show="counts", path="src", glob="*.py") == "src/a.py: 2"


async def test_ignored_files_only_when_asked(context: FakeContext) -> None:
    assert "skipped" not in await context.text(grep, pattern="needle")
    assert "skipped.log" in await context.text(grep, pattern="needle", ignored=True)


async def test_secrets_are_named_and_not_shown(context: FakeContext) -> None:
    text = await context.text(grep, pattern="needle")
    assert "KEY=" not in text
    assert text.endswith("[matches in 1 files that may hold keys or passwords are not shown: .env]")
    assert "KEY=needle" in await context.text(grep, pattern="needle", path=".env"), "asked for by name, the policy asks"
    (wanted,) = context.wanted
    assert isinstance(wanted.operation, ReadOperation)
    assert wanted.operation.path.endswith("/.env")


async def test_nothing_and_more(context: FakeContext) -> None:
    assert await context.text(grep, pattern="no such thing") == "No matches."
    text = await context.text(grep, pattern=".", path="src/a.py", limit=2)
    assert text.splitlines()[1:3] == ["1:import os", "4:def needle():"]
    assert text.splitlines()[-1].startswith("[there are more")


async def test_a_result_is_bounded(context: FakeContext) -> None:
    root = Path(context.workspace.capabilities.root)
    (root / "wide.txt").write_text(("needle " + "x" * 490 + "\n") * 900)
    result = await context.call(grep, pattern="needle", path="wide.txt", limit=1000)
    (part,) = result.content
    assert len(part.text) < 31_000  # pyright: ignore[reportAttributeAccessIssue] - text it is
    assert "there are more" in part.text  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(result.blocks[0], MatchesBlock)
    assert len(result.blocks[0].lines) <= 200


async def test_control_sequences_do_not_come_through(context: FakeContext) -> None:
    root = Path(context.workspace.capabilities.root)
    (root / "evil.txt").write_bytes(b"needle \x1b]0;title\x07\x1b[2Jend\rover\n")
    assert await context.text(grep, pattern="needle", path="evil.txt") == "evil.txt\n1:needle end over"


async def test_errors(context: FakeContext) -> None:
    with pytest.raises(ToolError, match="does not exist"):
        await context.call(grep, pattern="x", path="nowhere")
    with pytest.raises(WorkspaceError, match="literal"):
        await context.call(grep, pattern="(")
    assert await context.text(grep, pattern="needle()", literal=True, path="src/a.py") == (
        "src/a.py\n4:def needle():\n8:needle()"
    )


async def test_a_place_outside_is_judged_and_named_whole(context: FakeContext, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_text("needle\n")
    text = await context.text(grep, pattern="needle", path="../outside")
    assert text == f"{tmp_path.resolve()}/outside/f\n1:needle"
    (wanted,) = context.wanted
    assert isinstance(wanted.operation, ReadOperation)
    assert not wanted.operation.inside


def test_several_globs() -> None:
    assert _globs("*.py, src/**/*.{ts,tsx} !*.min.js") == ("*.py", "src/**/*.{ts,tsx}", "!*.min.js")
    assert _globs("") == ()
