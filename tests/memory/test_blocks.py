"""Blocks: what one conversation sees, what edits do, and what is kept of each."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from letta_code.memory.block import Block, BlockError
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import (
    Append,
    ApplyPatch,
    Create,
    Delete,
    Describe,
    Edit,
    Insert,
    Rename,
    Replace,
    Rethink,
    SetLimit,
    SetReadOnly,
)
from letta_code.memory.outcome import NeedsApproval, Written
from tests.memory.conftest import AGENT, PERSON, Git


def write(blocks: Blocks, edit: Edit, by=AGENT, **more) -> Written:
    outcome = blocks.apply(edit, by, **more)
    assert isinstance(outcome, Written), outcome
    return outcome


def value(blocks: Blocks, label: str) -> str:
    return blocks.view().find(label).value


# ---------------------------------------------------------------- what there is


def test_a_new_agent_has_its_standard_blocks_and_nothing_on_disk(blocks: Blocks, home: Path) -> None:
    view = blocks.view()
    assert [(block.label, block.scope) for block in view.blocks] == [
        ("persona", "agent"),
        ("human", "agent"),
        ("project", "project"),
        ("todo", "conversation"),
    ]
    assert all(block.limit == 5000 and block.description for block in view.blocks)
    assert blocks.pin() == ""
    assert blocks.refresh() == ()
    assert not home.exists()


def test_the_first_start_writes_them_once(blocks: Blocks, git: Git) -> None:
    blocks.ensure()
    first = blocks.pin()
    blocks.ensure()
    assert blocks.pin() == first
    assert git("ls-files").split() == ["projects/proj-1/project.md", "system/human.md", "system/persona.md"]
    assert git("status", "--short") == ""


def test_the_task_of_a_headless_run_is_read_only_and_whole(blocks: Blocks) -> None:
    task = "do it\n" * 3000
    blocks.set_task(task)
    block = blocks.view().find("task")
    assert (block.value, block.read_only, block.scope) == (task.strip(), True, "conversation")
    with pytest.raises(BlockError, match="read-only"):
        blocks.apply(Append(label="task", text="more"), AGENT)


def test_blocks_are_seen_where_they_apply(home: Path, blocks: Blocks) -> None:
    write(blocks, Append(label="human", text="for all"))
    write(blocks, Append(label="project", text="for the project"))
    write(blocks, Append(label="todo", text="for the conversation"))
    elsewhere = Blocks(home, "agent-1", "proj-2", "conv-2").view()
    assert [block.value for block in elsewhere.blocks][1:] == ["for all", "", ""]
    assert elsewhere.others == ()  # what is listed stands in every prompt
    assert elsewhere.find("projects/proj-1/project").value == "for the project"


def test_files_are_listed_and_read_on_demand(blocks: Blocks) -> None:
    write(blocks, Create(label="notes/deploy", value="push the button", description="how we deploy"))
    view = blocks.view()
    assert "notes/deploy" not in [block.label for block in view.blocks]
    [other] = view.others
    assert other.limit == 20_000
    assert (other.label, other.description, other.value) == ("notes/deploy", "how we deploy", "push the button")


def test_an_unknown_label_is_told_with_those_there_are(blocks: Blocks) -> None:
    with pytest.raises(BlockError, match=r"no block `humn`. Did you mean `human`\? The blocks are: `persona`, `human`"):
        blocks.apply(Append(label="humn", text="x"), AGENT)


def test_labels_that_would_leave_the_folder_are_refused(home: Path) -> None:
    for name in ("../x", "a/b", ".git"):
        with pytest.raises(BlockError):
            Blocks(home, name)


# ---------------------------------------------------------------- edits


def test_every_edit_is_one_commit_with_its_provenance(blocks: Blocks, git: Git) -> None:
    outcome = write(blocks, Append(label="human", text="likes tea"))
    assert git("rev-list", "--count", "HEAD").strip() == "1"
    log = git("log", "-1", "--format=%B")
    for line in ("Letta-Conv: conv-1", "Letta-Seq: 7", "Letta-Source: agent", "Letta-Trust: trusted"):
        assert line in log.splitlines()
    assert outcome.commit == git("rev-parse", "HEAD").strip()
    assert outcome.pin == blocks.pin()
    assert outcome.text == "Saved. `human`: 9/5000 characters, +1 -0 lines."
    assert (blocks.root / "system/human.md").read_text().endswith("\nlikes tea\n")
    assert git("status", "--short") == ""
    assert git("fsck", "--strict") == ""


def test_all_edits(blocks: Blocks) -> None:
    write(blocks, Create(label="stack", value="python", description="what we use"))
    write(blocks, Insert(label="stack", text="linux", line=0))
    write(blocks, Replace(label="stack", old="python", new="python 3.11"))
    write(blocks, Describe(label="stack", description="tools we use"))
    write(blocks, Rename(label="stack", new_label="tools"))
    block = blocks.view().find("tools")
    assert (block.value, block.description, block.path) == ("linux\npython 3.11", "tools we use", "system/tools.md")
    assert blocks.view().get("stack") is None
    write(blocks, Rethink(label="tools", value="all new"))
    write(blocks, SetLimit(label="tools", limit=50))
    assert blocks.view().find("tools").fill == "7/50"
    write(blocks, Delete(label="tools"), approved=True)
    assert blocks.view().get("tools") is None
    assert not (blocks.root / "system/tools.md").exists()


def test_nothing_to_change_is_no_commit(blocks: Blocks) -> None:
    write(blocks, Rethink(label="human", value="x"))
    outcome = write(blocks, Rethink(label="human", value="x"))
    assert outcome.commit == ""
    assert "Nothing to change" in outcome.text


def test_a_block_that_is_there_is_not_created_again(blocks: Blocks) -> None:
    write(blocks, Append(label="human", text="likes tea"))
    with pytest.raises(BlockError, match=r"block `human` already(.|\n)*likes tea"):
        blocks.apply(Create(label="human", value="x"), AGENT)


def test_a_label_that_is_taken_is_not_renamed_to(blocks: Blocks) -> None:
    write(blocks, Create(label="a", value="1"))
    write(blocks, Create(label="b", value="2"))
    with pytest.raises(BlockError, match="`b` already"):
        blocks.apply(Rename(label="a", new_label="b"), AGENT)


def test_limits_are_kept_with_figures_the_value_and_an_offer(blocks: Blocks) -> None:
    write(blocks, Create(label="small", value="12345", limit=10))
    with pytest.raises(BlockError, match=r"15/10 characters, 5 too many(.|\n)*Merge(.|\n)*1: 12345"):
        blocks.apply(Append(label="small", text="123456789"), AGENT)
    assert value(blocks, "small") == "12345"


def test_an_over_limit_block_can_become_shorter(blocks: Blocks) -> None:
    write(blocks, Append(label="human", text="\n".join(["0123456789"] * 20)))
    path = blocks.root / "system/human.md"
    path.write_text(path.read_text().replace("limit: 5000", "limit: 100"))
    assert len(blocks.refresh()) == 1
    write(blocks, Rethink(label="human", value="\n".join(["0123456789"] * 18)))
    with pytest.raises(BlockError, match="too many"):
        blocks.apply(Append(label="human", text="x"), AGENT)


def test_read_only_blocks_are_the_persons(blocks: Blocks) -> None:
    write(blocks, Append(label="human", text="likes tea"))
    with pytest.raises(BlockError, match="Only the person"):
        blocks.apply(SetReadOnly(label="human", read_only=True), AGENT)
    write(blocks, SetReadOnly(label="human", read_only=True), by=PERSON)
    attempts: list[Edit] = [
        Append(label="human", text="x"),
        Rethink(label="human", value="x"),
        Describe(label="human", description="x"),
        Rename(label="human", new_label="x"),
        Delete(label="human"),
        SetReadOnly(label="human", read_only=False),
        SetLimit(label="human", limit=9),
        ApplyPatch(patch="*** Update Block: human\n@@\n+x"),
    ]
    for edit in attempts:
        with pytest.raises(BlockError, match="read-only"):
            blocks.apply(edit, AGENT, approved=True)
    write(blocks, Append(label="human", text="and milk"), by=PERSON)
    assert value(blocks, "human") == "likes tea\nand milk"


def test_a_patch_of_several_blocks_is_one_commit_or_nothing(blocks: Blocks, git: Git) -> None:
    write(blocks, Append(label="human", text="likes tea"))
    good = "*** Update Block: human\n@@\n-likes tea\n+likes coffee\n*** Add Block: notes/x\n+a\n"
    write(blocks, ApplyPatch(patch=good))
    assert git("rev-list", "--count", "HEAD").strip() == "2"
    before = blocks.pin()
    bad = "*** Update Block: human\n@@\n-likes coffee\n+x\n*** Delete Block: nothing\n"
    with pytest.raises(BlockError, match="no block `nothing`"):
        blocks.apply(ApplyPatch(patch=bad), AGENT)
    assert (blocks.pin(), value(blocks, "human")) == (before, "likes coffee")


def test_a_patch_sees_its_own_earlier_parts(blocks: Blocks) -> None:
    patch = "*** Add Block: a\n+1\n*** Update Block: a\n@@\n 1\n+2\n*** Move Block: a\n*** To: b\n"
    outcome = write(blocks, ApplyPatch(patch=patch))
    assert value(blocks, "b") == "1\n2"
    assert [(change.before, change.label) for change in outcome.changes] == [(None, "b")]


# ---------------------------------------------------------------- others write meanwhile


@pytest.fixture
def other(home: Path) -> Blocks:
    """The same memory, seen from another conversation."""
    return Blocks(home, "agent-1", "proj-1", "conv-2")


def test_an_edit_is_done_on_the_newest_block(blocks: Blocks, other: Blocks) -> None:
    base = write(blocks, Append(label="human", text="a\nb\nc")).pin
    write(other, Replace(label="human", old="a", new="A"))
    write(blocks, Replace(label="human", old="c", new="C"), base=base)
    write(blocks, Append(label="human", text="d"), base=base)
    assert value(other, "human") == "A\nb\nC\nd"


def test_a_rewrite_is_merged_with_what_came_in_between(blocks: Blocks, other: Blocks) -> None:
    base = write(blocks, Append(label="human", text="a\nb\nc\nd\ne")).pin
    write(other, Replace(label="human", old="a", new="A"))
    outcome = write(blocks, Rethink(label="human", value="a\nb\nc\nd\nE"), base=base)
    assert value(blocks, "human") == "A\nb\nc\nd\nE"
    assert outcome.merged
    assert "both stand" in outcome.text


def test_lines_inserted_by_number_go_where_their_author_saw_them(blocks: Blocks, other: Blocks) -> None:
    base = write(blocks, Append(label="human", text="a\nb\nc")).pin
    write(other, Insert(label="human", text="0", line=0))
    write(blocks, Insert(label="human", text="after b", line=2), base=base)
    assert value(blocks, "human") == "0\na\nb\nafter b\nc"


def test_a_true_conflict_keeps_both_and_is_told(blocks: Blocks, other: Blocks, git: Git) -> None:
    base = write(blocks, Append(label="human", text="likes tea")).pin
    write(other, Replace(label="human", old="tea", new="coffee"))
    outcome = write(blocks, Rethink(label="human", value="likes milk"), base=base)
    assert value(blocks, "human") == "likes coffee"
    assert outcome.conflict.startswith("conflicts/system.human@")
    assert "yours is kept in" in outcome.text
    assert value(blocks, outcome.conflict.removesuffix(".md")) == "likes milk"
    assert git("status", "--short") == ""


def test_an_unknown_base_is_no_obstacle(blocks: Blocks) -> None:
    write(blocks, Append(label="human", text="a"))
    write(blocks, Append(label="human", text="b"), base="0" * 40)
    assert value(blocks, "human") == "a\nb"


def test_threads_share_one_memory(blocks: Blocks) -> None:
    def work(name: str) -> None:
        for number in range(20):
            write(blocks, Append(label="human", text=f"{name}.{number}"))

    threads = [Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = value(blocks, "human").split("\n")
    assert sorted(lines) == sorted(f"{name}.{number}" for name in "abcd" for number in range(20))


# ---------------------------------------------------------------- what is asked first


def test_removing_a_persons_line_is_asked(blocks: Blocks) -> None:
    write(blocks, Append(label="human", text="call me Ann"), by=PERSON)
    write(blocks, Append(label="human", text="likes tea"))
    asked = blocks.apply(Replace(label="human", old="call me Ann", new="call her Ann"), AGENT)
    assert isinstance(asked, NeedsApproval)
    assert "1 of your own lines" in asked.text
    assert "call me Ann" in asked.text
    assert "-call me Ann" in asked.diffs[0].diff
    assert value(blocks, "human") == "call me Ann\nlikes tea"
    done = write(blocks, Replace(label="human", old="call me Ann", new="call her Ann"), base=asked.pin, approved=True)
    assert done.risks == asked.why
    write(blocks, Replace(label="human", old="likes tea", new="likes coffee"))  # its own line: nothing is asked


def test_moving_a_persons_line_is_not_asked(blocks: Blocks) -> None:
    write(blocks, Append(label="human", text="a\nb"), by=PERSON)
    write(blocks, Rethink(label="human", value="b\nnew\na"))


def test_emptying_a_block_is_asked_but_for_small_ones_and_the_todo_list(blocks: Blocks) -> None:
    long = "\n".join(f"fact number {n}" for n in range(20))
    for label in ("human", "todo"):
        write(blocks, Append(label=label, text=long))
    asked = blocks.apply(Rethink(label="human", value=long[:100]), AGENT)
    assert isinstance(asked, NeedsApproval)
    assert "shrinks `human` by 6" in asked.text
    assert isinstance(blocks.apply(Delete(label="human"), AGENT), NeedsApproval)
    write(blocks, Rethink(label="human", value=long[: int(len(long) * 0.8)]))
    write(blocks, Rethink(label="todo", value="x"))
    write(blocks, Create(label="small", value="three words here"))
    write(blocks, Rethink(label="small", value="one"))


def test_a_person_is_never_asked(blocks: Blocks) -> None:
    write(blocks, Append(label="human", text="x" * 150), by=PERSON)
    write(blocks, Rethink(label="human", value="y"), by=PERSON)
    write(blocks, Delete(label="human"), by=PERSON)


def test_an_encoded_text_is_asked(blocks: Blocks) -> None:
    asked = blocks.apply(Append(label="human", text="QUJD" * 100), AGENT)
    assert isinstance(asked, NeedsApproval)
    assert "encoded" in asked.text


def test_what_may_never_be_kept_is_refused(home: Path) -> None:
    blocks = Blocks(home, "agent-1", refuse=lambda text: "it holds a key" if "sk-" in text else "")
    with pytest.raises(BlockError, match="it holds a key"):
        blocks.apply(ApplyPatch(patch="*** Add Block: x\n+sk-123"), PERSON)
    write(blocks, Append(label="human", text="fine"))


def test_a_preview_shows_what_would_change_and_changes_nothing(blocks: Blocks, git: Git) -> None:
    write(blocks, Append(label="human", text="call me Ann"), by=PERSON)
    before = blocks.pin()
    shown = blocks.preview(ApplyPatch(patch="*** Update Block: human\n@@\n-call me Ann\n*** Add Block: a\n+1\n"), AGENT)
    assert [(diff.path, diff.status) for diff in shown.diffs] == [("human", "modified"), ("a", "added")]
    assert "your own lines" in shown.text
    assert blocks.preview(Append(label="human", text="x"), AGENT).why == ()
    with pytest.raises(BlockError, match="no block `nothing`"):
        blocks.preview(Append(label="nothing", text="x"), AGENT)
    assert blocks.pin() == before
    assert git("status", "--short") == ""


def test_a_proposal_is_done_later_on_what_stands_then(blocks: Blocks, other: Blocks) -> None:
    write(blocks, Append(label="human", text="a\nb\nstale"))
    proposal, pin = "*** Update Block: human\n@@\n-stale\n", blocks.pin()
    write(other, Append(label="human", text="new meanwhile"))
    write(blocks, ApplyPatch(patch=proposal), base=pin)
    assert value(blocks, "human") == "a\nb\nnew meanwhile"


# ---------------------------------------------------------------- shared blocks


def test_shared_blocks_are_seen_by_every_agent_that_attached_them(home: Path, blocks: Blocks) -> None:
    write(blocks, Create(label="team", value="we ship on Fridays", scope="shared"))
    second = Blocks(home, "agent-2")
    assert second.view().get("team") is None
    assert second.shared_labels() == ["team"]
    second.attach("team", PERSON)
    write(second, Replace(label="team", old="Fridays", new="Mondays"))
    block = blocks.view().find("team")
    assert (block.value, block.scope, block.in_context) == ("we ship on Mondays", "shared", True)
    assert "+" in blocks.pin()


def test_deleting_a_shared_block_only_detaches_it(home: Path, blocks: Blocks) -> None:
    write(blocks, Create(label="team", value="x", scope="shared"))
    second = Blocks(home, "agent-2")
    second.attach("team", PERSON)
    write(second, Delete(label="team"))
    assert second.view().get("team") is None
    assert value(blocks, "team") == "x"


def test_a_patch_stays_within_one_repository(blocks: Blocks) -> None:
    write(blocks, Create(label="team", value="x", scope="shared"))
    patch = "*** Update Block: team\n@@\n+y\n*** Update Block: human\n@@\n+z\n"
    with pytest.raises(BlockError, match="one repository"):
        blocks.apply(ApplyPatch(patch=patch), AGENT)
    assert value(blocks, "team") == "x"


def test_attaching_what_is_not_there(blocks: Blocks) -> None:
    with pytest.raises(BlockError, match="Shared blocks: none yet"):
        blocks.attach("team", PERSON)
    with pytest.raises(BlockError, match="not attached"):
        blocks.detach("team", PERSON)


# ---------------------------------------------------------------- figures and warnings


def test_warnings_name_what_is_too_much_or_wrong(blocks: Blocks) -> None:
    blocks.ensure()
    assert blocks.warnings(len) == ()
    (blocks.root / "system/human.md").write_text("---\nlimit: none\n---\n" + "x" * 9000)
    blocks.refresh()
    told = "\n".join(blocks.warnings(len))
    assert "tokens (more than 8000)" in told
    assert "`human` is over its limit: 9000/5000" in told
    assert "system/human.md: limit is 'none'" in told


def test_a_value_as_the_model_reads_it_is_a_block(blocks: Blocks) -> None:
    assert isinstance(blocks.view().find("persona"), Block)


# ---------------------------------------------------------------- standard blocks that went elsewhere


def test_an_edit_of_a_block_that_was_renamed_meanwhile_is_told_so(blocks: Blocks) -> None:
    write(blocks, Append(label="human", text="Ann"))
    pin = blocks.pin()
    write(blocks, Rename(label="human", new_label="person"), PERSON)
    before = blocks.pin()
    for edit in (Insert(label="human", text="x"), Rethink(label="human", value="x")):
        with pytest.raises(BlockError, match="`human` was renamed or removed meanwhile"):
            blocks.apply(edit, AGENT, base=pin)
    assert blocks.pin() == before
    write(blocks, Insert(label="human", text="somebody new"), base=before)
    assert (value(blocks, "human"), value(blocks, "person")) == ("somebody new", "Ann")


def test_a_block_may_take_the_place_of_a_standard_block_without_a_file(blocks: Blocks) -> None:
    write(blocks, Create(label="person", value="Ann"))
    write(blocks, Rename(label="person", new_label="human"))
    assert value(blocks, "human") == "Ann"
    assert blocks.view().get("person") is None
    write(blocks, Create(label="plan", value="x"))
    with pytest.raises(BlockError, match="`project` already"):
        blocks.apply(Rename(label="plan", new_label="project"), AGENT)  # that one is the project's, not the agent's


def test_a_standard_block_without_a_file_cannot_be_deleted(blocks: Blocks) -> None:
    with pytest.raises(BlockError, match="`persona` says what every new agent is given: there is nothing to delete"):
        blocks.apply(Delete(label="persona"), PERSON)
    with pytest.raises(BlockError, match="`human` is a standard block that is empty"):
        blocks.apply(Delete(label="human"), PERSON)
