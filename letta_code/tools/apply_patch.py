"""ApplyPatch: changes of several files in one patch, all or none; for models that are trained on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from letta_code.core.display import DiffBlock, DisplayBlock
from letta_code.core.errors import LettaError, ToolError, WorkspaceError
from letta_code.core.events import FileSeen
from letta_code.safety.operations import WriteOperation
from letta_code.tools.base import Args, Situation, Tool, ToolContext, ToolResult, Wanted
from letta_code.tools.text.changes import Change, plan, undo_all
from letta_code.tools.text.coding import shown
from letta_code.tools.text.files import VERSIONS, Stale, seen_as, sha_of
from letta_code.tools.text.patch import AddFile, DeleteFile, PatchError, Section, UpdateFile, parse_patch, paths_of
from letta_code.workspace.workspace import Workspace


class ApplyPatchArgs(Args, frozen=True):
    """Arguments of ApplyPatch."""

    patch: Annotated[str, msgspec.Meta(description="the whole patch with both envelope lines")]


class ApplyPatch(Tool[ApplyPatchArgs]):
    """Applies a patch to several files, all or none."""

    name = "ApplyPatch"
    args = ApplyPatchArgs
    takes_placeholders = True
    order = 30

    def applies(self, situation: Situation) -> bool:
        """One edit family per model."""
        return situation.model.edit_family == "apply_patch"

    def title(self, args: ApplyPatchArgs) -> str:
        """Such as `Patch src/app.py, src/b.py`."""
        try:
            paths = paths_of(parse_patch(args.patch))
        except PatchError:
            return "Patch"
        return f"Patch {', '.join(shown(path) for path in paths[:3])}" + (" …" if len(paths) > 3 else "")

    async def operations(
        self, args: ApplyPatchArgs, workspace: Workspace, state: Mapping[str, str]
    ) -> Sequence[Wanted]:
        """A write for each file, two for one that is renamed."""
        wanted: list[Wanted] = []
        for section in _parsed(args.patch):
            wanted += await _wanted(section, workspace)
        _refuse_same_file(wanted)
        return wanted

    async def preview(self, args: ApplyPatchArgs, ctx: ToolContext) -> tuple[DisplayBlock, ...]:
        """The diffs; raises `ToolError` where the patch would fail."""
        try:
            return tuple([change.block for change in await _planned(args, ctx)])
        except Stale as stale:
            raise ToolError(stale.again) from stale

    async def run(self, args: ApplyPatchArgs, ctx: ToolContext) -> ToolResult:
        """Compute every change, then make them; on a failure those that were made are taken back."""
        try:
            changes = await _planned(args, ctx)
        except Stale as stale:
            return ToolResult.text(stale.message, files=stale.seen, is_error=True)
        made: list[Change] = []
        try:
            # Deletions last: a file that was deleted is the hardest to bring back as it was.
            for change in sorted(changes, key=lambda change: change.data is None):
                made.append(change)
                await change.make(ctx.workspace)
        except WorkspaceError as error:
            raise ToolError(f"{error} {await undo_all(made, ctx.workspace)}") from error
        except BaseException:
            await undo_all(made, ctx.workspace)
            raise
        files = tuple(_seen(change) for change in changes if change.data is not None)
        blocks: list[DiffBlock] = [change.block for change in changes]
        return ToolResult.text("\n".join(_told(change) for change in changes), *blocks, files=files)


def _refuse_same_file(wanted: Sequence[Wanted]) -> None:
    """Each section is planned by itself, so two of them must not be about one file, whatever paths they use."""
    named: dict[str, str] = {}
    for one in wanted:
        if one.handle is None:
            continue
        given = shown(one.handle.given)
        if one.handle.path in named:
            first = named[one.handle.path]
            what = f"{given} has two sections" if first == given else f"{first} and {given} are the same file"
            raise ToolError(f"Nothing of the patch was written. {what}; put all its hunks into one section.")
        named[one.handle.path] = given


def _parsed(patch: str) -> tuple[Section, ...]:
    try:
        return parse_patch(patch)
    except PatchError as error:
        raise ToolError(f"Nothing of the patch was written. {error}") from error


async def _wanted(section: Section, workspace: Workspace) -> list[Wanted]:
    match section:
        case AddFile():
            return [await _write(workspace, section.path, "create")]
        case DeleteFile():
            handle = await workspace.resolve(section.path, "delete")
            operation = WriteOperation(path=handle.path, inside=handle.inside, action="delete")
            return [Wanted(operation=operation, handle=handle)]
        case UpdateFile():
            if not section.move_to:
                return [await _write(workspace, section.path, "modify")]
            return [
                await _write(workspace, section.path, "rename"),
                await _write(workspace, section.move_to, "create"),
            ]


async def _write(workspace: Workspace, path: str, action: str) -> Wanted:
    handle = await workspace.resolve(path, "write")
    return Wanted(operation=WriteOperation(path=handle.path, inside=handle.inside, action=action), handle=handle)


async def _planned(args: ApplyPatchArgs, ctx: ToolContext) -> list[Change]:
    try:
        return [await plan(section, ctx) for section in _parsed(args.patch)]
    except LettaError as error:
        raise ToolError(f"Nothing of the patch was written. {error}") from error


def _seen(change: Change) -> FileSeen:
    assert change.data is not None  # deletions are left out
    sha = sha_of(change.data)
    VERSIONS.keep(sha, change.data)
    return seen_as(change.target or change.handle, sha)


def _told(change: Change) -> str:
    block = change.block
    match block.status:
        case "added":
            line = f"Created {block.path} (+{block.added})."
        case "deleted":
            line = f"Deleted {block.path}."
        case "renamed":
            line = f"Moved {block.old_path} to {block.path} (+{block.added} -{block.removed})."
        case _:
            line = f"Updated {block.path} (+{block.added} -{block.removed})."
    return "\n".join([line, *(f"Note: {note}." for note in change.notes)])
