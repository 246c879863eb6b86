"""tool_search: finds tools that exist but were not sent, and brings them in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from letta_code.llm.model import ToolSpec
from letta_code.safety.operations import AskOperation
from letta_code.tools.base import Args, Tool, ToolContext, ToolResult, Wanted
from letta_code.workspace.workspace import Workspace

MOST = 5  # tools that one search brings in
LINE = 160  # characters of a description that are shown
_WORD = re.compile(r"[a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class ToolSearchArgs(Args, frozen=True):
    """Arguments of tool_search."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=200, description="what it should do, or its name")]


class ToolSearch(Tool[ToolSearchArgs]):
    """Looks through the deferred tools."""

    name = "tool_search"
    edits_files = False
    args = ToolSearchArgs
    reads_only = True
    takes_placeholders = True
    order = 95
    deferred_only = True  # sent only where there are deferred tools

    def title(self, args: ToolSearchArgs) -> str:
        """What is searched for."""
        return f"Search tools: {args.query}"

    async def operations(
        self, args: ToolSearchArgs, workspace: Workspace, state: Mapping[str, str]
    ) -> Sequence[Wanted]:
        """Touches nothing."""
        return [Wanted(operation=AskOperation(what="tool_search"))]

    async def run(self, args: ToolSearchArgs, ctx: ToolContext) -> ToolResult:
        """Name the tools that fit; they can be called from the next step on."""
        found = ranked(args.query, ctx.deferred)[:MOST]
        if not found:
            names = ", ".join(spec.name for spec in ctx.deferred[:30])
            return ToolResult.text(f"No tool fits. There are: {names}." if names else "There are no further tools.")
        lines = [f"{spec.name}: {_first_line(spec.description)}" for spec in found]
        return ToolResult.text(
            "You can call these from now on:\n" + "\n".join(lines), load_tools=tuple(spec.name for spec in found)
        )


def ranked(query: str, specs: Sequence[ToolSpec]) -> list[ToolSpec]:
    """The tools that fit a query, best first: words of the name count most, near spellings a little."""
    words = _words(query)
    scored = [(_score(words, query.strip(), spec), spec) for spec in specs]
    fitting = [(score, spec) for score, spec in scored if score > 0]
    if not fitting:
        return []
    best = max(score for score, _ in fitting)
    fitting.sort(key=lambda pair: (-pair[0], pair[1].name))
    return [spec for score, spec in fitting if score * 3 >= best]


def _words(text: str) -> list[str]:
    return _WORD.findall(_CAMEL.sub(" ", text).lower())


def _score(words: Sequence[str], query: str, spec: ToolSpec) -> float:
    if query.lower() == spec.name.lower():
        return 100.0
    name, text = _words(spec.name), _words(spec.description)
    return sum(5 * _likeness(word, name) + _likeness(word, text) for word in words)


def _likeness(word: str, among: Sequence[str]) -> float:
    """1 for the word itself, less for one that begins alike (`file`, `files`) or is a misspelling."""
    if word in among:
        return 1.0
    if len(word) < 4:
        return 0.0
    if any(other.startswith(word) or (len(other) >= 4 and word.startswith(other)) for other in among):
        return 0.7
    from difflib import get_close_matches

    return 0.5 if get_close_matches(word, among, n=1, cutoff=0.8) else 0.0


def _first_line(text: str) -> str:
    line = text.strip().split("\n", 1)[0]
    return line if len(line) <= LINE else line[: LINE - 1] + "…"
