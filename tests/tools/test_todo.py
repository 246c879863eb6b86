"""Todo: the whole list each time, one thing in progress."""

from __future__ import annotations

from pathlib import Path

import pytest

from letta_code.core.display import TodoBlock, TodoItem
from letta_code.core.errors import ToolError
from letta_code.safety.operations import MemoryOperation
from letta_code.tools.todo import Todo
from letta_code.workspace.local import LocalWorkspace
from tests.tools.context import FakeContext

TODO = Todo()


@pytest.fixture
def ctx(tmp_path: Path) -> FakeContext:
    return FakeContext(LocalWorkspace(str(tmp_path)))


def item(text: str, status: str = "pending") -> dict[str, str]:
    return {"text": text, "status": status}


async def test_the_list_is_kept_and_shown(ctx: FakeContext):
    result = await ctx.call(TODO, items=[item("look", "done"), item("change\n it", "in_progress"), item("test")])
    items = (
        TodoItem(text="look", status="done"),
        TodoItem(text="change it", status="in_progress"),
        TodoItem(text="test"),
    )
    assert (result.todo, result.blocks) == (items, (TodoBlock(items=items),))
    assert result.content[0].text == "Todo list kept: 1 of 3 done; in progress: change it."
    assert [w.operation for w in ctx.wanted] == [MemoryOperation(label="todo", action="replace")]


async def test_an_empty_list_clears_it(ctx: FakeContext):
    result = await ctx.call(TODO, items=[])
    assert (result.todo, result.content[0].text) == ((), "The todo list is empty now.")


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([item("a", "in_progress"), item("b"), item("c", "in_progress")], "Items 1, 3 are in_progress; at most one"),
        ([item("a"), item("  ")], "Item 2 has no text"),
        ([item("x" * 501)], "longer than 500"),
        ([item("a")] * 51, "length <= 50"),
        ([item("a", "completed")], r"Invalid enum value 'completed' - at `\$.items\[0\].status`"),
        ([{"text": "a"}], "missing required field `status`"),
    ],
)
async def test_what_is_refused(ctx: FakeContext, items: list[dict[str, str]], words: str):
    with pytest.raises(ToolError, match=words):
        await ctx.call(TODO, items=items)
