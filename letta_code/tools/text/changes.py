"""Changes of files that are planned before any is made, and that can be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from stat import S_ISLNK

import msgspec

from letta_code.core.display import DiffBlock
from letta_code.core.errors import ToolError, WorkspaceError
from letta_code.tools.base import ToolContext
from letta_code.tools.text.coding import NotText, decode, shown
from letta_code.tools.text.diff import added_block, deleted_block, diff_block
from letta_code.tools.text.files import (
    EDIT_LIMIT,
    bytes_for,
    current,
    judged,
    known_sha,
    led,
    off_loop,
    refuse_other_kinds,
    text_in,
)
from letta_code.tools.text.patch import AddFile, DeleteFile, Section, UpdateFile
from letta_code.tools.text.patching import HunkError, fit_hunks
from letta_code.tools.text.putting_back import section_put_back
from letta_code.tools.text.replace import apply
from letta_code.workspace.workspace import Handle, Workspace


class Change(msgspec.Struct):
    """One file's change.

    `before` and `data` are its bytes before and after, None where there is no file; `target` is the new place of a
    renamed file; `done` how many of its steps were made.
    """

    handle: Handle
    before: bytes | None
    data: bytes | None
    block: DiffBlock
    target: Handle | None = None
    notes: tuple[str, ...] = ()
    done: int = 0

    async def make(self, workspace: Workspace) -> None:
        """Write, rename or remove."""
        if self.data is None:
            await workspace.remove(self.handle)
        elif self.data != self.before:
            await workspace.replace(self.handle, self.data, make_parents=True)
        self.done = 1
        if self.target is not None:
            await workspace.rename(await _again(workspace, self.handle), self.target)
            self.done = 2

    async def undo(self, workspace: Workspace) -> None:
        """Bring the file back as it was, as far as it was changed."""
        if self.done == 2 and self.target is not None:
            await workspace.rename(await _again(workspace, self.target), await _again(workspace, self.handle))
            self.done = 1
        if self.done == 0 or self.data == self.before:
            return
        handle = await _again(workspace, self.handle)
        if self.before is None:
            await workspace.remove(handle)
        else:
            await workspace.replace(handle, self.before)
        self.done = 0


async def _again(workspace: Workspace, handle: Handle) -> Handle:
    """The same file as it is now, after we changed it."""
    now = await workspace.resolve(handle.path, "write")
    if now.path != handle.path:
        raise WorkspaceError(f"{shown(handle.given)} leads to another place than before.")
    return now


async def undo_all(changes: Sequence[Change], workspace: Workspace) -> str:
    """Take changes back, the last first; says in a sentence how the files are now."""
    left: list[str] = []
    for change in reversed(changes):
        try:
            await change.undo(workspace)
        except WorkspaceError:
            left.append(shown(change.handle.given))
    if left:
        return f"These files are left changed, since taking them back failed too: {', '.join(left)}. Look at them."
    return "Nothing of the patch is left written."


async def plan(section: Section, ctx: ToolContext) -> Change:
    """What a section of a patch makes of its file.  Raises `ToolError`, or `Stale` as `files.current` does."""
    match section:
        case AddFile():
            section = section_put_back(section, ctx.vault, judged(ctx, section.path), b"")
            return _planned_addition(section, ctx)
        case DeleteFile():
            return await _planned_deletion(section, ctx)
        case UpdateFile():
            return await _planned_update(section, ctx)


def _planned_addition(section: AddFile, ctx: ToolContext) -> Change:
    handle = judged(ctx, section.path)
    if handle.kind != "missing":
        raise ToolError(f"{shown(section.path)} exists already: use `*** Update File:`, or Write to replace it.")
    content = "".join(line + "\n" for line in section.lines)
    return Change(
        handle=handle, before=None, data=content.encode("utf-8"), block=added_block(led(ctx, section.path), content)
    )


async def _planned_deletion(section: DeleteFile, ctx: ToolContext) -> Change:
    handle = judged(ctx, section.path)
    path = led(ctx, section.path)
    if handle.kind == "missing":
        raise ToolError(f"{path} does not exist.")
    refuse_other_kinds(handle, section.path, "Delete File")
    if handle.identity.size > EDIT_LIMIT:
        raise ToolError(f"{path} is larger than 50 MB; a patch could not bring it back. Delete it with a command.")
    if S_ISLNK(handle.identity.mode):
        raise ToolError(f"{path} is a symbolic link; remove it with a command (rm).")
    # What was never read may be deleted, as with rm; what was read must be what was read.
    if known_sha(ctx, handle) is not None:
        before = (await current(ctx, section.path, "Delete File")).data
    else:
        before = await ctx.workspace.read(handle)
    try:
        block = deleted_block(path, decode(before).content)
    except NotText:
        block = DiffBlock(path=path, diff="", status="deleted")
    return Change(handle=handle, before=before, data=None, block=block)


async def _planned_update(section: UpdateFile, ctx: ToolContext) -> Change:
    handle = judged(ctx, section.path)
    if handle.kind == "missing":
        raise ToolError(f"{shown(section.path)} does not exist; use `*** Add File:` to make it.")
    target = judged(ctx, section.move_to) if section.move_to else None
    if target is not None and target.kind != "missing":
        raise ToolError(f"{shown(section.move_to)} exists already; a move does not overwrite.")
    now = await current(ctx, section.path, "Update File")
    section = section_put_back(section, ctx.vault, handle, now.data)
    names = (led(ctx, section.path), led(ctx, section.move_to) if section.move_to else "")
    return await off_loop(len(now.data), _updated, section, (handle, target), names, now.data)


def _updated(
    section: UpdateFile, handles: tuple[Handle, Handle | None], names: tuple[str, str], before: bytes
) -> Change:
    """`handles` and `names` (as people are shown them) are of the file and of the place it moves to."""
    handle, target = handles
    path, moved_to = names
    if not section.hunks:
        moved = DiffBlock(path=moved_to, diff="", status="renamed", old_path=path)
        return Change(handle=handle, before=before, data=before, block=moved, target=target)
    text = text_in(before, section.path)
    try:
        fitted = fit_hunks(text.content, section.hunks)
    except HunkError as error:
        raise ToolError(f"{path}: {error}") from error
    changed = apply(text.content, fitted.spans)
    if changed == text.content and target is None:
        raise ToolError(f"{path}: the hunks change nothing; line endings are kept as the file has them.")
    block = diff_block(path, text.content, fitted.spans)
    if target is not None:
        block = msgspec.structs.replace(block, path=moved_to, old_path=path, status="renamed")
    return Change(
        handle=handle,
        before=before,
        data=bytes_for(text, changed, section.path),
        block=block,
        target=target,
        notes=fitted.notes,
    )
