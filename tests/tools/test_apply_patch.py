"""ApplyPatch: exact errors for what cannot be read or placed, all files or none."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from letta_code.core.display import DiffBlock
from letta_code.core.errors import ToolError, WorkspaceError
from letta_code.llm.model import ModelInfo
from letta_code.safety.operations import WriteOperation
from letta_code.tools.apply_patch import ApplyPatch
from letta_code.tools.base import Situation
from letta_code.tools.read import Read
from letta_code.tools.text.patch import AddFile, DeleteFile, Hunk, PatchError, UpdateFile, parse_patch
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.workspace import Capabilities, Handle, Identity
from tests.tools.context import FakeContext

READ, PATCH = Read(), ApplyPatch()


class Breaking(LocalWorkspace):
    """Fails (or is interrupted) at the n-th effect."""

    def __init__(self, root: str) -> None:
        super().__init__(root, root + "/.temp")
        self.left = -1
        self.error: BaseException = WorkspaceError("no room left")

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error

    async def replace(self, handle: Handle, data: bytes, *, make_parents: bool = False) -> Identity:
        self._step()
        return await super().replace(handle, data, make_parents=make_parents)

    async def remove(self, handle: Handle) -> None:
        self._step()
        await super().remove(handle)

    async def rename(self, source: Handle, target: Handle) -> None:
        self._step()
        await super().rename(source, target)


@pytest.fixture
def ctx(tmp_path: Path) -> FakeContext:
    return FakeContext(Breaking(str(tmp_path)))


def envelope(body: str) -> str:
    return f"*** Begin Patch\n{body}\n*** End Patch"


async def known(ctx: FakeContext, path: Path, data: bytes) -> None:
    path.write_bytes(data)
    await ctx.call(READ, path=path.name)


async def apply(ctx: FakeContext, body: str) -> Any:
    return await ctx.call(PATCH, patch=envelope(body))


def tree(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and ".temp" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# ---------------------------------------------------------------- reading


def test_all_kinds_of_sections():
    sections = parse_patch(
        envelope(
            "*** Update File: a.py\n*** Move to: b.py\n@@ class A:\n@@ def f():\n keep\n-old\n+new\n\n*** End of File\n"
            "*** Add File: new.md\n+# T\n+\n\n*** Delete File: gone"
        )
    )
    assert sections == (
        UpdateFile(
            path="a.py",
            move_to="b.py",
            hunks=(
                Hunk(
                    line=4,
                    headers=("class A:", "def f():"),
                    lines=((" ", "keep"), ("-", "old"), ("+", "new"), (" ", "")),
                    at_end=True,
                ),
            ),
        ),
        AddFile(path="new.md", lines=("# T", "")),
        DeleteFile(path="gone"),
    )


def test_a_patch_with_crlf_lines_and_blank_lines_between_sections():
    sections = parse_patch(
        envelope("\n*** Update File: a\n@@ -1,2 +1,2 @@ def f\n-x\n+y\n\n*** Delete File: b").replace("\n", "\r\n")
    )
    assert sections == (
        UpdateFile(path="a", hunks=(Hunk(line=4, lines=(("-", "x"), ("+", "y"))),)),
        DeleteFile(path="b"),
    )


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ("", "Line 1 of the patch: expected `*** Begin Patch`, found an empty line."),
        ("*** Update File: a", "Line 1 of the patch: expected `*** Begin Patch`, found `*** Update File: a`."),
        ("*** Begin Patch\n*** Delete File: a", "Line 2 of the patch: expected `*** End Patch` at the end, found"),
        (envelope(""), "Line 2 of the patch: the patch is empty."),
        (envelope("*** Rename File: a"), "Line 2 of the patch: expected `*** Add File:`, `*** Update File:` or"),
        (envelope("*** Update File:\n-x"), "Line 2 of the patch: `*** Update File:` needs a path."),
        (envelope("*** Update File: a\n*** Move to: "), "Line 3 of the patch: `*** Move to:` needs a path."),
        (envelope("*** Update File: a"), "Line 2 of the patch: the update of a has no lines that change."),
        (
            envelope("*** Update File: a\n@@\n keep"),
            "Line 3 of the patch: the hunk has no line that starts with `+` or `-`.",
        ),
        (envelope("*** Update File: a\n@@\n-x\nno mark"), "Line 5 of the patch: a line of a hunk starts with a space"),
        (envelope("*** Add File: a\nno plus"), "Line 3 of the patch: each line of a new file starts with `+`"),
        (envelope("*** Delete File: a\n-x"), "Line 3 of the patch: expected `*** Add File:`"),
    ],
)
def test_what_cannot_be_read_names_its_line(patch: str, message: str):
    with pytest.raises(PatchError) as error:
        parse_patch(patch)
    assert str(error.value).startswith(message)


# ---------------------------------------------------------------- placing


@pytest.mark.parametrize(
    ("before", "body", "after"),
    [
        (b"a\nb\nc\n", "@@\n a\n-b\n+B\n c", b"a\nB\nc\n"),
        (b"a\nb\nc\n", " a\n+new\n b", b"a\nnew\nb\nc\n"),  # the first hunk needs no @@
        (b"f\n x\ng\n x\n", "@@ g\n- x\n+ y", b"f\n x\ng\n y\n"),
        (b"A\nf\nx\nB\nf\nx\n", "@@ B\n@@ f\n-x\n+y", b"A\nf\nx\nB\nf\ny\n"),
        (b"f\nx\n", "@@ f\n f\n-x\n+y", b"f\ny\n"),  # the header repeated as context
        (b"x\na\nx\n", "@@\n-x\n+y\n*** End of File", b"x\na\ny\n"),
        (b"a\n", "@@\n+b\n*** End of File", b"a\nb\n"),
        (b"a", "@@\n+b\n*** End of File", b"a\nb"),  # no newline at the end: so it stays
        (b"a\nb", "@@\n-b\n+c\n+d", b"a\nc\nd"),
        (b"a\nb", "@@\n a\n-b", b"a\n"),
        (b"a\nb\nc\nb\n", "@@\n-a\n+A\n@@\n-c\n+C", b"A\nb\nC\nb\n"),
        (b"a\r\nb\r\n", "@@\n a\n+x\n-b\n+y", b"a\r\nx\r\ny\r\n"),
        (b"a\nb\r\nc\rd", "@@\n a\n-b\n+B\n c\n+x\n d", b"a\nB\r\nc\rx\rd"),
        (b"a\n\nb\n", "@@\n a\n\n-b\n+c", b"a\n\nc\n"),
        ("\ufeffcafé\r\n".encode("utf-16-le"), "@@\n-café\n+thé", "\ufeffthé\r\n".encode("utf-16-le")),
    ],
)
async def test_hunks(ctx: FakeContext, tmp_path: Path, before: bytes, body: str, after: bytes):
    await known(ctx, tmp_path / "a", before)
    (tmp_path / "a").chmod(0o754)
    await ctx.call(READ, path="a")
    result = await apply(ctx, f"*** Update File: a\n{body}")
    assert (tmp_path / "a").read_bytes() == after
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o754
    assert "Note:" not in result.content[0].text


async def test_white_space_at_line_ends_is_forgiven_where_it_is_clear_and_said(ctx: FakeContext, tmp_path: Path):
    await known(ctx, tmp_path / "a", b"keep  \nold\t\nend\n")
    result = await apply(ctx, "*** Update File: a\n@@\n keep\n-old\n+new")
    assert (tmp_path / "a").read_bytes() == b"keep  \nnew\nend\n"
    assert result.content[0].text == (
        "Updated a (+1 -1).\nNote: the hunk at line 3 fits line 1 but for white space at line ends."
    )
    await known(ctx, tmp_path / "b", b"x \ny\nx\t\ny\n")
    with pytest.raises(ToolError, match="not in the file"):
        await apply(ctx, "*** Update File: b\n@@\n-x\n y")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("@@\n-    return 1\n+    return 2", "stand in the file more than once, at lines 2, 5"),
        ("@@ def h():\n-    return 1", "no line of the file after the hunk before is `def h():`"),
        ("@@ def g():\n-    return 9\n+x", "Nearest: line 5."),
        ("@@\n-\treturn 1\n def g():\n+x", "not in the file"),
        ("@@\n-def g():\n+x\n@@\n-def f():\n+y", "stand at line 1, but before the hunk before it"),
        ("@@\n-def f():\n+y\n*** End of File", "stand at line 1 and not at the end of the file"),
        ("@@\n+just added", "only adds, so its place is not clear"),
        ("@@\n-def f():\n+def f():", "change nothing"),
    ],
)
async def test_what_cannot_be_placed(ctx: FakeContext, tmp_path: Path, body: str, words: str):
    await known(ctx, tmp_path / "a", b"def f():\n    return 1\n\ndef g():\n    return 1\n")
    before = tree(tmp_path)
    with pytest.raises(ToolError) as error:
        await apply(ctx, f"*** Add File: new\n+x\n*** Update File: a\n{body}")
    assert str(error.value).startswith("Nothing of the patch was written. a: ")
    assert words in str(error.value)
    assert tree(tmp_path) == before


# ---------------------------------------------------------------- several files


ALL = (
    "*** Update File: up\n@@\n-one\n+1\n*** Add File: deep/er/new\n+hello\n*** Update File: mv\n*** Move to: there/mv\n"
    "@@\n-two\n+2\n*** Delete File: gone\n*** Update File: ren\n*** Move to: ren2"
)


async def prepared(ctx: FakeContext, folder: Path) -> dict[str, bytes]:
    for name, data in (("up", b"one\n"), ("mv", b"two\n"), ("gone", b"bye\n"), ("ren", b"\x00binary")):
        (folder / name).write_bytes(data)
        if name != "ren":
            await ctx.call(READ, path=name)
    ctx.seen.versions[str(folder / "ren")] = "0" * 64
    await known(ctx, folder / "ren", b"text\n")
    (folder / "mv").chmod(0o755)
    await ctx.call(READ, path="mv")
    return tree(folder)


async def test_several_files(ctx: FakeContext, tmp_path: Path):
    await prepared(ctx, tmp_path)
    result = await apply(ctx, ALL)
    assert tree(tmp_path) == {"up": b"1\n", "deep/er/new": b"hello\n", "there/mv": b"2\n", "ren2": b"text\n"}
    assert (tmp_path / "there/mv").stat().st_mode & 0o777 == 0o755
    assert result.content[0].text.split("\n") == [
        "Updated up (+1 -1).",
        "Created deep/er/new (+1).",
        "Moved mv to there/mv (+1 -1).",
        "Deleted gone.",
        "Moved ren to ren2 (+0 -0).",
    ]
    blocks = [(b.path, b.status, b.old_path) for b in result.blocks if isinstance(b, DiffBlock)]
    assert blocks[2] == ("there/mv", "renamed", "mv")
    kinds = [
        (Path(w.operation.path).name, w.operation.action) for w in ctx.wanted if isinstance(w.operation, WriteOperation)
    ]
    assert kinds == [
        ("up", "modify"),
        ("new", "create"),
        ("mv", "rename"),
        ("mv", "create"),
        ("gone", "delete"),
        ("ren", "rename"),
        ("ren2", "create"),
    ]
    # What was written is known: the next patch needs no reading.
    await apply(ctx, "*** Update File: there/mv\n@@\n-2\n+3\n*** Update File: deep/er/new\n@@\n-hello\n+bye")


@pytest.mark.parametrize("error", [WorkspaceError("no room left"), asyncio.CancelledError()])
@pytest.mark.parametrize("step", range(1, 7))
async def test_all_or_nothing(ctx: FakeContext, tmp_path: Path, step: int, error: BaseException):
    before = await prepared(ctx, tmp_path)
    assert isinstance(ctx.workspace, Breaking)
    ctx.workspace.left, ctx.workspace.error = step, error
    with pytest.raises((ToolError, asyncio.CancelledError)) as raised:
        await apply(ctx, ALL)
    if isinstance(error, WorkspaceError):
        assert str(raised.value) == "no room left Nothing of the patch is left written."
    assert tree(tmp_path) == before
    assert (tmp_path / "mv").stat().st_mode & 0o777 == 0o755


async def test_the_steps_above_were_all(ctx: FakeContext, tmp_path: Path):
    await prepared(ctx, tmp_path)
    assert isinstance(ctx.workspace, Breaking)
    ctx.workspace.left = 8
    await apply(ctx, ALL)
    assert ctx.workspace.left == 8 - 6


async def test_what_cannot_be_taken_back_is_named(ctx: FakeContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    await prepared(ctx, tmp_path)
    calls = 0

    async def replace(self: LocalWorkspace, handle: Handle, data: bytes, *, make_parents: bool = False) -> Identity:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise WorkspaceError("disk gone")
        return await LocalWorkspace.replace(self, handle, data, make_parents=make_parents)

    monkeypatch.setattr(Breaking, "replace", replace)
    with pytest.raises(ToolError, match="left changed, since taking them back failed too: up"):
        await apply(ctx, ALL)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("*** Update File: up\n@@\n-one\n+1\n*** Update File: ./up\n@@\n-one\n+2", "up and ./up are the same file"),
        ("*** Update File: up\n@@\n-one\n+1\n*** Update File: up\n@@\n-one\n+2", "up has two sections"),
        ("*** Update File: up\n@@\n-one\n+1\n*** Update File: link\n@@\n-one\n+2", "up and link are the same file"),
        ("*** Update File: up\n*** Move to: x\n*** Add File: x\n+y", "x has two sections"),
        ("*** Update File: up\n*** Move to: gone", "gone exists already"),
        ("*** Add File: up\n+x", "up exists already"),
        ("*** Delete File: nowhere", "nowhere does not exist"),
        ("*** Update File: nowhere\n-x", "use `\\*\\*\\* Add File:` to make it"),
        ("*** Delete File: link", "symbolic link"),
        ("*** Delete File: folder", "is a folder"),
        ("*** Update File: unread\n@@\n-x\n+y", "have not read unread"),
    ],
)
async def test_refused_whole(ctx: FakeContext, tmp_path: Path, body: str, words: str):
    await prepared(ctx, tmp_path)
    (tmp_path / "link").symlink_to("up")
    (tmp_path / "folder").mkdir()
    (tmp_path / "unread").write_text("x\n")
    before = tree(tmp_path)
    with pytest.raises(ToolError, match=words):
        await apply(ctx, "*** Add File: first\n+x\n" + body)
    assert tree(tmp_path) == before


async def test_a_path_outside_is_judged_as_outside(ctx: FakeContext, tmp_path: Path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    await ctx.prepare(PATCH, patch=envelope(f"*** Add File: ../{outside.name}\n+x\n*** Add File: in\n+x"))
    operations = [w.operation for w in ctx.wanted if isinstance(w.operation, WriteOperation)]
    assert [(o.path, o.inside) for o in operations] == [(str(outside), False), (str(tmp_path / "in"), True)]
    assert not os.path.lexists(outside)


async def test_a_changed_file_is_refused_with_the_change(ctx: FakeContext, tmp_path: Path):
    await prepared(ctx, tmp_path)
    (tmp_path / "up").write_bytes(b"one\nmore\n")
    result = await apply(ctx, ALL)
    assert result.is_error
    assert "+more" in result.content[0].text
    assert (tmp_path / "mv").exists()


async def test_preview_and_title(ctx: FakeContext, tmp_path: Path):
    await prepared(ctx, tmp_path)
    args = await ctx.prepare(PATCH, patch=envelope(ALL))
    preview = await PATCH.preview(args, ctx)
    assert PATCH.title(args) == "Patch up, deep/er/new, mv …"
    assert preview == (await PATCH.run(args, ctx)).blocks
    assert PATCH.title(PATCH.args(patch="nonsense")) == "Patch"


def test_only_for_models_trained_on_it():
    def situation(family: str) -> Situation:
        return Situation(capabilities=Capabilities(), model=ModelInfo(name="m", edit_family=family))

    assert PATCH.applies(situation("apply_patch"))
    assert not PATCH.applies(situation("edit"))


async def test_where_links_lead_is_said_before_and_after(ctx: FakeContext, tmp_path: Path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "a").write_text("one\n")
    (outside / "gone").write_text("x\n")
    (tmp_path / "out").symlink_to(outside)
    await ctx.call(READ, path="out/a")
    patch = (
        "*** Begin Patch\n*** Update File: out/a\n*** Move to: out/b\n@@\n-one\n+two\n*** Delete File: out/gone\n"
        "*** Add File: out/new\n+x\n*** End Patch"
    )
    blocks = await PATCH.preview(await ctx.prepare(PATCH, patch=patch), ctx)
    assert [block.path for block in blocks] == [f"out/{name} -> {outside}/{name}" for name in ("b", "gone", "new")]
    assert blocks[0].old_path == f"out/a -> {outside}/a"
    assert f"Created out/new -> {outside}/new (+1)." in await ctx.text(PATCH, patch=patch)
