"""Edit: exact and unique, keeps what it does not change, and says why it does not."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from letta_code.core.display import DiffBlock
from letta_code.core.errors import ToolError, WorkspaceError
from letta_code.llm.model import ModelInfo
from letta_code.safety.operations import WriteOperation
from letta_code.tools.base import Situation
from letta_code.tools.bash import Bash
from letta_code.tools.edit import Edit
from letta_code.tools.read import Read
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.workspace import Capabilities
from tests.tools.context import FakeContext

READ, EDIT = Read(), Edit()


@pytest.fixture
def ctx(tmp_path: Path) -> FakeContext:
    return FakeContext(LocalWorkspace(str(tmp_path), str(tmp_path / ".temp")))


async def known(ctx: FakeContext, path: Path, data: bytes) -> None:
    path.write_bytes(data)
    await ctx.call(READ, path=path.name)


async def refused(ctx: FakeContext, path: Path, **arguments: object) -> str:
    """The error, after seeing that the file is as before."""
    before = path.read_bytes()
    with pytest.raises(ToolError) as error:
        await ctx.call(EDIT, path=path.name, **arguments)
    assert path.read_bytes() == before
    return str(error.value)


async def test_the_result_shows_the_place_and_the_person_the_diff(ctx: FakeContext, tmp_path: Path):
    await known(ctx, tmp_path / "a.py", b"".join(b"line %d\n" % i for i in range(1, 21)))
    result = await ctx.call(EDIT, path="a.py", old="line 10\nline 11\n", new="ten\n")
    assert result.content[0].text == "Edited a.py.\n9:line 9\n10:ten\n11:line 12"
    assert result.blocks == (
        DiffBlock(
            path="a.py",
            diff="@@ -7,8 +7,7 @@\n line 7\n line 8\n line 9\n-line 10\n-line 11\n+ten\n line 12\n line 13\n line 14",
            added=1,
            removed=2,
        ),
    )
    assert [w.operation for w in ctx.wanted] == [WriteOperation(path=str(tmp_path / "a.py"), inside=True)]


async def test_a_long_replacement_is_shown_by_its_ends(ctx: FakeContext, tmp_path: Path):
    await known(ctx, tmp_path / "a", b"x\n")
    text = await ctx.text(EDIT, path="a", old="x", new="\n".join(str(i) for i in range(100)))
    assert text == "Edited a.\n1:0\n2:1\n3:2\n4:3\n…\n97:96\n98:97\n99:98\n100:99"


async def test_edits_follow_each_other_without_reading_again(ctx: FakeContext, tmp_path: Path):
    await known(ctx, tmp_path / "a", b"one\ntwo\n")
    await ctx.call(EDIT, path="a", old="one", new="1")
    await ctx.call(EDIT, path="a", old="1\ntwo", new="1\n2")
    assert (tmp_path / "a").read_bytes() == b"1\n2\n"


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"a\r\nb\r\nc", "a\nb", "a\nx\nb", b"a\r\nx\r\nb\r\nc"),
        (b"a\rb\rc\r", "b\n", "x\ny\n", b"a\rx\ry\rc\r"),
        (b"a\nb\r\nc\rd", "a\nb\nc\nd", "a\nB\nc\nd\ne", b"a\nB\r\nc\rd\re"),
        (b"a\r\nb\r\n", "a\r\nb", "a\nb", b"a\nb\r\n"),  # a conversion that was asked for
        (b"a\nb\n", "a\r\nb", "x\r\ny", b"x\ny\n"),
        (codecs.BOM_UTF8 + b"a\r\nb", "a", "é\nx", codecs.BOM_UTF8 + "é\r\nx\r\nb".encode()),
        (
            codecs.BOM_UTF16_LE + "aé\r\nb🙂".encode("utf-16-le"),
            "é\nb",
            "ü\nx\nb",
            codecs.BOM_UTF16_LE + "aü\r\nx\r\nb🙂".encode("utf-16-le"),
        ),
        (b"caf\xe9 x\n", "é x", "é ü", b"caf\xe9 \xfc\n"),
        (b"\x93a\x94 x\n", "“a”", "“€”", b"\x93\x80\x94 x\n"),
        ("é ü ö ".encode() + b"\xff x\n", "x", "é", "é ü ö ".encode() + b"\xff " + "é\n".encode()),
        (b"a\x0cb\n", "b", "c\u2028", "a\x0cc\u2028\n".encode()),
        (b"tail", "tail", "", b""),
    ],
)
async def test_bytes(ctx: FakeContext, tmp_path: Path, before: bytes, old: str, new: str, after: bytes):
    path = tmp_path / "a"
    await known(ctx, path, before)
    path.chmod(0o751)
    await ctx.call(READ, path="a")
    await ctx.call(EDIT, path="a", old=old, new=new)
    assert path.read_bytes() == after
    assert path.stat().st_mode & 0o777 == 0o751


async def test_replace_all(ctx: FakeContext, tmp_path: Path):
    await known(ctx, tmp_path / "a", b"x = 1\r\ny = x\nx\r\n")
    text = await ctx.text(EDIT, path="a", old="x", new="long\nname", replace_all=True)
    assert (tmp_path / "a").read_bytes() == b"long\r\nname = 1\r\ny = long\nname\nlong\r\nname\r\n"
    assert text == "Edited a: 3 replacements, at lines 1, 2, 3."


async def test_several_places_are_listed_overlapping_ones_too(ctx: FakeContext, tmp_path: Path):
    await known(ctx, tmp_path / "a", b"}\n}\n}\nx\n}\n")
    message = await refused(ctx, tmp_path / "a", old="}\n}\n", new="")
    assert "more than once, at lines 1, 2; nothing was written" in message
    assert "until it is unique, or set replace_all" in message
    many = b"same\n" * 100
    await known(ctx, tmp_path / "b", many)
    assert "19, 20 and more" in await refused(ctx, tmp_path / "b", old="same", new="x")


async def test_a_miss_shows_the_nearest_lines(ctx: FakeContext, tmp_path: Path):
    await known(ctx, tmp_path / "a", b"def f():\n\treturn 1\n")
    message = await refused(ctx, tmp_path / "a", old="def f():\n    return 1", new="x")
    assert message == (
        "old is not in a; nothing was written. Lines 1-2 differ only in indentation. Line 2: the file is indented with "
        "1 tab, yours with 4 spaces.\n`-` is your text, a number is the file:\n1:def f():\n-    return 1\n2:\treturn 1"
    )


async def test_quotes_are_never_taken_for_others(ctx: FakeContext, tmp_path: Path):
    await known(ctx, tmp_path / "a", "say ‘hi’\n".encode())
    assert "only in quotes" in await refused(ctx, tmp_path / "a", old="say 'hi'", new="x")


async def test_an_unread_file_is_not_edited(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "a").write_text("x\n")
    assert "Read it first" in await refused(ctx, tmp_path / "a", old="x", new="y")


async def test_a_file_that_changed_since_is_not_edited(ctx: FakeContext, tmp_path: Path):
    path = tmp_path / "a"
    await known(ctx, path, b"one\ntwo\nthree\n")
    path.write_bytes(b"one\n2\nthree\n")
    result = await ctx.call(EDIT, path="a", old="three", new="3")
    assert result.is_error
    assert result.content[0].text == (
        "a has changed since you read it (not by you); nothing was written. What changed:\n"
        "@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
        "If your change still fits, send it again."
    )
    assert path.read_bytes() == b"one\n2\nthree\n"
    assert not (await ctx.call(EDIT, path="a", old="three", new="3")).is_error
    assert path.read_bytes() == b"one\n2\n3\n"


async def test_a_large_change_outside_means_reading_again(ctx: FakeContext, tmp_path: Path):
    path = tmp_path / "a"
    await known(ctx, path, b"x\n" * 100)
    path.write_bytes(b"y\n" * 100)
    result = await ctx.call(EDIT, path="a", old="y", new="z", replace_all=True)
    assert result.is_error
    assert result.files == ()
    assert "Read it again" in result.content[0].text


async def test_a_change_between_judgement_and_writing_is_not_lost(ctx: FakeContext, tmp_path: Path):
    path = tmp_path / "a"
    await known(ctx, path, b"one\n")
    args = await ctx.prepare(EDIT, path="a", old="one", new="two")
    path.write_bytes(b"someone else's one\n")
    with pytest.raises((ToolError, WorkspaceError)):
        result = await EDIT.run(args, ctx)
        assert result.is_error
        raise ToolError("refused as a result")
    assert path.read_bytes() == b"someone else's one\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"old": "", "new": "x"}, "old is empty"),
        ({"old": "x", "new": "x"}, "the same"),
        ({"old": "a\nb", "new": "a\r\nb"}, "change nothing"),
        ({"old": "é", "new": "€"}, r"U\+20AC\) does not exist in latin-1"),
    ],
)
async def test_what_cannot_be_meant(ctx: FakeContext, tmp_path: Path, arguments: dict[str, str], words: str):
    await known(ctx, tmp_path / "a", b"a\nb\ncaf\xe9 x\n")
    before = (tmp_path / "a").read_bytes()
    with pytest.raises(ToolError, match=words):
        await ctx.call(EDIT, path="a", **arguments)
    assert (tmp_path / "a").read_bytes() == before


async def test_missing_large_and_other_files(ctx: FakeContext, tmp_path: Path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(50_000_001)
    for path, words in (("gone", "Use Write to make it"), (".", "is a folder"), ("large", "larger than 50 MB")):
        with pytest.raises(ToolError, match=words):
            await ctx.call(EDIT, path=path, old="x", new="y")


async def test_the_preview_is_the_diff_that_is_made_and_fails_as_the_edit_would(ctx: FakeContext, tmp_path: Path):
    await known(ctx, tmp_path / "a", b"one\n")
    args = await ctx.prepare(EDIT, path="a", old="one", new="two")
    preview = await EDIT.preview(args, ctx)
    assert (tmp_path / "a").read_bytes() == b"one\n"
    assert preview == (await EDIT.run(args, ctx)).blocks
    args = await ctx.prepare(EDIT, path="a", old="one", new="two")
    with pytest.raises(ToolError, match="Read it again"):
        await EDIT.preview(args, ctx)
    await ctx.call(READ, path="a")
    args = await ctx.prepare(EDIT, path="a", old="one", new="two")
    with pytest.raises(ToolError, match="not in a"):
        await EDIT.preview(args, ctx)


def test_one_edit_family_per_model():
    def situation(family: str) -> Situation:
        return Situation(capabilities=Capabilities(), model=ModelInfo(name="m", edit_family=family))

    assert EDIT.applies(situation("edit"))
    assert not EDIT.applies(situation("apply_patch"))


def test_the_lean_tools():
    assert all(tool.lean for tool in (Read, Edit, Bash))


async def test_where_a_link_leads_is_said_before_and_after(ctx: FakeContext, tmp_path: Path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside.txt"
    outside.write_text("one\n")
    (tmp_path / "lnk").symlink_to(outside)
    (note,) = await READ.preview(await ctx.prepare(READ, path="lnk"), ctx)
    assert note.text == f"lnk -> {outside}"
    assert (await ctx.text(READ, path="lnk")).endswith(f"\n[lnk -> {outside}]")
    arguments = {"path": "lnk", "old": "one", "new": "two"}
    (block,) = await EDIT.preview(await ctx.prepare(EDIT, **arguments), ctx)
    assert block.path == f"lnk -> {outside}"
    assert (await ctx.text(EDIT, **arguments)).startswith(f"Edited lnk -> {outside}.\n")
    assert outside.read_text() == "two\n"
