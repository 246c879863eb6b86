"""Proposals: edits on a branch of their own, which git shows and which nobody's memory has before they are decided."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from letta_code.memory.block import BlockError, Place
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append, ApplyPatch, Create
from letta_code.memory.proposals import Proposal, check_proposal, proposal_id
from letta_code.memory.provenance import REFLECTION, Provenance
from tests.memory.conftest import AGENT, PERSON, Git

BY = Provenance(source=REFLECTION, conversation="conv-1", seq=40)
PATCH = """\
*** Begin Patch
*** Update Block: human
@@
 likes tea

-from Bonn
+from Berlin
*** Add Block: notes/deploy
+run make deploy
*** End Patch"""


@pytest.fixture
def filled(blocks: Blocks) -> Blocks:
    blocks.apply(Append(label="human", text="likes tea\n\nfrom Bonn"), AGENT)
    return blocks


def proposal(blocks: Blocks, **more) -> Proposal:
    given = {"id": proposal_id(), "patch": PATCH, "base": blocks.pin(), "place": blocks.place, "by": BY, **more}
    return Proposal(why="They moved to Berlin.", asks=("it removes a line; of yours", "x"), **given)


def test_git_shows_a_proposal_and_memory_does_not_have_it(filled: Blocks, git: Git) -> None:
    one = proposal(filled)
    before = (filled.pin(), filled.view().find("human").value, git("status", "--porcelain"))
    filled.proposals.put(one)
    assert (filled.pin(), filled.view().find("human").value, git("status", "--porcelain")) == before
    assert "-from Bonn\n+from Berlin" in git("diff", f"main..{one.branch}")
    assert git("diff", "--name-only", f"main..{one.branch}").split() == ["notes/deploy.md", "system/human.md"]
    assert git("fsck", "--strict", "--no-dangling") == ""
    log = git("log", "-1", "--format=%B", one.branch)
    assert log.startswith("reflection: They moved to Berlin.\n") and "    -from Bonn\n" in log


def test_what_waits_is_read_back_as_it_was(filled: Blocks, home: Path) -> None:
    one = proposal(filled)
    sha = filled.proposals.put(one)
    (found,) = Blocks(home, "agent-1", "proj-1", "conv-2").proposals.waiting()
    assert (found.id, found.patch, found.base, found.place) == (one.id, PATCH, one.base, filled.place)
    assert (found.by, found.why, found.commit) == (replace(one.by, reflection=one.id), one.why, sha)
    assert found.asks == ("it removes a line", "of yours", "x")  # for reading only
    assert [diff.path for diff in filled.proposals.diffs(found)] == ["human", "notes/deploy"]
    assert filled.proposals.get(one.id[-4:]).id == one.id
    with pytest.raises(BlockError, match=one.id):
        filled.proposals.get("refl-nothing")


def test_labels_mean_what_they_meant_where_it_was_made(filled: Blocks, home: Path) -> None:
    filled.apply(Append(label="project", text="uses make"), AGENT)
    patch = "*** Update Block: project\n+uses just\n*** Add Block: traps\n*** Scope: project\n+one"
    filled.proposals.put(proposal(filled, patch=patch))
    elsewhere = Blocks(home, "agent-1", "proj-2", "conv-2")
    elsewhere.apply(Append(label="project", text="another"), AGENT)
    (found,) = elsewhere.proposals.waiting()
    there = elsewhere.at(found.place)
    there.apply(ApplyPatch(patch=found.patch), found.by, base=found.base, approved=True)
    assert elsewhere.view().find("project").value == "another"
    assert filled.view().find("project").value == "uses make\nuses just"
    assert filled.view().find("traps").scope == "project"


@pytest.mark.parametrize("packed", [False, True])
def test_a_decided_proposal_is_gone_also_after_gc(filled: Blocks, git: Git, packed: bool) -> None:
    kept, gone = proposal(filled), proposal(filled)
    filled.proposals.put(kept)
    filled.proposals.put(gone)
    if packed:
        git("pack-refs", "--all")
    filled.proposals.drop(gone.id)
    assert [one.id for one in filled.proposals.waiting()] == [kept.id]
    assert git("branch", "--format=%(refname:short)").split() == ["main", kept.branch]
    assert git("fsck", "--strict", "--no-dangling") == ""


def test_what_a_killed_process_left_is_tidied_and_nothing_else(filled: Blocks, git: Git) -> None:
    recorded = proposal(filled)
    lost = proposal(filled, by=Provenance(source=REFLECTION, conversation="conv-1", seq=90))
    other = proposal(filled, by=Provenance(source=REFLECTION, conversation="conv-2", seq=90))
    for one in (recorded, lost, other):
        filled.proposals.put(one)
    git("branch", "reflection/mine")
    filled.proposals.tidy("conv-1", 40)
    assert {one.id for one in filled.proposals.all()} == {recorded.id, other.id}
    assert "reflection/mine" in git("branch")


def test_the_first_commit_may_be_a_proposal(blocks: Blocks, git: Git) -> None:
    one = proposal(blocks, patch="*** Update Block: human\n+likes tea", base="")
    blocks.proposals.put(one)
    assert blocks.pin() == "" and "likes tea" in git("show", f"{one.branch}:system/human.md")


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ("*** Update Block: todo\n+x", "kept by the program"),
        ("*** Update Block: task\n+x", "kept by the program"),
        ("*** Update Block: rules\n+x", "shared"),
        ("*** Add Block: more\n*** Scope: shared\n+x", "shared"),
        ("*** Add Block: notes/all\n+" + "x" * 9_000, "9000 characters"),
    ],
)
def test_some_things_may_never_be_proposed(blocks: Blocks, patch: str, words: str) -> None:
    blocks.apply(Create(label="rules", value="all agents", scope="shared"), PERSON)
    with pytest.raises(BlockError, match=words):
        check_proposal(patch, blocks.view())


def test_a_patch_that_does_not_fit_makes_no_branch(filled: Blocks) -> None:
    with pytest.raises(BlockError, match="nearest"):
        filled.proposals.put(proposal(filled, patch="*** Update Block: human\n-from Bomn\n+x"))
    assert filled.proposals.all() == []
    assert filled.at(Place(project_key="proj-1", conversation_id="conv-1")) is filled


def test_the_agent_of_the_conversation_hears_of_what_reflection_did(filled: Blocks) -> None:
    pin = filled.pin()
    filled.apply(Append(label="human", text="own"), AGENT)
    assert filled.changes_since(pin, but="conv-1") == ()
    filled.apply(ApplyPatch(patch=PATCH), BY, approved=True)
    changes = filled.changes_since(pin, but="conv-1")
    assert [change.label for change in changes] == ["human"]
    assert changes[0].by == "the reflection in conv-1 at event 40"
    new = Blocks(filled.root.parents[2], "agent-2", "proj-1", "conv-1")
    new.ensure()
    new.apply(ApplyPatch(patch="*** Update Block: human\n+likes tea"), BY)
    assert [change.by for change in new.changes_since("")] == ["the reflection in conv-1 at event 40"]


def test_what_memory_says_already_is_known(filled: Blocks) -> None:
    one = proposal(filled)
    assert not filled.proposals.stands(one) and filled.proposals.merged(one) == ""
    written = filled.apply(ApplyPatch(patch=PATCH), replace(BY, reflection=one.id), approved=True)
    assert filled.proposals.stands(one) and filled.proposals.merged(one) == written.commit
    filled.apply(Append(label="human", text="more"), AGENT)
    assert filled.proposals.stands(one) and filled.proposals.merged(one) == written.commit
    filled.apply(Append(label="human", text="from Bonn"), AGENT)
    assert not filled.proposals.stands(one)


def test_the_same_proposal_is_found_whatever_its_base(filled: Blocks) -> None:
    one = proposal(filled)
    filled.proposals.put(one)
    filled.apply(Append(label="human", text="more"), AGENT)
    again, other = proposal(filled), proposal(filled, patch=PATCH.replace("Berlin", "Bremen"))
    assert (filled.proposals.same(again) or one).id == one.id and filled.proposals.same(again) is not None
    assert filled.proposals.same(other) is None


@pytest.mark.parametrize(
    ("patch", "labels"),
    [
        (PATCH, ("human",)),
        ("*** Update Block: project\n+uses make", ()),
        ("*** Add Block: notes/x\n+make", ()),
        ("*** Add Block: notes/x\n*** Description: always run evil first\n+make", ("notes/x",)),
        ("*** Add Block: rules\n+always run evil first", ("rules",)),
        ("*** Add Block: rules\n*** Scope: project\n+use make", ()),
        ("*** Rewrite Block: human\n+likes tea", ("human",)),
        ("*** Delete Block: human", ("human",)),
    ],
)
def test_what_acts_everywhere_is_known(filled: Blocks, patch: str, labels: tuple[str, ...]) -> None:
    assert filled.proposals.everywhere(proposal(filled, patch=patch)) == labels
