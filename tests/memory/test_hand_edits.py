"""A person edits the files, by editor or by git, before, while and after the program writes: nothing is lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from letta_code.memory.block import BlockError
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append, Create, Delete, Replace, Rethink, SetReadOnly
from letta_code.memory.outcome import Written
from letta_code.memory.provenance import Provenance
from letta_code.memory.render import reminder
from tests.memory.conftest import AGENT, PERSON, Git


@pytest.fixture
def human(blocks: Blocks) -> Path:
    """The file of the block `human`, with three lines."""
    blocks.ensure()
    blocks.apply(Append(label="human", text="a\nb\nc"), AGENT)
    return blocks.root / "system/human.md"


def value(blocks: Blocks, label: str = "human") -> str:
    return blocks.view().find(label).value


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_edited_file_is_taken_in_as_the_persons(blocks: Blocks, human: Path, git: Git) -> None:
    changed(human, "b\n", "by hand\n")
    [notice] = blocks.refresh()
    assert "system/human.md" in notice
    assert value(blocks) == "a\nby hand\nc"
    [line] = [line for line in blocks.past.blame("human") if line.text == "by hand"]
    assert line.change.provenance.source == "user"
    assert blocks.refresh() == ()
    assert git("status", "--short") == ""


def test_an_edit_by_the_agent_takes_the_hand_edit_in_first(blocks: Blocks, human: Path, git: Git) -> None:
    changed(human, "b\n", "by hand\n")
    blocks.apply(Replace(label="human", old="c", new="C"), AGENT)
    assert value(blocks) == "a\nby hand\nC"
    assert human.read_text().endswith("\na\nby hand\nC\n")
    assert git("log", "--format=%an", "-2").split() == ["agent", "Person"]


def test_new_files_become_blocks_and_removed_ones_go(blocks: Blocks, human: Path) -> None:
    (blocks.root / "system/rules.md").write_text("never push on Fridays\n")
    (blocks.root / "notes").mkdir()
    (blocks.root / "notes/x.md").write_text("on demand")
    blocks.refresh()
    assert value(blocks, "rules") == "never push on Fridays"
    (blocks.root / "system/rules.md").unlink()
    blocks.refresh()
    assert blocks.view().get("rules") is None


def test_a_file_read_on_demand_is_seen_when_it_is_edited(blocks: Blocks, human: Path) -> None:
    (blocks.root / "notes").mkdir()
    (blocks.root / "notes/x.md").write_text("by hand")
    with pytest.raises(BlockError, match="no block"):
        blocks.view().find("notes/x")
    blocks.apply(Append(label="human", text="d"), AGENT)
    (blocks.root / "notes/x.md").write_text("by hand")
    blocks.apply(Append(label="project", text="d"), AGENT)
    with pytest.raises(BlockError, match="already"):
        blocks.apply(Create(label="notes/x", value="by the agent"), AGENT)
    assert value(blocks, "notes/x") == "by hand"


def test_files_that_vanish_all_at_once_are_put_back(blocks: Blocks, human: Path) -> None:
    for path in (blocks.root / "system").iterdir():
        path.unlink()
    (blocks.root / "projects/proj-1/project.md").unlink()
    [notice] = blocks.refresh()
    assert "3 memory files had vanished" in notice
    assert value(blocks) == "a\nb\nc"
    assert human.exists()


def test_a_commit_by_git_is_followed(blocks: Blocks, human: Path, git: Git) -> None:
    changed(human, "b\n", "by git\n")
    git("commit", "-q", "-a", "-m", "my own edit")
    assert value(blocks) == "a\nby git\nc"
    blocks.apply(Append(label="human", text="d"), AGENT)
    assert value(blocks) == "a\nby git\nc\nd"
    [line] = [line for line in blocks.past.blame("human") if line.text == "by git"]
    assert (line.change.provenance.source, line.change.summary) == ("user", "my own edit")
    assert git("status", "--short") == ""


def test_an_older_version_checked_out_by_git_is_a_hand_edit(blocks: Blocks, human: Path, git: Git) -> None:
    blocks.apply(Append(label="human", text="d"), AGENT)
    git("checkout", "-q", "HEAD~1", "--", "system/human.md")
    blocks.refresh()
    assert value(blocks) == "a\nb\nc"
    assert git("status", "--short") == ""


def test_an_editor_that_saves_an_old_text_wins_and_history_has_the_other(blocks: Blocks, human: Path, git: Git) -> None:
    old = human.read_text()
    blocks.apply(Replace(label="human", old="a", new="A"), AGENT)
    human.write_text(old.replace("c\n", "C by hand\n"))
    blocks.refresh()
    assert value(blocks) == "a\nb\nC by hand"
    assert "+A" in git("log", "-p").splitlines()


def stale_checkout(blocks: Blocks, human: Path, git: Git, new: str) -> None:
    """The branch moves by another git that leaves the working files as they were, then the file is edited by hand."""
    blob = git("hash-object", "-w", "--stdin", stdin=human.read_text().replace("b\n", f"{new}\n")).strip()
    tree = git("ls-tree", "HEAD:system")
    rows = [row.replace(row.split()[2], blob) if row.endswith("human.md") else row for row in tree.splitlines()]
    system = git("mktree", stdin="\n".join(rows) + "\n").strip()
    top = git("ls-tree", "HEAD").splitlines()
    rows = [row.replace(row.split()[2], system) if row.endswith("\tsystem") else row for row in top]
    root = git("mktree", stdin="\n".join(rows) + "\n").strip()
    git("update-ref", "HEAD", git("commit-tree", root, "-p", "HEAD", "-m", "elsewhere").strip())


def test_a_hand_edit_on_an_older_version_is_merged(blocks: Blocks, human: Path, git: Git) -> None:
    stale_checkout(blocks, human, git, "B elsewhere")
    changed(human, "c\n", "c\nby hand\n")
    blocks.refresh()
    assert value(blocks) == "a\nB elsewhere\nc\nby hand"
    assert human.read_text().endswith("\na\nB elsewhere\nc\nby hand\n")
    assert git("status", "--short") == ""


def test_a_hand_edit_of_the_same_line_keeps_both(blocks: Blocks, human: Path, git: Git) -> None:
    stale_checkout(blocks, human, git, "B elsewhere")
    changed(human, "b\n", "B by hand\n")
    notices = "\n".join(blocks.refresh())
    assert "met another edit" in notices
    assert value(blocks) == "a\nB elsewhere\nc"
    [kept] = (blocks.root / "conflicts").iterdir()
    assert "B by hand" in kept.read_text()
    assert git("status", "--short") == ""


def test_a_working_file_that_is_only_old_is_brought_along(blocks: Blocks, human: Path, git: Git) -> None:
    stale_checkout(blocks, human, git, "B elsewhere")
    assert blocks.refresh() == ()
    assert human.read_text().endswith("\na\nB elsewhere\nc\n")
    assert git("rev-list", "--count", "HEAD").strip() == "3"


def test_links_and_huge_files_are_left_alone_and_named(blocks: Blocks, human: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a key")
    (blocks.root / "system/link.md").symlink_to(secret)
    (blocks.root / "system/huge.md").write_bytes(b"x" * (2 << 20))
    os.mkfifo(blocks.root / "system/pipe.md")
    told = "\n".join(blocks.refresh())
    for word in ("link.md is a link", "huge.md is larger", "pipe.md is a link or no regular file"):
        assert word in told
    assert "a key" not in str(blocks.view().blocks)
    blocks.apply(Append(label="human", text="d"), AGENT)


def test_a_folder_that_is_a_link_is_not_followed(blocks: Blocks, human: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "todo.md").write_text("theirs")
    (blocks.root / "conversations").mkdir()
    (blocks.root / "conversations/conv-1").symlink_to(elsewhere)
    with pytest.raises(BlockError, match=r"conversations/conv-1 is a link.*Nothing was changed"):
        blocks.apply(Append(label="todo", text="mine"), AGENT)
    assert value(blocks, "todo") == ""
    assert (elsewhere / "todo.md").read_text() == "theirs"
    blocks.set_task("the rest goes on")
    blocks.apply(Append(label="human", text="d"), AGENT)
    (blocks.root / "conversations/conv-1").unlink()
    blocks.apply(Append(label="todo", text="mine"), AGENT)
    assert value(blocks, "todo") == "mine"


def test_a_folder_that_becomes_a_link_leaves_only_its_own_files_behind(
    blocks: Blocks, human: Path, git: Git, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        blocks.apply(Create(label=f"notes/{name}", value=name), AGENT)
    elsewhere = tmp_path / "elsewhere"
    (blocks.root / "notes").rename(elsewhere)
    (blocks.root / "notes").symlink_to(elsewhere)
    told = " ".join(blocks._own.refresh(("",)).notices)  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    assert "notes/a.md was left as it is: notes is a link" in told
    assert blocks._own.refresh(("",)) is None  # told once  # pyright: ignore[reportPrivateUsage]
    assert value(blocks, "notes/a") == "a"  # it is not taken for a removed one
    blocks.apply(Append(label="human", text="d"), AGENT)
    changed(human, "d\n", "by hand\n")
    assert blocks.refresh() != ()
    with pytest.raises(BlockError, match="notes is a link"):
        blocks.apply(Append(label="notes/a", text="x"), AGENT)
    blocks.apply(Delete(label="notes/b"), PERSON)
    assert blocks.view().get("notes/b") is None
    git("commit", "-q", "--allow-empty", "-m", "x")
    blob = git("hash-object", "-w", "--stdin", stdin="of another git").strip()
    git("read-tree", "HEAD")
    git("update-index", "--add", "--cacheinfo", f"100644,{blob},notes/a.md")
    git("commit", "-q", "-m", "by git")
    blocks.apply(Append(label="human", text="e"), AGENT)
    assert value(blocks, "notes/a") == "of another git"
    assert [path.read_text().strip()[-1] for path in sorted(elsewhere.iterdir())] == ["a", "b"]
    (blocks.root / "notes").unlink()
    blocks._own.refresh(("",))  # pyright: ignore[reportPrivateUsage]
    assert (blocks.root / "notes/a.md").read_text() == "of another git"
    assert git("status", "--short") == ""


def test_a_hand_edit_of_a_read_only_block_waits_for_the_person(blocks: Blocks, human: Path, git: Git) -> None:
    blocks.apply(SetReadOnly(label="human", read_only=True), PERSON)
    changed(human, "read_only: true\n", "")
    changed(human, "a\n", "obey me\n")
    [notice] = blocks.refresh()
    assert "read-only" in notice
    blocks.apply(Append(label="project", text="x"), AGENT)
    assert blocks.view().find("human").read_only
    assert value(blocks) == "a\nb\nc"
    assert "obey me" in human.read_text()
    [held] = blocks.waiting.held()
    assert "+obey me" in held.diff.diff
    with pytest.raises(BlockError, match="Only the person"):
        blocks.waiting.adopt(held.path, AGENT)
    blocks.waiting.adopt(held.path, PERSON)
    assert value(blocks) == "obey me\nb\nc"
    assert blocks.waiting.held() == []
    blocks.apply(Append(label="project", text="y"), AGENT)
    assert git("status", "--short") == ""


def test_a_held_edit_can_be_put_back_and_stays_in_history(blocks: Blocks, human: Path, git: Git) -> None:
    blocks.apply(SetReadOnly(label="human", read_only=True), PERSON)
    changed(human, "a\n", "obey me\n")
    blocks.refresh()
    blocks.waiting.put_back("system/human.md", PERSON)
    blocks.refresh()
    assert value(blocks) == "a\nb\nc"
    assert human.read_text().endswith("\na\nb\nc\n")
    assert "obey me" in git("log", "-p")


def test_a_broken_file_breaks_nothing(blocks: Blocks, human: Path) -> None:
    human.write_bytes(b"---\ndescription: [\n---\n\xff\xfe rubbish \x00")
    (blocks.root / "system/Bad Name!.md").write_text("readable")
    blocks.refresh()
    block = blocks.view().find("human")
    assert "YAML" in block.problem
    assert "UTF-8" in block.problem
    assert "rubbish" in block.value
    odd = blocks.view().find("Bad Name!")
    assert (odd.value, odd.problem) == ("readable", "its file name is no good label: rename it")
    with pytest.raises(BlockError, match="not UTF-8"):
        blocks.apply(Rethink(label="human", value="x"), AGENT)
    blocks.apply(Append(label="project", text="fine"), AGENT)


def test_a_lost_record_loses_no_edit(blocks: Blocks, human: Path, git: Git) -> None:
    (blocks.root / ".git/letta/checkout.json").write_text("rubbish")
    blocks.refresh()
    assert git("rev-list", "--count", "HEAD").strip() == "2"
    (blocks.root / ".git/letta/checkout.json").unlink()
    changed(human, "b\n", "by hand\n")
    blocks.refresh()
    text = value(blocks) + "".join(path.read_text() for path in (blocks.root / "conflicts").glob("*"))
    assert "by hand" in text
    assert git("status", "--short") == ""


def test_a_folder_that_vanished_is_told(blocks: Blocks, human: Path) -> None:
    shutil.rmtree(blocks.root)
    outcome = Blocks(blocks.root.parents[2], "agent-1").apply(Append(label="human", text="new"), AGENT)
    assert "the memory folder was gone" in outcome.notices[0].lower()


def test_a_hand_edit_that_another_write_took_in_is_told_once(blocks: Blocks, human: Path) -> None:
    changed(human, "b\n", "by hand\n")
    blocks.set_task("what the program writes")
    assert "system/human.md" in blocks.refresh()[0]
    assert blocks.refresh() == ()
    changed(human, "c\n", "by hand too\n")
    outcome = blocks.apply(Append(label="project", text="x"), AGENT)
    assert isinstance(outcome, Written)
    assert "system/human.md" in outcome.notices[0]
    assert blocks.refresh() == ()


# ---------------------------------------------------------------- files on demand, and whose hand it was


@pytest.fixture
def note(blocks: Blocks, human: Path) -> Path:
    """The file of a block that is read on demand."""
    blocks.apply(Create(label="notes/x", value="old"), AGENT)
    return blocks.root / "notes/x.md"


def test_files_on_demand_are_taken_in_when_somebody_looks(blocks: Blocks, note: Path, git: Git) -> None:
    changed(note, "old", "by hand")
    (note.parent / "new.md").write_text("added")
    assert blocks.refresh() == ()
    assert value(blocks, "notes/x") == "old"
    [notice] = blocks.refresh(everything=True)
    assert "notes/x.md" in notice
    assert (value(blocks, "notes/x"), value(blocks, "notes/new")) == ("by hand", "added")
    note.unlink()
    blocks.refresh(everything=True)
    assert blocks.view().get("notes/x") is None
    assert git("status", "--short") == ""


def test_edits_of_files_while_a_command_runs_are_the_commands(blocks: Blocks, human: Path, git: Git) -> None:
    by = Provenance(source="tool:Bash", conversation="conv-1", seq=12)
    pin = blocks.pin()
    blocks.in_hand_of(by)
    changed(human, "b\n", "by bash\n")
    [notice] = blocks.refresh()
    assert notice.startswith(
        "Files that changed while the agent's Bash in conv-1 at event 12 ran were taken into memory"
    )
    [line] = [line for line in blocks.past.blame("human") if line.text == "by bash"]
    assert line.change.provenance == by
    assert git("log", "--format=%an", "-1").strip() == "agent"
    told = reminder(blocks.changes_since(pin, but="conv-1"))
    assert "`human` was changed by the agent's Bash in conv-1 at event 12" in told
    assert blocks.preview(Replace(label="human", old="by bash\n"), AGENT).why == (), "it is no line of the person's"
    blocks.in_hand_of(PERSON)
    changed(human, "c\n", "by hand\n")
    assert "A hand edit was taken" in blocks.refresh()[0]
    assert "your own lines" in blocks.preview(Replace(label="human", old="by hand"), AGENT).why[0]


def test_our_record_is_not_written_through_a_link(blocks: Blocks, human: Path, tmp_path: Path) -> None:
    other, record = tmp_path / "elsewhere", blocks.root / ".git/letta/checkout.json"
    other.write_text("of somebody")
    record.unlink()
    record.symlink_to(other)
    Blocks(tmp_path / "home", "agent-1", "proj-1", "conv-1").apply(Append(label="human", text="d"), AGENT)
    assert other.read_text() == "of somebody" and not record.is_symlink()
