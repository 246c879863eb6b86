"""tool_search: deferred tools are found by name, by words, by misspelt words."""

from __future__ import annotations

from pathlib import Path

import pytest

from letta_code.llm.model import ToolSpec
from letta_code.tools.tool_search import ToolSearch
from letta_code.workspace.local import LocalWorkspace
from tests.tools.context import FakeContext

SEARCH = ToolSearch()


def spec(name: str, description: str) -> ToolSpec:
    return ToolSpec(name=name, description=description, parameters=b"{}")


SPECS = (
    spec("WebFetch", "Get a page of the web as text.\nMore lines that are not shown."),
    spec("ArchivalSearch", "Search the agent's archival memory for passages."),
    spec("ArchivalInsert", "Keep a passage in archival memory."),
    spec("github_create_issue", "Open an issue in a repository."),
    spec("Screenshot", "Take a picture of the screen."),
)


@pytest.fixture
def ctx(tmp_path: Path) -> FakeContext:
    context = FakeContext(LocalWorkspace(str(tmp_path)))
    context.deferred = SPECS
    return context


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("WebFetch", ("WebFetch",)),
        ("webfetch", ("WebFetch",)),
        ("fetch a web page", ("WebFetch",)),
        ("archival", ("ArchivalInsert", "ArchivalSearch")),
        ("search my archival memory", ("ArchivalSearch", "ArchivalInsert")),
        ("create github issue", ("github_create_issue",)),
        ("screnshot", ("Screenshot",)),
        ("screenshots", ("Screenshot",)),
    ],
)
async def test_what_is_found_is_named_and_loaded(ctx: FakeContext, query: str, found: tuple[str, ...]):
    result = await ctx.call(SEARCH, query=query)
    assert result.load_tools == found
    assert [line.split(":")[0] for line in result.content[0].text.split("\n")[1:]] == list(found)


async def test_only_the_first_line_is_shown(ctx: FakeContext):
    text = await ctx.text(SEARCH, query="WebFetch")
    assert text == "You can call these from now on:\nWebFetch: Get a page of the web as text."


async def test_nothing_found_lists_what_there_is(ctx: FakeContext):
    result = await ctx.call(SEARCH, query="zzz")
    assert result.load_tools == ()
    assert "WebFetch, ArchivalSearch" in result.content[0].text
    ctx.deferred = ()
    assert await ctx.text(SEARCH, query="zzz") == "There are no further tools."


def test_it_is_sent_only_with_deferred_tools():
    assert ToolSearch.deferred_only
    assert not ToolSearch.deferred
