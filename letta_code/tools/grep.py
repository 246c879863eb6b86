"""Grep: lines or files that match a regular expression."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from letta_code.core.display import MatchesBlock
from letta_code.core.errors import ToolError
from letta_code.safety.places import is_secret
from letta_code.safety.terminal import strip_controls, visible
from letta_code.tools.base import Args, Tool, ToolContext, ToolResult, Wanted
from letta_code.tools.places import below, judged, named, to_read
from letta_code.workspace.workspace import Found, SearchLine, SearchQuery, Workspace

MOST = 1000  # lines that may be asked for
SHOWN = 16_000  # characters of a result


class GrepArgs(Args, frozen=True):
    """What to look for, and where."""

    pattern: Annotated[str, msgspec.Meta(min_length=1)]
    path: str = "."
    glob: Annotated[str, msgspec.Meta(description="files to search: *.py, src/**/*.{ts,tsx}, !*.min.js")] = ""
    show: Literal["lines", "files", "counts"] = "lines"
    context: Annotated[int, msgspec.Meta(ge=0, le=50, description="lines around a match")] = 0
    ignore_case: bool = False
    literal: bool = False
    multiline: bool = False
    ignored: Annotated[bool, msgspec.Meta(description="also search files that git ignores")] = False
    limit: Annotated[int, msgspec.Meta(ge=1, description="lines")] = 200


class Grep(Tool[GrepArgs]):
    """Searches file contents."""

    name = "Grep"
    args = GrepArgs
    reads_only = True
    takes_placeholders = True
    order = 60

    def title(self, args: GrepArgs) -> str:
        """Such as `Grep "def main" in src (*.py)`."""
        where = "" if args.path == "." else f" in {visible(args.path)}"
        return f"Grep {visible(args.pattern)[:100]!r}{where}" + (f" ({visible(args.glob)})" if args.glob else "")

    async def operations(self, args: GrepArgs, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        """One read of the place to search."""
        handle = await workspace.resolve(args.path, "list")
        if handle.kind == "missing":
            raise ToolError(f"{args.path} does not exist; Glob or List shows what does.")
        return [to_read(handle)]

    async def run(self, args: GrepArgs, ctx: ToolContext) -> ToolResult:
        """Search and list."""
        handle = judged(ctx, args.path)
        query = SearchQuery(
            pattern=args.pattern,
            globs=_globs(args.glob),
            ignore_case=args.ignore_case,
            literal=args.literal,
            multiline=args.multiline,
            hidden=True,
            no_ignore=args.ignored,
            before=args.context,
            after=args.context,
            mode=_MODES[args.show],
            limit=min(args.limit, MOST),
        )
        found = await ctx.workspace.search(handle, query)
        folder = named(handle, ctx.workspace)
        if handle.kind == "file":
            folder = os.path.dirname(folder) or "."
            kept, hidden = list(found.lines), []
        else:
            kept, hidden = _without_secrets(found.lines)
        lines = _rendered(kept, folder, args.show)
        text = _bounded(lines, found, query)
        if hidden:
            names = ", ".join(below(folder, name) for name in hidden[:5])
            text += f"\n[matches in {len(hidden)} files that may hold keys or passwords are not shown: {names}]"
        block = MatchesBlock(query=args.pattern, lines=tuple(lines[:200]), total=len(lines))
        return ToolResult.text(text, block)


_MODES: Mapping[str, Literal["content", "files", "count"]] = {"lines": "content", "files": "files", "counts": "count"}


def _globs(text: str) -> tuple[str, ...]:
    """One or more globs, parted by blanks or by commas outside braces."""
    globs: list[str] = [""]
    depth = 0
    for char in text:
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char.isspace() or (char == "," and depth <= 0):
            globs.append("")
        else:
            globs[-1] += char
    return tuple(glob for glob in globs if glob)


def _without_secrets(lines: Sequence[SearchLine]) -> tuple[list[SearchLine], list[str]]:
    """Reading a file of keys is asked about; searching the folder it lies in must not get round that."""
    secret = {line.path for line in lines if line.text and is_secret(line.path)}
    return [line for line in lines if line.path not in secret], sorted(secret)


def _rendered(lines: Sequence[SearchLine], folder: str, show: str) -> list[str]:
    """Lines below their file's name as `12:text` (`12-text` around a match); files and counts one a line."""
    if show == "files":
        return [below(folder, line.path) for line in lines]
    if show == "counts":
        return [f"{below(folder, line.path)}: {line.count}" for line in lines]
    with_context = any(not line.is_match for line in lines)
    out: list[str] = []
    path, last = "", 0
    for line in lines:
        if line.path != path:
            out += [""] if out else []
            out.append(below(folder, line.path))
        elif with_context and line.line > last + 1:
            out.append("--")
        path, last = line.path, line.line
        text = strip_controls(line.text.replace("\r", " "))  # a lone carriage return is no line end here
        out.append(f"{line.line}{':' if line.is_match else '-'}{text}")
    return out


def _bounded(lines: Sequence[str], found: Found, query: SearchQuery) -> str:
    if not lines:
        nothing = "No matches."
        return f"{nothing}\n[{found.problem}]" if found.problem else nothing
    size = 0
    kept: list[str] = []
    for line in lines:
        size += len(line) + 1
        if size > SHOWN:
            break
        kept.append(line)
    text = "\n".join(kept)
    if found.more or len(kept) < len(lines):
        text += f"\n[there are more; narrow the search or raise limit (now {query.limit}, at most {MOST})]"
    return f"{text}\n[{found.problem}]" if found.problem else text
