"""List: what is in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from letta_code.core.display import MatchesBlock
from letta_code.core.errors import ToolError
from letta_code.safety.terminal import visible
from letta_code.tools.base import Args, Tool, ToolContext, ToolResult, Wanted
from letta_code.tools.places import judged, named, to_read
from letta_code.workspace.workspace import Entry, Workspace

LIMIT = 500  # entries in a result


class ListArgs(Args, frozen=True):
    """Which folder."""

    path: str = "."


class List(Tool[ListArgs]):
    """Lists one folder."""

    name = "List"
    args = ListArgs
    reads_only = True
    takes_placeholders = True
    order = 80

    def title(self, args: ListArgs) -> str:
        """Such as `List src`."""
        return f"List {visible(args.path)}"

    async def operations(self, args: ListArgs, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        """One read of the folder."""
        handle = await workspace.resolve(args.path, "list")
        if handle.kind == "missing":
            raise ToolError(f"{args.path} does not exist; List of a folder above it shows what does.")
        if handle.kind != "directory":
            raise ToolError(f"{args.path} is not a folder; use Read.")
        return [to_read(handle)]

    async def run(self, args: ListArgs, ctx: ToolContext) -> ToolResult:
        """Folders first, then files with their sizes."""
        handle = judged(ctx, args.path)
        entries = await ctx.workspace.list(handle)
        ordered = sorted(entries, key=lambda entry: (entry.kind != "directory", entry.name))
        lines = [_line(entry) for entry in ordered[:LIMIT]]
        text = "\n".join(lines) or "(empty folder)"
        if len(ordered) > LIMIT:
            text += f"\n[{len(ordered) - LIMIT} more; use Glob with a pattern]"
        block = MatchesBlock(query=named(handle, ctx.workspace), lines=tuple(lines), total=len(entries))
        return ToolResult.text(text, block)


def _line(entry: Entry) -> str:
    if entry.link:
        return f"{entry.name} -> {entry.link}"
    match entry.kind:
        case "directory":
            return f"{entry.name}/"
        case "file":
            return f"{entry.name}  {_size(entry.size)}"
        case _:
            return f"{entry.name}  (device, FIFO or socket)"


def _size(count: int) -> str:
    """Bytes for people: 812, 4.1K, 12M."""
    amount = float(count)
    for unit in ("", "K", "M", "G"):
        if amount < 1000 or unit == "G":
            break
        amount /= 1024
    return f"{amount:.0f}{unit}" if not unit or amount >= 10 else f"{amount:.1f}{unit}"
