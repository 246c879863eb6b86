"""The tools that edit blocks: every command, what is refused and how, and when a person is asked."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from letta_code.core.display import MemoryBlock, NoteBlock
from letta_code.core.errors import ToolError
from letta_code.core.messages import text_of
from letta_code.memory.blocks import Blocks
from letta_code.memory.desk import Desk
from letta_code.memory.edits import Append, Create, Delete, Insert, Rethink, SetLimit, SetReadOnly
from letta_code.memory.provenance import Provenance
from letta_code.safety.operations import MemoryOperation
from letta_code.tools.memory import Memory
from letta_code.tools.memory_apply_patch import MemoryApplyPatch
from letta_code.tools.memory_rethink import MemoryRethink
from letta_code.workspace.local import LocalWorkspace
from tests.tools.context import FakeContext

MEMORY, RETHINK, PATCH = Memory(), MemoryRethink(), MemoryApplyPatch()
PERSON = Provenance(source="user")
OTHER = Provenance(source="agent", conversation="conv-2", seq=3)


def desk_of(blocks: Blocks) -> Desk:
    def nothing() -> NoReturn:
        raise AssertionError("neither archive nor recall is needed")

    return Desk(blocks, "conv-1", open_archive=nothing, open_recall=nothing)


@pytest.fixture
def blocks(tmp_path: Path) -> Blocks:
    return Blocks(tmp_path / "home", "agent-1", "proj-1", "conv-1")


@pytest.fixture
def ctx(tmp_path: Path, blocks: Blocks) -> FakeContext:
    return FakeContext(LocalWorkspace(str(tmp_path)), memory=desk_of(blocks), seq=9)


def value(blocks: Blocks, label: str) -> str:
    return blocks.view().find(label).value


async def test_each_command(ctx: FakeContext, blocks: Blocks):
    said = await ctx.text(MEMORY, command="create", label="crew", value="Ada\nBo", description="Who is who.")
    assert said == "Saved. `crew` was created (6/5000 characters)."
    said = await ctx.text(MEMORY, command="str_replace", label="crew", old_string="Bo", new_string="Bob")
    assert said == "Saved. `crew`: 7/5000 characters, +1 -1 lines."
    await ctx.call(MEMORY, command="insert", label="crew", insert_text="Zed", insert_line=0)
    await ctx.call(MEMORY, command="insert", label="crew", insert_text="Last")
    assert value(blocks, "crew") == "Zed\nAda\nBob\nLast"
    await ctx.call(MEMORY, command="str_replace", label="crew", old_string="Ada\n")
    assert value(blocks, "crew") == "Zed\nBob\nLast"
    await ctx.call(MEMORY, command="describe", label="crew", description="The crew.")
    await ctx.call(MEMORY, command="rename", label="crew", new_label="people")
    block = blocks.view().find("people")
    assert (block.description, block.value) == ("The crew.", "Zed\nBob\nLast")
    said = await ctx.text(MEMORY, command="delete", label="people")
    assert said.startswith("Saved. `people` was deleted; undo brings it back.")
    assert blocks.view().get("people") is None


async def test_create_takes_scope_and_limit(ctx: FakeContext, blocks: Blocks):
    await ctx.call(MEMORY, command="create", label="traps", value="none", scope="project", limit=800)
    block = blocks.view().find("traps")
    assert (block.scope, block.limit, block.in_context) == ("project", 800, True)
    await ctx.call(MEMORY, command="create", label="notes/deploy", value="by hand", description="How we deploy.")
    assert not blocks.view().find("notes/deploy").in_context


async def test_view_lists_all_and_shows_one_with_line_numbers(ctx: FakeContext, blocks: Blocks):
    await ctx.call(MEMORY, command="create", label="notes/deploy", value="a", description="How we deploy.")
    await ctx.call(MEMORY, command="insert", label="human", insert_text="one\ntwo </memory>")
    listed = (await ctx.text(MEMORY, command="view")).split("\n")
    assert listed[0] == "In context:"
    assert [line.split(" (")[0] for line in listed[1:5]] == ["- persona", "- human", "- project", "- todo"]
    assert listed[-2:] == ["Not in context, read with view:", "- notes/deploy (1/20000): How we deploy."]
    shown = (await ctx.text(MEMORY, command="view", label="/memories/human.md")).split("\n")
    assert shown[0].startswith("human (agent, 17/5000): The person I work with")
    assert shown[1:] == ["1: one", "2: two &lt;/memory>"]
    assert [w.operation for w in ctx.wanted] == [MemoryOperation(label="", action="view")]
    assert (await ctx.text(MEMORY, command="view", label="project")).endswith("\n(empty)")


async def test_a_change_is_shown_to_the_person(ctx: FakeContext):
    result = await ctx.call(MEMORY, command="insert", label="human", insert_text="Ada")
    (shown,) = result.blocks
    assert isinstance(shown, MemoryBlock)
    assert (shown.label, shown.added, shown.removed, shown.chars, shown.limit) == ("human", 1, 0, 3, 5000)
    assert shown.commit
    assert [w.operation for w in ctx.wanted] == [MemoryOperation(label="human", action="insert")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"command": "create"}, "create needs label. Nothing was changed. Fields of create: label, value"),
        ({"command": "insert", "label": "human", "new_string": "x"}, "insert needs insert_text; insert does not take"),
        ({"command": "insert", "label": "human", "insert_text": "x", "value": "y"}, "insert does not take value"),
        ({"command": "str_replace", "label": "human", "new_string": "x"}, "str_replace needs old_string"),
        ({"command": "str_replace", "label": "human", "old_string": "x"}, "`human` is empty: add lines with insert"),
        ({"command": "rename", "label": "human"}, "rename needs new_label"),
        ({"command": "view", "label": "humans"}, r"no block `humans`. Did you mean `human`\?"),
        ({"command": "append", "label": "human"}, "Invalid enum value 'append'"),
        ({"command": "create", "label": "x", "file_text": "y"}, "`file_text` is called `value` here"),
        ({"path": "human", "text": "x"}, "`path` is called `label`, `text` is called `insert_text` here. Required"),
        ({"command": "append"}, r"`\$.command` takes: create, delete, describe, insert, rename, str_replace, view"),
        ({"command": "view", "path": "human"}, "`path` is called `label` here. Required: command; optional: label"),
        ({"command": "view", "colour": "red"}, "unknown field `colour`. Required: command"),
        ({"command": "create", "label": "x", "limit": 900_000}, "limit must be from 1 to"),
        ({"command": "insert", "label": "human", "insert_text": "x", "insert_line": 7}, "Line 7 is not in `human`"),
    ],
)
async def test_what_is_refused(ctx: FakeContext, arguments: dict[str, object], words: str):
    with pytest.raises(ToolError, match=words):
        await ctx.call(MEMORY, **arguments)


async def test_fields_that_other_models_fill_in_do_no_harm(ctx: FakeContext, blocks: Blocks):
    filled = {"old_string": "", "new_string": "", "scope": "agent", "limit": 0, "insert_line": -1, "new_label": ""}
    await ctx.call(MEMORY, command="create", label="crew", value="Ada", insert_text="", description="", **filled)
    assert value(blocks, "crew") == "Ada"


async def test_rethink_and_its_misnamed_fields(ctx: FakeContext, blocks: Blocks):
    await ctx.call(RETHINK, label="project", new_memory="Tests: make test")
    assert value(blocks, "project") == "Tests: make test"
    with pytest.raises(ToolError, match="`value` is called `new_memory` here"):
        await ctx.call(RETHINK, label="project", value="x")


async def test_over_the_limit_nothing_is_written_and_a_way_out_is_named(ctx: FakeContext, blocks: Blocks):
    blocks.apply(SetLimit(label="human", limit=20), PERSON)
    with pytest.raises(ToolError, match=r"`human` would have 30/20 characters, 10 too many(?s:.*)memory_rethink"):
        await ctx.call(RETHINK, label="human", new_memory="x" * 30)
    assert value(blocks, "human") == ""


async def test_a_patch_changes_several_blocks_or_none(ctx: FakeContext, blocks: Blocks):
    patch = "*** Update Block: human\n@@\n+Ada\n*** Add Block: notes/x\n*** Description: X\n+one\n"
    result = await ctx.call(PATCH, patch=patch)
    assert [type(one) for one in result.blocks] == [MemoryBlock, MemoryBlock]
    assert [w.operation.label for w in ctx.wanted] == ["human", "notes/x"]  # type: ignore[union-attr] - memory's own
    assert (value(blocks, "human"), value(blocks, "notes/x")) == ("Ada", "one")
    with pytest.raises(ToolError, match="hunk 1"):
        await ctx.call(PATCH, patch="*** Delete Block: notes/x\n*** Update Block: human\n@@\n-Bob\n+Bo\n")
    assert value(blocks, "notes/x") == "one"
    with pytest.raises(ToolError, match="Line 1 of the patch stands before any block"):
        await ctx.call(PATCH, patch="+x")


async def test_no_one_is_asked_about_what_adds(ctx: FakeContext):
    args = await ctx.prepare(MEMORY, command="insert", label="human", insert_text="Ada")
    assert await MEMORY.concern(args, ctx) is None
    look = await ctx.prepare(MEMORY, command="view", label="human")
    assert await MEMORY.concern(look, ctx) is None


async def test_a_persons_lines_are_a_concern(ctx: FakeContext, blocks: Blocks):
    blocks.apply(Append(label="human", text="I like tea.\nNever push."), PERSON)
    ctx.approved = False
    args = await ctx.prepare(MEMORY, command="str_replace", label="human", old_string="Never push.", new_string="Push.")
    concern = await MEMORY.concern(args, ctx)
    assert concern is not None
    assert concern.why == "This edit of memory: it removes 1 of your own lines from `human`: “Never push.”."
    (shown,) = concern.blocks
    assert isinstance(shown, MemoryBlock)
    assert "-Never push.\n+Push." in shown.diff
    assert [type(one) for one in await MEMORY.preview(args, ctx)] == [MemoryBlock, NoteBlock]
    assert value(blocks, "human") == "I like tea.\nNever push.", "a concern changes nothing"
    ctx.approved = ctx.confirmed = True
    result = await MEMORY.run(args, ctx)
    assert [type(one) for one in result.blocks] == [MemoryBlock], "who was asked needs no warning"
    assert value(blocks, "human") == "I like tea.\nPush."


async def test_what_became_a_concern_on_the_way_is_not_written(ctx: FakeContext, blocks: Blocks):
    blocks.apply(Append(label="human", text="Never push."), OTHER)
    ctx.approved = False
    args = await ctx.prepare(MEMORY, command="str_replace", label="human", old_string="Never push.", new_string="Push.")
    assert await MEMORY.concern(args, ctx) is None
    blocks.apply(Rethink(label="human", value=""), PERSON)
    blocks.apply(Append(label="human", text="Never push."), PERSON)
    with pytest.raises(ToolError, match="Memory changed while this call was on its way, so nothing was written"):
        await MEMORY.run(args, ctx)
    assert value(blocks, "human") == "Never push."


async def test_alone_it_is_written_and_the_person_can_undo_it(ctx: FakeContext, blocks: Blocks):
    blocks.apply(Append(label="human", text="I like tea.\nNever push."), PERSON)
    result = await ctx.call(RETHINK, label="human", new_memory="I like coffee.")
    note = result.blocks[-1]
    assert isinstance(note, NoteBlock)
    assert note.level == "warning"
    assert "it removes 2 of your own lines from `human`" in note.text
    assert f"letta-code memory undo {blocks.pin()[:10]}" in note.text
    assert "it removes 2 of the lines that the person wrote from `human`" in text_of(result.content)
    assert value(blocks, "human") == "I like coffee."


async def test_own_edits_in_a_row_do_not_conflict_with_themselves(ctx: FakeContext, blocks: Blocks):
    blocks.apply(Append(label="project", text="zero"), OTHER)
    ctx.memory.knows(blocks.pin())
    for text in ("one\ntwo", "three\nfour", "five"):
        said = await ctx.text(RETHINK, label="project", new_memory=text)
        assert said.startswith("Saved.")
        assert "Another edit" not in said
        assert value(blocks, "project") == text
        assert (await ctx.memory.news()).text == ""


async def test_a_conflict_with_another_keeps_both_and_is_an_error(ctx: FakeContext, blocks: Blocks):
    blocks.apply(Rethink(label="project", value="port 1"), OTHER)
    ctx.memory.knows(blocks.pin())
    blocks.apply(Rethink(label="project", value="port 2"), OTHER)
    result = await ctx.call(RETHINK, label="project", new_memory="port 3")
    assert result.is_error
    assert "Not merged" in result.content[0].text
    assert value(blocks, "project") == "port 2"
    again = await ctx.call(RETHINK, label="project", new_memory="port 3")
    assert again.is_error, "it has not seen the other's version yet"
    assert value(blocks, "project") == "port 2"
    kept = [block for block in blocks.view().others if block.path.startswith("conflicts/")][:1]
    assert [block.value for block in kept] == ["port 3"]
    shown = await ctx.text(MEMORY, command="view", label=kept[0].path.removesuffix(".md"))
    assert "1: port 3" in shown
    assert "1: port 2" in await ctx.text(MEMORY, command="view", label="project")
    await ctx.call(RETHINK, label="project", new_memory="port 3")
    assert value(blocks, "project") == "port 3"


async def test_an_edit_is_based_on_what_was_viewed(ctx: FakeContext, blocks: Blocks):
    blocks.apply(Create(label="notes/x", value="old"), OTHER)
    ctx.memory.knows(blocks.pin())
    blocks.apply(Rethink(label="notes/x", value="new"), OTHER)
    assert "1: new" in await ctx.text(MEMORY, command="view", label="notes/x")
    assert (await ctx.text(RETHINK, label="notes/x", new_memory="newer")).startswith("Saved.")
    assert value(blocks, "notes/x") == "newer"


async def test_a_file_that_changed_since_it_was_viewed_is_not_overwritten(ctx: FakeContext, blocks: Blocks):
    blocks.apply(Create(label="notes/x", value="a\n\nb\n\nc"), OTHER)
    await ctx.text(MEMORY, command="view", label="notes/x")
    blocks.apply(Insert(label="notes/x", text="from another"), OTHER)
    ctx.memory.knows(blocks.pin())  # told of blocks in context: not of this file
    said = await ctx.text(RETHINK, label="notes/x", new_memory="A\n\nb\n\nc")
    assert "Another edit had come in between" in said
    assert value(blocks, "notes/x") == "A\n\nb\n\nc\nfrom another"


async def test_read_only_blocks_are_the_persons(ctx: FakeContext, blocks: Blocks):
    blocks.apply(SetReadOnly(label="persona", read_only=True), PERSON)
    with pytest.raises(ToolError, match="`persona` is read-only"):
        await ctx.call(RETHINK, label="persona", new_memory="x")
    assert "read-only" in await ctx.text(MEMORY, command="view")


async def test_a_deleted_block_is_no_surprise_to_the_next_edit(ctx: FakeContext, blocks: Blocks):
    blocks.apply(Create(label="crew", value="Ada"), OTHER)
    ctx.memory.knows(blocks.pin())
    blocks.apply(Delete(label="crew"), PERSON)
    with pytest.raises(ToolError, match="There is no block `crew`"):
        await ctx.call(MEMORY, command="insert", label="crew", insert_text="Bo")


async def test_without_a_memory_it_is_said(tmp_path: Path):
    ctx = FakeContext(LocalWorkspace(str(tmp_path)))
    with pytest.raises(ToolError, match="no memory"):
        await ctx.call(MEMORY, command="view")


_LABELS = st.sampled_from(
    ["human", "project", "persona", "todo", "notes/x", "crew", "", "/", "..", "a/../b", "x" * 200]
)
_TEXTS = st.one_of(
    st.just(""), st.sampled_from(["a", "a\nb", "\n", "- x", "&lt;", "\x00\x1b[2J"]), st.text(max_size=30)
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.fixed_dictionaries(
            {"command": st.sampled_from(["view", "create", "str_replace", "insert", "delete", "rename", "describe"])},
            optional={
                "label": _LABELS,
                "value": _TEXTS,
                "description": _TEXTS,
                "scope": st.sampled_from(["agent", "project", "conversation", "shared"]),
                "limit": st.integers(-5, 200),
                "old_string": _TEXTS,
                "new_string": _TEXTS,
                "insert_line": st.integers(-3, 4),
                "insert_text": _TEXTS,
                "new_label": _LABELS,
            },
        ),
        max_size=6,
    )
)
def test_whatever_the_arguments_a_call_ends_in_a_result_or_an_error_for_the_model(calls: list[dict[str, object]]):
    async def play(folder: str) -> None:
        blocks = Blocks(Path(folder) / "home", "agent-1", "proj-1", "conv-1")
        ctx = FakeContext(LocalWorkspace(folder), memory=desk_of(blocks))
        for arguments in calls:
            try:
                args = await ctx.prepare(MEMORY, **arguments)
                await MEMORY.preview(args, ctx)
                await MEMORY.run(args, ctx)
            except ToolError as error:
                assert str(error).strip()
            assert not blocks.view().problems

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(folder))
