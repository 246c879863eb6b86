"""Write: new files as given, old ones only when they are known, their ways kept."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import pytest

from letta_code.core.display import DiffBlock
from letta_code.core.errors import ToolError, WorkspaceError
from letta_code.safety.operations import WriteOperation
from letta_code.tools.read import Read
from letta_code.tools.write import Write
from letta_code.workspace.local import LocalWorkspace
from tests.tools.context import FakeContext

READ, WRITE = Read(), Write()


@pytest.fixture
def ctx(tmp_path: Path) -> FakeContext:
    return FakeContext(LocalWorkspace(str(tmp_path), str(tmp_path / ".temp")))


async def test_a_new_file_has_exactly_the_content_and_its_folders(ctx: FakeContext, tmp_path: Path):
    content = "é\r\nx\n\ty \u2028 no end"
    result = await ctx.call(WRITE, path="a/b/c.txt", content=content)
    assert (tmp_path / "a/b/c.txt").read_bytes() == content.encode()
    assert result.content[0].text == "Created a/b/c.txt: 3 lines."
    assert isinstance(result.blocks[0], DiffBlock)
    assert (result.blocks[0].status, result.blocks[0].added) == ("added", 3)
    assert [w.operation for w in ctx.wanted] == [
        WriteOperation(path=str(tmp_path / "a/b/c.txt"), inside=True, action="create")
    ]


async def test_what_was_written_may_be_written_again(ctx: FakeContext, tmp_path: Path):
    await ctx.call(WRITE, path="a", content="1\n2\n")
    assert await ctx.text(WRITE, path="a", content="1\n3\n") == "Wrote a: 2 lines, +1 -1."
    assert (tmp_path / "a").read_text() == "1\n3\n"
    assert await ctx.text(WRITE, path="a", content="1\n3\n") == "a already has exactly this content."


async def test_an_unread_file_is_not_overwritten(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "a").write_text("precious\n")
    with pytest.raises(ToolError, match="You have not read a in this conversation"):
        await ctx.call(WRITE, path="a", content="x")
    assert (tmp_path / "a").read_text() == "precious\n"


async def test_an_empty_file_may_be_filled_unread(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "a").touch(mode=0o755)
    assert await ctx.text(WRITE, path="a", content="x\n") == "Wrote a: 1 line, +1 -0."
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755


async def test_a_file_that_changed_since_is_not_overwritten_and_the_change_is_shown(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "a").write_text("one\ntwo\n")
    await ctx.call(READ, path="a")
    (tmp_path / "a").write_text("one\nthree\n")
    result = await ctx.call(WRITE, path="a", content="x\n")
    assert result.is_error
    assert "-two\n+three" in result.content[0].text
    assert (tmp_path / "a").read_text() == "one\nthree\n"
    # The difference was told, so the model knows the file again.
    assert not (await ctx.call(WRITE, path="a", content="x\n")).is_error


@pytest.mark.parametrize(
    ("before", "content", "after", "note"),
    [
        (b"a\r\nb\r\n", "x\ny\n", b"x\r\ny\r\n", "CRLF line endings kept"),
        (b"a\r\nb\r\n", "x\r\ny\n", b"x\r\ny\n", ""),
        (b"a\rb\r", "x\ny\n", b"x\ry\r", "CR line endings kept"),
        (b"a\r\nb\nc\n", "x\ny\n", b"x\ny\n", "line endings were mixed, now all LF"),
        (codecs.BOM_UTF8 + b"a\n", "é\n", codecs.BOM_UTF8 + "é\n".encode(), "UTF-8 with BOM kept"),
        (codecs.BOM_UTF8 + b"a\n", "\ufeffé\n", codecs.BOM_UTF8 + "é\n".encode(), "UTF-8 with BOM kept"),
        (
            codecs.BOM_UTF16_BE + "a\r\n".encode("utf-16-be"),
            "é\n",
            codecs.BOM_UTF16_BE + "é\r\n".encode("utf-16-be"),
            "UTF-16 BE with BOM kept; CRLF line endings kept",
        ),
        (b"caf\xe9 x\n", "th\u00e9 y\n", b"th\xe9 y\n", "latin-1 kept"),
        (b"caf\xe9 x\n", "5 €\n", "5 €\n".encode(), "now UTF-8, since not all of it exists in latin-1"),
    ],
)
async def test_an_old_file_keeps_its_ways(
    ctx: FakeContext, tmp_path: Path, before: bytes, content: str, after: bytes, note: str
):
    path = tmp_path / "a"
    path.write_bytes(before)
    path.chmod(0o750)
    await ctx.call(READ, path="a")
    text = await ctx.text(WRITE, path="a", content=content)
    assert path.read_bytes() == after
    assert path.stat().st_mode & 0o777 == 0o750
    assert text.endswith(f"; {note}." if note else " -2.")


async def test_folders_pipes_and_binaries_are_not_written_over(ctx: FakeContext, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bin").write_bytes(b"\0\1\2")
    with pytest.raises(ToolError, match="is a folder"):
        await ctx.call(WRITE, path=".", content="x")
    with pytest.raises(ToolError, match="device, pipe or socket"):
        await ctx.call(WRITE, path="pipe", content="x")
    with pytest.raises(ToolError, match="have not read bin"):
        await ctx.call(WRITE, path="bin", content="x")


async def test_the_preview_is_the_diff_that_is_made(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "a").write_text("one\n")
    await ctx.call(READ, path="a")
    args = await ctx.prepare(WRITE, path="a", content="two\n")
    preview = await WRITE.preview(args, ctx)
    assert (tmp_path / "a").read_text() == "one\n"
    assert preview == (await WRITE.run(args, ctx)).blocks


async def test_a_file_that_came_into_being_after_the_judgement_is_not_lost(ctx: FakeContext, tmp_path: Path):
    args = await ctx.prepare(WRITE, path="a", content="mine\n")
    (tmp_path / "a").write_text("theirs\n")
    with pytest.raises(WorkspaceError, match="came into being"):
        await WRITE.run(args, ctx)
    assert (tmp_path / "a").read_text() == "theirs\n"


async def test_a_link_is_followed_and_stays_a_link(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "real").write_text("one\n")
    (tmp_path / "link").symlink_to("real")
    await ctx.call(READ, path="link")
    await ctx.call(WRITE, path="link", content="two\n")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "two\n"


async def test_where_a_link_leads_is_said_before_and_after(ctx: FakeContext, tmp_path: Path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside.txt"
    outside.write_text("")
    (tmp_path / "lnk").symlink_to(outside)
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to("real")
    arguments = {"path": "lnk", "content": "x\n"}
    (block,) = await WRITE.preview(await ctx.prepare(WRITE, **arguments), ctx)
    assert isinstance(block, DiffBlock)
    assert block.path == f"lnk -> {outside}"
    result = await ctx.call(WRITE, **arguments)
    assert result.content[0].text == f"Wrote lnk -> {outside}: 1 line, +1 -0."
    assert result.blocks[0].path == f"lnk -> {outside}"
    assert await ctx.text(WRITE, path="folder/new", content="x\n") == "Created folder/new -> real/new: 1 line."
    for same in ("./real/../plain", str(tmp_path / "absolute")):
        assert await ctx.text(WRITE, path=same, content="x\n") == f"Created {same}: 1 line."
