"""What edits make of a value, and what they say when they do not fit."""

from __future__ import annotations

import pytest

from letta_code.memory.block import Block, BlockError
from letta_code.memory.edits import Append, Create, Delete, Hunks, Insert, Rename, Replace, Rethink, value_after
from letta_code.memory.patch import read_patch

BLOCK = Block(label="human", value="one\ntwo\nthree", limit=100)


def test_each_edit() -> None:
    assert value_after(Append(label="human", text="four\n"), BLOCK) == "one\ntwo\nthree\nfour"
    assert value_after(Append(label="human", text="a"), Block(label="x")) == "a"
    assert value_after(Insert(label="human", text="zero", line=0), BLOCK) == "zero\none\ntwo\nthree"
    assert value_after(Insert(label="human", text="x\ny", line=2), BLOCK) == "one\ntwo\nx\ny\nthree"
    assert value_after(Insert(label="human", text="end"), BLOCK) == "one\ntwo\nthree\nend"
    assert value_after(Insert(label="human", text="first", line=-1), Block(label="x")) == "first"
    assert value_after(Replace(label="human", old="two", new="2"), BLOCK) == "one\n2\nthree"
    assert value_after(Replace(label="human", old="two\n"), BLOCK) == "one\nthree"
    assert value_after(Replace(label="human", old="three\n", new=""), BLOCK) == "one\ntwo"
    assert value_after(Rethink(label="human", value="\nall new\n"), BLOCK) == "all new"


def test_a_patch_may_be_written_as_the_prompt_shows_the_block() -> None:
    block = Block(label="x", value="never write </memory> here\nlast", limit=100)
    patch = "*** Update Block: x\n@@\n-never write &lt;/memory> here\n+never write &lt;/block> here\n last"
    [hunks] = read_patch(patch)
    assert isinstance(hunks, Hunks)
    assert value_after(hunks, block) == "never write </block> here\nlast"
    page = Block(label="x", value="a &lt; b\nlast", limit=100)
    [hunks] = read_patch("*** Update Block: x\n@@\n-a &lt; b\n+b &lt; c\n last")
    assert isinstance(hunks, Hunks)
    assert value_after(hunks, page) == "b &lt; c\nlast"


def test_tabs_and_indentation_stay() -> None:
    block = Block(label="make", value="all:\n\tcc -o x")
    assert value_after(Append(label="make", text="\tstrip x"), block) == "all:\n\tcc -o x\n\tstrip x"


def test_a_text_that_is_not_there_is_told_with_the_nearest_region() -> None:
    with pytest.raises(BlockError) as told:
        value_after(Replace(label="human", old="twoo", new="x"), BLOCK)
    assert "does not stand in `human`" in str(told.value)
    assert "2: two" in str(told.value)
    assert "Nothing was changed" in str(told.value)


def test_a_text_like_nothing_is_told_with_the_whole_value_and_its_fill() -> None:
    with pytest.raises(BlockError, match=r"13/100 characters.*\n1: one\n2: two\n3: three"):
        value_after(Replace(label="human", old="zzzzzzzzzz", new="x"), BLOCK)


def test_a_text_that_stands_twice_is_told_with_its_lines() -> None:
    block = Block(label="x", value="a b\nc\na d")
    with pytest.raises(BlockError, match=r"stands 2 times.*lines 1, 3"):
        value_after(Replace(label="x", old="a ", new=""), block)


def test_line_numbers_in_the_old_text_are_recognised() -> None:
    with pytest.raises(BlockError, match="line numbers"):
        value_after(Replace(label="human", old="1: one\n2: two", new="x"), BLOCK)


def test_text_as_the_prompt_escapes_it_is_found() -> None:
    block = Block(label="x", value="never write </memory> here")
    assert value_after(Replace(label="x", old="&lt;/memory>", new="that"), block) == "never write that here"


def test_a_line_that_is_not_there() -> None:
    with pytest.raises(BlockError, match=r"Line 9 .* has 3 lines"):
        value_after(Insert(label="human", text="x", line=9), BLOCK)


def test_an_empty_old_text() -> None:
    with pytest.raises(BlockError, match="old_string is empty"):
        value_after(Replace(label="human", old="", new="x"), BLOCK)


# ---------------------------------------------------------------- patches

PATCH = """*** Begin Patch
*** Update Block: human
@@
 one
-two
+2
@@
 three
+four
*** Add Block: notes/deploy
*** Description: how we deploy
+line a
+
+line b
*** Move Block: draft
*** To: final
*** Delete Block: stale
*** End Patch
"""


def test_a_patch_is_read_into_edits() -> None:
    update, add, move, delete = read_patch(PATCH)
    assert isinstance(update, Hunks)
    assert value_after(update, BLOCK) == "one\n2\nthree\nfour"
    assert add == Create(label="notes/deploy", value="line a\n\nline b", description="how we deploy")
    assert move == Rename(label="draft", new_label="final")
    assert delete == Delete(label="stale")


def test_file_names_and_paths_in_patches() -> None:
    [update] = read_patch("*** Update File: human.md\n@@\n-two\n+2\n")
    assert isinstance(update, Hunks)
    assert update.label == "human"


def test_a_patch_may_rewrite_a_whole_block() -> None:
    [rewrite] = read_patch("*** Rewrite Block: human\n+one\n+\n+two\n\n*** End Patch")
    assert rewrite == Rethink(label="human", value="one\n\ntwo\n")
    with pytest.raises(BlockError, match="Line 2 of the patch"):
        read_patch("*** Rewrite Block: human\n-one")


def test_white_space_at_line_ends_may_differ() -> None:
    [update] = read_patch("*** Update Block: human\n@@\n one  \n-two\n+2")
    assert isinstance(update, Hunks)
    assert value_after(update, BLOCK) == "one\n2\nthree"


def test_a_hunk_without_context_appends() -> None:
    [update] = read_patch("*** Update Block: human\n@@\n+four")
    assert isinstance(update, Hunks)
    assert value_after(update, BLOCK) == "one\ntwo\nthree\nfour"


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ("", "empty"),
        ("*** Update Block: human\n@@\n one", "changes nothing"),
        ("*** Update Block: human\none", "Line 2"),
        ("+x", "before any block"),
        ("*** Add Block: x\nplain", "begin with `\\+`"),
        ("*** Frobnicate Block: x", "before any block"),
        ("*** Rewrite Block: x\n+", "no new value"),
        ("*** Update Block: human\n*** Frobnicate", "Line 2 .* not understood"),
        ("*** Add Block: x\n*** Scope: world\n+a", "no scope 'world'"),
        ("*** Move Block: x\n", "what to do"),
    ],
)
def test_bad_patches_name_what_is_wrong(patch: str, words: str) -> None:
    with pytest.raises(BlockError, match=words):
        read_patch(patch)


def test_hunks_that_do_not_fit() -> None:
    [update] = read_patch("*** Update Block: x\n@@\n a\n+b")
    assert isinstance(update, Hunks)
    with pytest.raises(BlockError, match=r"Hunk 1 .* 2 places \(lines 1, 3\)"):
        value_after(update, Block(label="x", value="a\nc\na"))
    with pytest.raises(BlockError, match="text of hunk 1 does not stand"):
        value_after(update, Block(label="x", value="nothing"))
