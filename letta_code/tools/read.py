"""Read: a file's lines with their numbers, page by page; pictures and notebooks too."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from letta_code.core.display import DisplayBlock, FileBlock, ImageBlock, NoteBlock
from letta_code.core.errors import ToolError, WorkspaceError
from letta_code.core.events import FileSeen
from letta_code.core.messages import ImagePart, TextPart
from letta_code.safety.operations import ReadOperation
from letta_code.safety.secrets import PLACEHOLDER
from letta_code.tools.base import Args, Tool, ToolContext, ToolResult, Wanted
from letta_code.tools.text.coding import NotText, decode, shown, visible
from letta_code.tools.text.files import EDIT_LIMIT, VERSIONS, judged, led, off_loop, seen_as, sha_of
from letta_code.tools.text.lines import numbered
from letta_code.tools.text.notebooks import rendered
from letta_code.tools.text.paging import CHUNK, PAGE_LINES, NotPlain, Page, page_of, streamed
from letta_code.tools.text.pictures import Picture, picture_in
from letta_code.tools.text.putting_back import hidden
from letta_code.workspace.workspace import Handle, Workspace

AT_ONCE = 4_000_000  # bytes up to which a file is read in one go
SCAN_LIMIT = 512_000_000  # bytes of a huge file that are searched for the asked line
PICTURE_LIMIT = 5_000_000  # bytes of a picture that is sent to a model
BLOCK_LINES = 40  # lines kept for the person's card
BLOCK_CHARACTERS = 4_000


class ReadArgs(Args, frozen=True):
    """Arguments of Read."""

    path: str
    offset: Annotated[int, msgspec.Meta(ge=1, description="first line")] = 1
    limit: Annotated[int, msgspec.Meta(ge=1, description="lines")] = PAGE_LINES


class Read(Tool[ReadArgs]):
    """Shows files; what it has shown may be edited."""

    name = "Read"
    args = ReadArgs
    reads_only = True
    lean = True
    takes_placeholders = True
    order = 10

    def title(self, args: ReadArgs) -> str:
        """Such as `Read src/app.py from line 200`."""
        return f"Read {shown(args.path)}" + (f" from line {args.offset}" if args.offset > 1 else "")

    async def operations(self, args: ReadArgs, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        """One read; of a file that is not there, also its folder, to name what is."""
        handle = await workspace.resolve(args.path, "read")
        kind = "file" if handle.kind == "other" else handle.kind
        wanted = [_read(handle, kind)]
        if handle.kind != "missing":
            return wanted
        try:
            folder = await workspace.resolve(_folder(args.path), "list")
        except WorkspaceError:
            return wanted
        return [*wanted, _read(folder, "directory")] if folder.kind == "directory" else wanted

    async def preview(self, args: ReadArgs, ctx: ToolContext) -> tuple[DisplayBlock, ...]:
        """Where links lead, if they do."""
        place = led(ctx, args.path)
        return (NoteBlock(text=place),) if place != shown(args.path) else ()

    async def run(self, args: ReadArgs, ctx: ToolContext) -> ToolResult:
        """The page, the picture or the cells; with where they really are if that is another place."""
        result = await self._found(args, ctx)
        place = led(ctx, args.path)
        if place == shown(args.path):
            return result
        return msgspec.structs.replace(
            result,
            content=(*result.content, TextPart(text=f"[{place}]")),
            blocks=(NoteBlock(text=place), *result.blocks),
        )

    async def _found(self, args: ReadArgs, ctx: ToolContext) -> ToolResult:
        handle = judged(ctx, args.path)
        path = shown(args.path)
        if handle.kind == "missing":
            raise ToolError(f"{path} does not exist.{await _nearest_names(args.path, ctx)}")
        if handle.kind == "directory":
            raise ToolError(f"{path} is a folder; use List or Glob to see what is in it.")
        if handle.kind == "other":
            raise ToolError(f"{path} is a device, pipe or socket; only regular files are read.")
        size = handle.identity.size
        if size == 0:
            return await _empty(handle, path, ctx)
        if size > AT_ONCE:
            return await _large(args, handle, ctx)
        data = await ctx.workspace.read(handle)
        picture = picture_in(data)
        if picture is not None:
            return _picture(path, handle, data, picture, ctx)
        return await _whole(args, handle, data, ctx)


def _read(handle: Handle, kind: str) -> Wanted:
    return Wanted(operation=ReadOperation(path=handle.path, inside=handle.inside, file_kind=kind), handle=handle)


def _folder(path: str) -> str:
    return posixpath.dirname(path.rstrip("/")) or ("/" if path.startswith("/") else ".")


async def _nearest_names(path: str, ctx: ToolContext) -> str:
    folder = ctx.handles.get(_folder(path))
    if folder is None or folder.kind != "directory":
        return f" Its folder {shown(_folder(path))} does not exist either; look with Glob or List."
    from rapidfuzz import fuzz, process

    wanted = shown(posixpath.basename(path.rstrip("/")))
    names = [entry.name for entry in (await ctx.workspace.list(folder))[:10_000]]
    best = process.extract(
        wanted.casefold(), [name.casefold() for name in names], scorer=fuzz.WRatio, limit=5, score_cutoff=60.0
    )
    if not best:
        return " Nothing in its folder has a like name; look with Glob or List."
    return f" Like names in its folder: {', '.join(visible(names[index]) for _, _, index in best)}."


async def _empty(handle: Handle, path: str, ctx: ToolContext) -> ToolResult:
    # The size said 0; files of /proc say so too and have content.
    data = await ctx.workspace.read(handle, 0, CHUNK)
    if data:
        text = data[:50_000].decode("utf-8", "replace").replace("\0", "\ufffd")
        lines = text.split("\n")
        return ToolResult.text(numbered(lines[:-1] if lines[-1] == "" else lines, 1))
    return ToolResult.text(f"({path} is empty)", files=(seen_as(handle, sha_of(b"")),))


async def _whole(args: ReadArgs, handle: Handle, data: bytes, ctx: ToolContext) -> ToolResult:
    """A file that is in memory."""
    path = shown(args.path)
    try:
        text = await off_loop(len(data), decode, data)
    except NotText as error:
        raise ToolError(f"{path} is {error}.") from error
    sha = await off_loop(len(data), sha_of, data)
    VERSIONS.keep(sha, data)
    seen = (seen_as(handle, sha),)
    if path.endswith(".ipynb") and args.offset == 1 and args.limit == PAGE_LINES:
        cells = await off_loop(len(data), rendered, text.content)
        if cells is not None:
            cells = await off_loop(len(cells), hidden, cells, ctx, handle)
            note = "[a notebook, shown as cells; Edit works on its JSON: give offset and limit to read that]"
            return ToolResult.text(f"{cells}\n{note}", FileBlock(path=path, text=cells[:BLOCK_CHARACTERS]), files=seen)
    if "PRIVATE KEY-----" in text.content:  # a page may show the middle of one: its lines are known from here on
        await off_loop(len(data), hidden, text.content, ctx, handle)
    page = await off_loop(len(data), page_of, text, args.offset, args.limit)
    return _told(path, _hidden(page, ctx, handle), len(data), seen)


async def _large(args: ReadArgs, handle: Handle, ctx: ToolContext) -> ToolResult:
    """A file that is read in chunks; hashed, counted and so editable up to 50 MB."""
    path = shown(args.path)
    size = handle.identity.size

    async def read(offset: int, length: int) -> bytes:
        return await ctx.workspace.read(handle, offset, length)

    picture = picture_in(await read(0, 100_000))
    if picture is not None:
        return _picture(path, handle, b"", picture, ctx)
    editable = size <= EDIT_LIMIT
    try:
        page = await streamed(read, size, args.offset, args.limit, whole=editable, most=SCAN_LIMIT)
    except NotText as error:
        raise ToolError(f"{path} is {error}.") from error
    except NotPlain:
        return await _whole(args, handle, await ctx.workspace.read(handle), ctx)
    if page.coding.codec.startswith("utf-16"):
        raise ToolError(f"{path} is {page.coding.label} and larger than 50 MB; convert it first: `iconv -t UTF-8`.")
    if page.total is None and not page.lines:
        raise ToolError(
            f"Line {args.offset} of {path} lies beyond its first 512 MB; use Bash: "
            f"`sed -n '{args.offset},+200p;{args.offset + 200}q' FILE`, or `tail -n 200 FILE` for its end."
        )
    return _told(path, _hidden(page, ctx, handle), size, (seen_as(handle, page.sha),) if editable else ())


def _hidden(page: Page, ctx: ToolContext, handle: Handle) -> Page:
    """The page with placeholders for its secrets: Edit and Write put them back into this file."""
    text = "\n".join(page.lines)
    clean = hidden(text, ctx, handle)
    return page if clean is text else msgspec.structs.replace(page, lines=tuple(clean.split("\n")))


def _told(path: str, page: Page, size: int, seen: tuple[FileSeen, ...]) -> ToolResult:
    if not page.lines:
        raise ToolError(
            f"{path} has {page.total} line{'' if page.total == 1 else 's'}; offset {page.first} is past its end."
        )
    notes = _notes(page, size)
    text = numbered(page.lines, page.first)
    block = FileBlock(
        path=path,
        text="\n".join(page.lines[:BLOCK_LINES])[:BLOCK_CHARACTERS],
        first_line=page.first,
        total_lines=page.total or 0,
    )
    return ToolResult.text(f"{text}\n[{'; '.join(notes)}]" if notes else text, block, files=seen)


def _notes(page: Page, size: int) -> list[str]:
    """What the model should know beyond the lines; nothing for a plain file that is shown whole."""
    last = page.first + len(page.lines) - 1
    notes: list[str] = []
    if any("<secret:" in line and PLACEHOLDER.search(line) for line in page.lines):
        notes.append("<secret:…> stands for a secret: use it as it is in edits of this file, which put the value back")
    if page.more:
        whole = f"of {page.total}" if page.total is not None else f"of a file of {size / 1e6:,.0f} MB"
        notes.append(f"lines {page.first}-{last} {whole}; go on with offset={last + 1}")
    if not page.coding.plain:
        notes.append(page.coding.label)
    if page.style:
        notes.append(page.style)
    if not page.ended and not page.more:
        notes.append("no newline at the end of the file")
    if size > EDIT_LIMIT:
        notes.append("larger than 50 MB: Edit and Write refuse it, change it with a program")
    return notes


def _picture(path: str, handle: Handle, data: bytes, picture: Picture, ctx: ToolContext) -> ToolResult:
    size = handle.identity.size
    name = picture.media_type.removeprefix("image/").upper()
    what = f"{path}: {name} picture, {picture.width}x{picture.height} pixels, {size:,} bytes"
    block = ImageBlock(path=path, media_type=picture.media_type, width=picture.width, height=picture.height, bytes=size)
    if not ctx.model.sees_images:
        return ToolResult.text(
            f"{what}. This model cannot see pictures; a program can read its text or colours.", block
        )
    if size > PICTURE_LIMIT:
        raise ToolError(f"{what}: larger than 5 MB. Make a smaller copy first, e.g. with Pillow or ImageMagick.")
    from base64 import b64encode

    part = ImagePart(media_type=picture.media_type, data=b64encode(data).decode("ascii"), name=path)
    return ToolResult(content=(TextPart(text=what), part), blocks=(block,))
