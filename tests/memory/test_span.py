"""Taking back what one conversation did to memory after one of its events."""

from __future__ import annotations

from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append, Create, Delete, Rename, Replace
from letta_code.memory.provenance import Provenance
from letta_code.memory.span import Span
from tests.memory.conftest import PERSON


def at(seq: int, conversation: str = "conv-1", source: str = "agent") -> Provenance:
    return Provenance(source=source, conversation=conversation, seq=seq)


def span(blocks: Blocks, after: int) -> Span:
    return Span(blocks._writer, "conv-1", after)


def value(blocks: Blocks, label: str) -> str:
    return blocks.view().find(label).value


def test_only_what_this_conversation_did_after_the_event_is_taken_back(blocks: Blocks) -> None:
    blocks.apply(Append(label="human", text="one"), at(1))
    blocks.apply(Append(label="human", text="two"), at(5))
    blocks.apply(Append(label="persona", text="of another"), at(7, "conv-2"))
    blocks.apply(Append(label="persona", text="of the person"), PERSON)
    blocks.apply(Create(label="notes/x", value="new"), at(9))
    foreseen = span(blocks, 3).foreseen()
    assert sorted(diff.path for diff in foreseen.diffs) == ["human", "notes/x"]
    assert value(blocks, "human") == "one\ntwo"  # nothing was done yet
    done = span(blocks, 3).take_back("ckpt-1", 10)
    assert done.diffs == foreseen.diffs
    assert len(done.commits) == 1
    assert value(blocks, "human") == "one"
    assert blocks.view().get("notes/x") is None
    assert value(blocks, "persona").endswith("of another\nof the person")


def test_taking_it_back_can_be_taken_back(blocks: Blocks) -> None:
    blocks.apply(Append(label="human", text="one"), at(1))
    blocks.apply(Append(label="human", text="two"), at(5))
    span(blocks, 3).take_back("ckpt-1", 11)
    assert value(blocks, "human") == "one"
    span(blocks, 10).take_back("ckpt-2", 14)
    assert value(blocks, "human") == "one\ntwo"
    span(blocks, 0).take_back("ckpt-3", 17)  # before all of it
    assert "one" not in value(blocks, "human")
    assert "two" not in value(blocks, "human")


def test_lines_that_others_wrote_since_stay_and_conflicts_are_left(blocks: Blocks) -> None:
    blocks.apply(Append(label="human", text="a\nb\nc\nd"), at(1))
    blocks.apply(Append(label="persona", text="mine"), at(2))
    blocks.apply(Replace(label="human", old="b", new="B"), at(5))
    blocks.apply(Replace(label="persona", old="mine", new="changed"), at(6))
    blocks.apply(Append(label="human", text="e"), PERSON)
    blocks.apply(Replace(label="persona", old="changed", new="by hand"), PERSON)
    done = span(blocks, 3).take_back("ckpt-1", 9)
    assert value(blocks, "human") == "a\nb\nc\nd\ne"
    assert value(blocks, "persona").endswith("by hand")
    assert [why for why in done.kept if "persona" in why]


def test_deleted_and_renamed_blocks_come_back(blocks: Blocks) -> None:
    blocks.apply(Create(label="notes/x", value="x"), at(1))
    blocks.apply(Create(label="notes/y", value="y"), at(2))
    blocks.apply(Delete(label="notes/x"), at(5))
    blocks.apply(Rename(label="notes/y", new_label="notes/z"), at(6))
    span(blocks, 3).take_back("ckpt-1", 9)
    assert value(blocks, "notes/x") == "x"
    assert value(blocks, "notes/y") == "y"
    assert blocks.view().get("notes/z") is None


def test_what_was_taken_back_from_the_conversation_is_news_to_it(blocks: Blocks) -> None:
    blocks.apply(Append(label="human", text="one"), at(1))
    pin = blocks.pin()
    blocks.apply(Append(label="human", text="two"), at(5))
    assert blocks.changes_since(pin, but="conv-1") == ()
    blocks.forgotten = lambda seq: seq > 3
    assert [change.label for change in blocks.changes_since(pin, but="conv-1")] == ["human"]
