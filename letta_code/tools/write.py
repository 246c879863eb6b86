"""Write: make a file, or replace the whole of one that was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from letta_code.core.display import DiffBlock, DisplayBlock
from letta_code.core.errors import ToolError
from letta_code.core.messages import Value
from letta_code.safety.operations import WriteOperation
from letta_code.tools.base import Args, Tool, ToolContext, ToolResult, Wanted
from letta_code.tools.text.coding import UTF8, Coding, NotRepresentable, NotText, decode, shown
from letta_code.tools.text.diff import added_block, whole_diff
from letta_code.tools.text.files import (
    VERSIONS,
    Current,
    Stale,
    current,
    judged,
    led,
    off_loop,
    refuse_other_kinds,
    seen_as,
    sha_of,
)
from letta_code.tools.text.lines import dominant, lines_of, style_of
from letta_code.tools.text.putting_back import put_back
from letta_code.workspace.workspace import Workspace


class WriteArgs(Args, frozen=True):
    """Arguments of Write."""

    path: str
    content: Annotated[str, msgspec.Meta(description="the whole file")]


class Written(Value):
    """What a write makes of a file: `notes` say what was kept or changed beyond the content."""

    data: bytes
    block: DiffBlock
    notes: tuple[str, ...] = ()


class Write(Tool[WriteArgs]):
    """Makes or replaces a whole file."""

    name = "Write"
    args = WriteArgs
    lean = True
    takes_placeholders = True
    order = 20

    def title(self, args: WriteArgs) -> str:
        """Such as `Write src/app.py`."""
        return f"Write {shown(args.path)}"

    async def operations(self, args: WriteArgs, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        """One write; the folders above the file come with it."""
        handle = await workspace.resolve(args.path, "write")
        action = "create" if handle.kind == "missing" else "modify"
        return [Wanted(operation=WriteOperation(path=handle.path, inside=handle.inside, action=action), handle=handle)]

    async def preview(self, args: WriteArgs, ctx: ToolContext) -> tuple[DisplayBlock, ...]:
        """The diff; raises `ToolError` where the write would be refused."""
        try:
            now = await _now(args, ctx)
        except Stale as stale:
            raise ToolError(stale.again) from stale
        args = _put_back(args, now, ctx)
        return ((await off_loop(len(args.content), written_of, args, now, led(ctx, args.path))).block,)

    async def run(self, args: WriteArgs, ctx: ToolContext) -> ToolResult:
        """Write and tell how many lines."""
        try:
            now = await _now(args, ctx)
        except Stale as stale:
            return ToolResult.text(stale.message, files=stale.seen, is_error=True)
        args = _put_back(args, now, ctx)
        written = await off_loop(len(args.content), written_of, args, now, led(ctx, args.path))
        handle = judged(ctx, args.path)
        if now is None or now.data != written.data:
            await ctx.workspace.replace(handle, written.data, make_parents=True)
        sha = await off_loop(len(written.data), sha_of, written.data)
        VERSIONS.keep(sha, written.data)
        return ToolResult.text(_told(args, now, written), written.block, files=(seen_as(handle, sha),))


def _put_back(args: WriteArgs, now: Current | None, ctx: ToolContext) -> WriteArgs:
    content = put_back(args.content, ctx.vault, judged(ctx, args.path), now.data if now else b"")
    return msgspec.structs.replace(args, content=content)


async def _now(args: WriteArgs, ctx: ToolContext) -> Current | None:
    """What stands there now; None for a new file.  An empty file may be filled unread: nothing can be lost."""
    handle = judged(ctx, args.path)
    refuse_other_kinds(handle, args.path, "Write")
    if handle.kind == "missing":
        return None
    if handle.identity.size == 0:
        return Current(data=await ctx.workspace.read(handle), sha="")
    return await current(ctx, args.path, "Write")


def written_of(args: WriteArgs, now: Current | None, path: str) -> Written:
    """The bytes to write: a new file's are the content as UTF-8, an old one keeps its encoding and line endings.

    `path` is the file's name as people are shown it.
    """
    if now is None:
        return Written(data=_utf8(args.content), block=added_block(path, args.content))
    try:
        text = decode(now.data)
    except NotText:
        return Written(data=_utf8(args.content), block=added_block(path, args.content), notes=("UTF-8",))
    content, notes = _like(args.content, text.content)
    data, coding = _encoded(content, text.coding)
    if coding != text.coding:
        notes = [f"now {coding.label}, since not all of it exists in {text.coding.label}", *notes]
    elif not coding.plain:
        notes = [f"{coding.label} kept", *notes]
    return Written(data=data, block=whole_diff(path, text.content, content), notes=tuple(notes))


def _like(content: str, before: str) -> tuple[str, list[str]]:
    """The content with the line endings of the file as it was; carriage returns in the content are taken as meant."""
    ending = dominant(before)
    if "\r" not in before or "\r" in content or "\n" not in content:
        return content, []
    name = {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}[ending]
    note = f"{name} line endings kept" if style_of(before) else f"line endings were mixed, now all {name}"
    return content.replace("\n", ending), [note]


def _encoded(content: str, coding: Coding) -> tuple[bytes, Coding]:
    if coding.bom:
        content = content.removeprefix("\ufeff")
    try:
        return coding.encode(content), coding
    except NotRepresentable:
        return _utf8(content), UTF8


def _utf8(content: str) -> bytes:
    try:
        return content.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ToolError("content has a lone surrogate (half of a character); nothing was written.") from error


def _told(args: WriteArgs, now: Current | None, written: Written) -> str:
    count = len(lines_of(args.content))
    path = written.block.path
    size = f"{count} line{'' if count == 1 else 's'}"
    notes = "".join(f"; {note}" for note in written.notes)
    if now is None:
        return f"Created {path}: {size}."
    if now.data == written.data:
        return f"{path} already has exactly this content{notes}."
    return f"Wrote {path}: {size}, +{written.block.added} -{written.block.removed}{notes}."
