"""Shared blocks: what one agent does to them, the others keep, or are told of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from letta_code.memory.block import BlockError
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append, ApplyPatch, Create, Delete, Rename
from letta_code.memory.outcome import Written
from letta_code.memory.render import reminder
from tests.memory.conftest import AGENT, PERSON


@pytest.fixture
def other(home: Path, blocks: Blocks) -> Blocks:
    """A second agent that has the shared block `team` of the first attached."""
    blocks.apply(Create(label="team", value="we ship on Mondays", scope="shared"), AGENT)
    second = Blocks(home, "agent-2", "proj-1", "conv-2")
    second.attach("team", PERSON)
    return second


def test_a_renamed_shared_block_stays_with_all_who_see_it(home: Path, blocks: Blocks, other: Blocks) -> None:
    pin = other.pin()
    blocks.apply(Rename(label="team", new_label="crew"), AGENT)
    for one in (blocks, other, Blocks(home, "agent-2")):
        assert one.view().find("crew").value == "we ship on Mondays"
        assert one.view().get("team") is None
        assert one.view().attached == ("crew",)
    told = reminder(other.changes_since(pin, but="conv-2"))
    assert "`crew` has other settings by the agent in conv-1 at event 7: its label was `team` before" in told
    assert other.view(pin).find("team").value == "we ship on Mondays"


def test_renamed_twice_edited_and_detached(home: Path, blocks: Blocks, other: Blocks) -> None:
    blocks.apply(Rename(label="team", new_label="crew"), AGENT)
    blocks.apply(Append(label="crew", text="and on Tuesdays"), AGENT)
    blocks.apply(Rename(label="crew", new_label="band"), PERSON)
    assert other.view().find("band").value == "we ship on Mondays\nand on Tuesdays"
    other.detach("band", PERSON)
    assert other.view().attached == ()
    with pytest.raises(BlockError, match="not attached"):
        other.detach("team", PERSON)


def test_a_new_block_under_the_old_label_does_not_take_the_place_of_the_renamed(blocks: Blocks, other: Blocks) -> None:
    blocks.apply(Rename(label="team", new_label="crew"), AGENT)
    other.ensure()  # as every session does in a quiet moment
    blocks.apply(Create(label="team", value="something else", scope="shared"), AGENT)
    assert [block.label for block in other.view().blocks if block.scope == "shared"] == ["crew"]


def test_a_shared_block_that_is_gone_is_no_other_one(home: Path, blocks: Blocks, other: Blocks) -> None:
    (home / "shared/memory/team.md").unlink()
    blocks.apply(Create(label="more", scope="shared"), AGENT)
    assert other.view().attached == ("team",)
    assert other.view().get("team") is None
    shutil.rmtree(home / "shared")
    assert Blocks(home, "agent-2").view().attached == ("team",)


# ---------------------------------------------------------------- deleting


def test_deleting_a_shared_block_by_a_patch_only_detaches_it(blocks: Blocks, other: Blocks) -> None:
    patch = "*** Begin Patch\n*** Update Block: human\n@@\n+likes tea\n*** Delete Block: team\n*** End Patch"
    foreseen = blocks.preview(ApplyPatch(patch=patch), AGENT)
    assert foreseen.why == ()
    assert [(diff.path, diff.diff.splitlines()[-1]) for diff in foreseen.diffs] == [
        ("human", "+likes tea"),
        ("attached", "-team"),
    ]
    done = blocks.apply(ApplyPatch(patch=patch), AGENT)
    assert isinstance(done, Written)
    assert "`team` is shared: it was taken from your memory only, and stays for the others" in done.text
    assert blocks.view().find("human").value == "likes tea"
    assert blocks.view().get("team") is None
    assert other.view().find("team").value == "we ship on Mondays"


@pytest.mark.parametrize("edit", [Delete(label="team"), ApplyPatch(patch="*** Delete Block: team")])
def test_nobody_is_asked_before_a_shared_block_is_detached(blocks: Blocks, other: Blocks, edit) -> None:
    assert blocks.preview(edit, AGENT).why == ()
    done = blocks.apply(edit, AGENT)
    assert isinstance(done, Written)
    assert done.commit
    assert "stays for the others" in done.text
    assert blocks.shared_labels() == ["team"]
    assert other.view().find("team").value


def test_a_patch_that_does_not_fit_detaches_nothing(blocks: Blocks, other: Blocks) -> None:
    patch = "*** Update Block: human\n@@\n-not there\n+x\n*** Delete Block: team"
    before = blocks.pin()
    with pytest.raises(BlockError):
        blocks.apply(ApplyPatch(patch=patch), AGENT)
    assert blocks.pin() == before


# ---------------------------------------------------------------- the list of what is attached


@pytest.mark.parametrize(
    "garbage", [b'{"crc":"901d78c5","type":"conversation_started"}\n', b"x\x01+)JMU0", b"team\nNo Label!\n"]
)
def test_a_list_of_attached_blocks_that_is_none_takes_no_block_away(home: Path, other: Blocks, garbage: bytes) -> None:
    (other.root / "attached").write_bytes(garbage)
    [told] = other.refresh(everything=True)
    assert "attached was not taken in" in told
    assert other.view().find("team").value == "we ship on Mondays"
    assert other.refresh(everything=True) == ()
    again = Blocks(home, "agent-2", "proj-1", "conv-2")
    again.apply(Append(label="human", text="likes tea"), AGENT)
    assert again.view().attached == ("team",)
    assert (other.root / "attached").read_bytes() == garbage
    [held] = again.waiting.held()
    assert held.path == "attached"
    again.waiting.put_back("attached", PERSON)
    assert (other.root / "attached").read_text() == "team\n"
    assert again.waiting.held() == [] and again.view().attached == ("team",)


def test_a_list_of_attached_blocks_that_the_person_wrote_counts(blocks: Blocks, other: Blocks) -> None:
    blocks.apply(Create(label="more", value="and more", scope="shared"), AGENT)
    (other.root / "attached").write_text("\n  more\n")
    [told] = other.refresh(everything=True)
    assert "taken into memory: attached" in told
    assert other.view().attached == ("more",)
    (other.root / "attached").unlink()
    other.refresh(everything=True)
    assert other.view().attached == ()


def test_a_label_of_no_shared_block_is_told(other: Blocks) -> None:
    assert other.warnings(len) == ()
    (other.root / "attached").write_text("taem\n")
    other.refresh(everything=True)
    [told] = other.warnings(len)
    assert "`taem`" in told and str(other.root / "attached") in told
