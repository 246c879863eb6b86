"""Glob: files whose path matches a pattern, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from letta_code.core.display import MatchesBlock
from letta_code.core.errors import ToolError
from letta_code.safety.terminal import visible
from letta_code.tools.base import Args, Tool, ToolContext, ToolResult, Wanted
from letta_code.tools.places import below, judged, named, to_read
from letta_code.workspace.workspace import Workspace

LIMIT = 200  # paths in a result


class GlobArgs(Args, frozen=True):
    """Which files, and where."""

    pattern: Annotated[str, msgspec.Meta(min_length=1)]
    path: str = "."
    ignored: Annotated[bool, msgspec.Meta(description="also files that git ignores")] = False


class Glob(Tool[GlobArgs]):
    """Finds files by name."""

    name = "Glob"
    args = GlobArgs
    reads_only = True
    takes_placeholders = True
    order = 70

    def title(self, args: GlobArgs) -> str:
        """Such as `Glob **/*.py in src`."""
        return f"Glob {visible(args.pattern)}" + ("" if args.path == "." else f" in {visible(args.path)}")

    async def operations(self, args: GlobArgs, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        """One read of the folder."""
        handle = await workspace.resolve(args.path, "list")
        if handle.kind != "directory":
            raise ToolError(f"{args.path} is not a folder; List shows what is where.")
        return [to_read(handle)]

    async def run(self, args: GlobArgs, ctx: ToolContext) -> ToolResult:
        """Walk and list."""
        handle = judged(ctx, args.path)
        walked = await ctx.workspace.walk(handle, args.pattern, limit=LIMIT, ignored=args.ignored)
        folder = named(handle, ctx.workspace)
        paths = [below(folder, path) for path in walked.paths]
        text = "\n".join(paths) or "No files match."
        if walked.more:
            text += f"\n[there are more than {LIMIT}; narrow the pattern]"
        return ToolResult.text(text, MatchesBlock(query=args.pattern, lines=tuple(paths), total=len(paths)))
