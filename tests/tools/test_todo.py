"""Todo: the whole list each time, one thing in progress."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from letta_code.core.display import NoteBlock, TodoBlock, TodoItem
from letta_code.core.errors import ToolError
from letta_code.memory.blocks import Blocks
from letta_code.memory.desk import Desk
from letta_code.memory.edits import Delete, SetLimit, SetReadOnly
from letta_code.memory.provenance import Provenance
from letta_code.safety.operations import MemoryOperation
from letta_code.tools.todo import Todo
from letta_code.workspace.local import LocalWorkspace
from tests.tools.context import FakeContext

TODO = Todo()
PERSON = Provenance(source="user")


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
        (
            [item("a", "completed")],
            r"Invalid enum value 'completed' - at `\$.items\[0\].status`\. .* takes: done, in_progress",
        ),
        ([{"text": "a"}], "missing required field `status`"),
    ],
)
async def test_what_is_refused(ctx: FakeContext, items: list[dict[str, str]], words: str):
    with pytest.raises(ToolError, match=words):
        await ctx.call(TODO, items=items)


# ---------------------------------------------------------------- its block


@pytest.fixture
def blocks(tmp_path: Path) -> Blocks:
    return Blocks(tmp_path / "home", "agent-1", "proj-1", "conv-1")


@pytest.fixture
def remembering(tmp_path: Path, blocks: Blocks) -> FakeContext:
    def nothing() -> NoReturn:
        raise AssertionError("neither archive nor recall is needed")

    desk = Desk(blocks, "conv-1", open_archive=nothing, open_recall=nothing)
    desk.knows(blocks.pin())
    return FakeContext(LocalWorkspace(str(tmp_path)), memory=desk)


def kept(blocks: Blocks) -> str:
    return blocks.view().find("todo").value


async def test_the_block_says_the_same(remembering: FakeContext, blocks: Blocks):
    await remembering.call(TODO, items=[item("look", "done"), item("change", "in_progress"), item("test")])
    assert kept(blocks) == "- [x] look\n- [>] change\n- [ ] test"
    assert (await remembering.memory.news()).text == "", "its own edit is no news"
    await remembering.call(TODO, items=[])
    assert kept(blocks) == ""


async def test_a_list_that_does_not_fit_its_block_changes_nothing(remembering: FakeContext, blocks: Blocks):
    await remembering.call(TODO, items=[item("small")])
    with pytest.raises(ToolError, match=r"would have 6147/5000 characters, 1147 too many\. The list was not changed"):
        await remembering.call(TODO, items=[item("x" * 298 + str(n)) for n in range(10, 30)] + [item("y")])
    assert kept(blocks) == "- [ ] small"
    blocks.apply(SetLimit(label="todo", limit=9000), PERSON)
    await remembering.call(TODO, items=[item("x" * 298 + str(n)) for n in range(10, 30)])
    assert len(kept(blocks)) > 5000


async def test_a_block_that_cannot_be_written_loses_no_list(remembering: FakeContext, blocks: Blocks):
    await remembering.call(TODO, items=[item("first")])
    blocks.apply(SetReadOnly(label="todo", read_only=True), PERSON)
    result = await remembering.call(TODO, items=[item("second")])
    assert result.todo == (TodoItem(text="second"),)
    note = result.blocks[-1]
    assert isinstance(note, NoteBlock)
    assert (note.level, note.text[:57]) == ("warning", "The todo list is not in memory: `todo` is read-only: neit")
    assert kept(blocks) == "- [ ] first"


async def test_a_disk_that_fails_loses_no_list(
    remembering: FakeContext, blocks: Blocks, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blocks, "apply", full)
    result = await remembering.call(TODO, items=[item("first")])
    assert result.todo == (TodoItem(text="first"),)
    assert "No space left" in str(result.blocks[-1])


async def test_a_block_that_the_person_deleted_comes_again(remembering: FakeContext, blocks: Blocks):
    await remembering.call(TODO, items=[item("first")])
    blocks.apply(Delete(label="todo"), PERSON)
    await remembering.call(TODO, items=[item("second")])
    assert kept(blocks) == "- [ ] second"
