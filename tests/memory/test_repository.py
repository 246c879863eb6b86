"""The repository that is kept without git is one to git: readable, packable, locked by git's own protocol."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from letta_code.host import git_index
from letta_code.host.git_objects import GitDamage, NewObject, Objects, blob_name
from letta_code.host.memory_git import GitBusy, RefMoved, Repository
from letta_code.memory import writer as writer_module
from letta_code.memory.block import BlockError
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append, Create, Replace
from letta_code.memory.plan import Planned
from tests.memory.conftest import AGENT, PERSON, Git


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "memory")
    made.initialise()
    return made


def run_git(root: Path, *words: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["git", "-C", str(root), *words], input=stdin, capture_output=True, check=True).stdout


def test_git_reads_what_we_write(repository: Repository) -> None:
    files: dict[str, bytes | None] = {"a.md": b"one\n", "a/b.md": b"two\n", "a-b/c d.md": "drei é\n".encode(), "z": b""}
    first = repository.add(files, "first\n\nbody", parent="", author="Ann <x>\n")
    second = repository.add({"a/b.md": None, "a.md": b"1\n"}, "second", parent=first, author="Bob")
    root = repository.root
    assert run_git(root, "fsck", "--strict", "--full") == b""
    assert run_git(root, "log", "--format=%an %s").decode().splitlines() == ["Bob second", "Ann x first"]
    assert run_git(root, "cat-file", "blob", f"{second}:a-b/c d.md") == files["a-b/c d.md"]
    listed = run_git(root, "ls-tree", "-r", "--name-only", "-z", second).decode().split("\0")[:-1]
    assert listed == list(repository.files(second)) == ["a-b/c d.md", "a.md", "z"]
    assert repository.differences(first, second).keys() == {"a.md", "a/b.md"}


def test_we_read_what_git_writes(repository: Repository) -> None:
    root = repository.root
    (root / "sub").mkdir()
    (root / "sub/x.md").write_text("by git\n")
    (root / "link").symlink_to("sub/x.md")
    run_git(root, "add", "-A")
    run_git(root, "commit", "-q", "-m", "subject\n\nbody\n\nLetta-Source: tool:x")
    head = repository.head()
    commit = repository.commit(head)
    assert (commit.author, commit.message.splitlines()[0]) == ("Test Person", "subject")
    assert abs(commit.time - time.time()) < 60
    assert list(repository.files(head)) == ["sub/x.md"]
    assert repository.blob(repository.files(head)["sub/x.md"]) == b"by git\n"


@pytest.mark.parametrize("sort", [["gc", "-q"], ["repack", "-q", "-a", "-d", "-f", "--depth=50", "--window=50"]])
def test_packed_history_reads_the_same(repository: Repository, sort: list[str]) -> None:
    head, contents = "", dict[str, bytes]()
    lines = [f"line {n} of a long enough text to be worth a delta" for n in range(300)]
    for n in range(30):
        lines[n * 7] = f"changed {n}"
        data = "\n".join(lines).encode()
        contents[blob_name(data)] = data
        head = repository.add({"big.md": data, f"f{n}.md": b"x%d" % n}, f"c{n}", parent=head, author="a")
    before = [(commit.sha, repository.files(commit.sha)) for commit in repository.commits(head)]
    other = Repository(repository.root)
    run_git(repository.root, *sort)
    assert not [name for name in (repository.git_dir / "objects").iterdir() if len(name.name) == 2]
    assert b"delta" in run_git(repository.root, "verify-pack", "-s", *packs(repository))[:4000] or sort[0] == "gc"
    for reader in (repository, other, Repository(repository.root)):
        assert reader.head() == head
        assert [(commit.sha, reader.files(commit.sha)) for commit in reader.commits(head)] == before
        assert all(reader.blob(sha) == data for sha, data in contents.items())
    new = other.add({"after.md": b"y"}, "after", parent=head, author="a")
    assert run_git(repository.root, "fsck", "--strict") == b""
    assert run_git(repository.root, "rev-parse", "HEAD").decode().strip() == new


def packs(repository: Repository) -> list[str]:
    return [str(path) for path in (repository.git_dir / "objects/pack").glob("*.idx")]


def test_deltas_against_named_bases(repository: Repository) -> None:
    base = ("\n".join(f"a line {n} of some length" for n in range(200))).encode()
    contents = [base, base.replace(b"line 7", b"LINE 7"), base.replace(b"line 50", b"LINE 50")]
    head = ""
    for n, data in enumerate(contents):
        head = repository.add({"x.md": data}, f"{n}", parent=head, author="a")
    # Without --delta-base-offset, deltas name their base by its hash.
    names = "\n".join(run_git(repository.root, "rev-list", "--objects", "--all").decode().split("\n")).encode()
    run_git(repository.root, "pack-objects", "-q", str(repository.git_dir / "objects/pack/pack"), stdin=names)
    run_git(repository.root, "prune-packed", "-q")
    reader = Repository(repository.root)
    assert [reader.blob(blob_name(data)) for data in contents] == contents


def test_the_branch_moves_only_from_where_it_was(repository: Repository) -> None:
    first = repository.add({"a.md": b"1"}, "1", parent="", author="a")
    run_git(repository.root, "commit", "-q", "--allow-empty", "-m", "by git")
    moved = repository.head()
    with pytest.raises(RefMoved):
        repository.add({"a.md": b"2"}, "2", parent=first, author="a")
    assert repository.head() == moved
    assert list(repository.scratch.iterdir()) == []


@pytest.mark.parametrize("said", ["ref: refs/heads/main\nref: refs/heads/main\n", "ref: \n"])
def test_a_head_that_names_no_branch_is_damage_and_no_empty_memory(repository: Repository, said: str) -> None:
    (repository.git_dir / "HEAD").write_text(said)
    with pytest.raises(GitDamage, match="names no branch"):
        repository.head()


def test_a_bent_head_is_damage_and_no_empty_memory(repository: Repository) -> None:
    """One flipped bit makes another name of it, of a branch that has no commit."""
    repository.add({"a.md": b"1"}, "1", parent="", author="a")
    (repository.own_dir / "checkout.json").write_text("{}")
    (repository.git_dir / "HEAD").write_text("ref: refs/heads/mail\n")
    with pytest.raises(GitDamage, match=r"refs/heads/mail, which has no commit"):
        repository.head()
    assert repository.head("refs/heads/reflection/none") == ""


def test_packed_and_detached_heads_and_other_branches(repository: Repository) -> None:
    root = repository.root
    head = repository.add({"a.md": b"1"}, "1", parent="", author="a")
    run_git(root, "pack-refs", "--all")
    assert repository.head() == head
    head = repository.add({"a.md": b"2"}, "2", parent=head, author="a")
    assert run_git(root, "rev-parse", "HEAD").decode().strip() == head
    run_git(root, "checkout", "-q", "-f", "-b", "topic/x")
    head = repository.add({"a.md": b"3"}, "3", parent=head, author="a")
    assert run_git(root, "rev-parse", "topic/x").decode().strip() == head
    run_git(root, "checkout", "-q", "-f", "--detach")
    head = repository.add({"a.md": b"4"}, "4", parent=head, author="a")
    assert run_git(root, "rev-parse", "HEAD").decode().strip() == head


def test_what_is_no_commit_is_told(repository: Repository) -> None:
    head = repository.add({"a.md": b"1"}, "1", parent="", author="a")
    (repository.git_dir / "refs/heads/main").write_text("rubbish\n")
    with pytest.raises(GitDamage, match="does not name a commit"):
        repository.head()
    (repository.git_dir / "refs/heads/main").write_text(f"{head}\n")
    (repository.git_dir / "HEAD").write_text("ref: refs/heads/.invalid\n")
    with pytest.raises(GitDamage, match="reftable"):
        repository.head()


def test_a_damaged_object_is_never_believed(repository: Repository) -> None:
    head = repository.add({"a.md": b"some text"}, "1", parent="", author="a")
    sha = repository.files(head)["a.md"]
    path = repository.git_dir / "objects" / sha[:2] / sha[2:]
    for damage in (b"", b"rubbish", path.read_bytes()[:-3]):
        path.write_bytes(damage)
        with pytest.raises(GitDamage, match="cannot be read") as told:
            Repository(repository.root).blob(sha)
        assert "git fsck" in told.value.hint
    other = repository.git_dir / "objects" / NewObject.of("blob", b"other").sha[:2]
    Objects(repository.git_dir, repository.scratch).write([NewObject.of("blob", b"other")], {})
    path.write_bytes((other / NewObject.of("blob", b"other").sha[2:]).read_bytes())
    with pytest.raises(GitDamage, match="not what its name says"):
        Repository(repository.root).blob(sha)


def test_an_object_that_was_damaged_is_mended_by_writing_it_again(repository: Repository) -> None:
    head = repository.add({"a.md": b"text"}, "1", parent="", author="a")
    sha = repository.files(head)["a.md"]
    (repository.git_dir / "objects" / sha[:2] / sha[2:]).write_bytes(b"")
    repository.add({"b.md": b"text"}, "2", parent=head, author="a")
    assert Repository(repository.root).blob(sha) == b"text"
    assert run_git(repository.root, "fsck", "--strict") == b""


# ---------------------------------------------------------------- locks


def make_old(path: Path) -> None:
    os.utime(path, (time.time() - 60, time.time() - 60))


@pytest.mark.parametrize("name", ["index.lock", "HEAD.lock", "packed-refs.lock", "refs/heads/main.lock"])
def test_locks_of_dead_gits_are_removed(blocks: Blocks, git: Git, name: str) -> None:
    blocks.ensure()
    lock = blocks.root / ".git" / name
    lock.touch()
    make_old(lock)
    Blocks(blocks.root.parents[2], "agent-1").apply(Append(label="human", text="x"), AGENT)
    assert not lock.exists()
    assert git("status", "--short") == ""


def test_our_own_stale_lock_is_removed_at_once(repository: Repository) -> None:
    head = repository.add({"a.md": b"1"}, "1", parent="", author="a")
    ticket = repository.scratch / "ref-dead"
    ticket.write_text("x")
    os.link(ticket, repository.git_dir / "refs/heads/main.lock")
    began = time.monotonic()
    repository.add({"a.md": b"2"}, "2", parent=head, author="a")
    assert time.monotonic() - began < 1


def test_a_fresh_lock_of_another_git_is_respected(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letta_code.host.memory_git.FOREIGN_SECONDS", 0.3)
    head = repository.add({"a.md": b"1"}, "1", parent="", author="a")
    lock = repository.git_dir / "refs/heads/main.lock"
    lock.touch()
    with pytest.raises(GitBusy, match=r"main.lock is held"):
        repository.add({"a.md": b"2"}, "2", parent=head, author="a")
    assert lock.exists()
    assert repository.head() == head


def test_a_lock_is_not_taken_from_a_git_that_runs(repository: Repository) -> None:
    repository.add({"a.md": b"1"}, "1", parent="", author="a")
    lock = repository.git_dir / "index.lock"
    lock.touch()
    make_old(lock)
    with subprocess.Popen(["git", "cat-file", "--batch"], cwd=repository.root, stdin=subprocess.PIPE) as running:
        time.sleep(0.2)
        repository.remove_if_stale(lock)
        assert lock.exists()
        running.communicate()
    repository.remove_if_stale(lock)
    assert not lock.exists()


def test_a_held_index_delays_nothing_and_is_brought_up_later(blocks: Blocks, git: Git) -> None:
    blocks.ensure()
    lock = blocks.root / ".git/index.lock"
    lock.touch()
    blocks.apply(Append(label="human", text="x"), AGENT)
    assert blocks.view().find("human").value == "x"
    lock.unlink()
    assert git("status", "--short") != ""
    blocks.apply(Append(label="project", text="y"), AGENT)
    assert git("status", "--short") == ""


# ---------------------------------------------------------------- git's index


def test_staged_files_of_the_person_stay_staged(blocks: Blocks, git: Git) -> None:
    blocks.ensure()
    (blocks.root / "own.txt").write_text("mine")
    (blocks.root / "script").write_text("#!/bin/sh")
    git("add", "own.txt")
    git("update-index", "--add", "--chmod=+x", "script")
    (blocks.root / "link").symlink_to("own.txt")
    git("add", "link")
    blocks.apply(Append(label="human", text="x"), AGENT)
    assert git("status", "--short").splitlines() == ["A  link", "A  own.txt", "A  script"]
    git("commit", "-q", "-m", "mine")
    blocks.apply(Append(label="human", text="y"), AGENT)
    assert git("status", "--short") == ""
    assert git("ls-tree", "HEAD", "link", "script").split()[0::4] == ["120000", "100755"]


@pytest.mark.parametrize("version", ["2", "4"])
def test_index_versions(blocks: Blocks, git: Git, version: str) -> None:
    blocks.ensure()
    git("update-index", "--index-version", version)
    blocks.apply(Append(label="human", text="x"), AGENT)
    assert git("status", "--short") == ""


def test_a_damaged_index_is_made_anew(blocks: Blocks, git: Git) -> None:
    blocks.ensure()
    (blocks.root / ".git/index").write_bytes(b"DIRC rubbish")
    blocks.apply(Append(label="human", text="x"), AGENT)
    assert git("status", "--short") == ""


def test_an_unfinished_merge_of_the_person_is_left_alone(blocks: Blocks, git: Git) -> None:
    blocks.ensure()
    blob = git("hash-object", "-w", "--stdin", stdin="x").strip()
    row = "\n".join(f"100644 {blob} {stage}\tsystem/human.md" for stage in (1, 2, 3))
    git("update-index", "--index-info", stdin=f"0 {'0' * 40}\tsystem/human.md\n{row}\n")
    before = (blocks.root / ".git/index").read_bytes()
    blocks.apply(Append(label="project", text="x"), AGENT)
    assert (blocks.root / ".git/index").read_bytes() == before
    with pytest.raises(git_index.NotOurs):
        git_index.patched(blocks.root / ".git/index", {})


# ---------------------------------------------------------------- damage and misery


def test_a_damaged_block_is_read_from_its_working_file(home: Path, blocks: Blocks) -> None:
    blocks.apply(Append(label="human", text="likes tea"), AGENT)
    for folder in (blocks.root / ".git/objects").glob("??"):
        for path in folder.iterdir():
            if (
                b"likes tea"
                in subprocess.run(
                    ["git", "-C", str(blocks.root), "cat-file", "-p", folder.name + path.name],
                    capture_output=True,
                    check=True,
                ).stdout
            ):
                path.chmod(0o600)
                path.write_bytes(b"")
    view = Blocks(home, "agent-1").view()
    assert view.find("human").value == "likes tea"
    assert view.problems == []


def test_unreadable_history_still_gives_the_blocks(home: Path, blocks: Blocks) -> None:
    blocks.apply(Append(label="human", text="likes tea"), AGENT)
    for folder in (blocks.root / ".git/objects").glob("??"):
        for path in folder.iterdir():
            path.chmod(0o600)
            path.write_bytes(b"")
    again = Blocks(home, "agent-1")
    view = again.view()
    assert view.find("human").value == "likes tea"
    assert view.problems
    assert again.warnings(len)[0].startswith("Memory cannot be read whole")
    with pytest.raises(BlockError):
        again.apply(Append(label="human", text="x"), AGENT)


def test_a_folder_that_cannot_be_written(home: Path, blocks: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks.apply(Append(label="human", text="likes tea"), AGENT)
    before = blocks.pin()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("letta_code.host.git_objects.write_all", full)
    with pytest.raises(BlockError, match=r"No space left(.|\n)*Nothing was changed") as told:
        blocks.apply(Append(label="human", text="x"), AGENT)
    assert "room" in told.value.hint
    monkeypatch.undo()
    assert blocks.pin() == before
    assert list((blocks.root / ".git/letta/scratch").iterdir()) == []
    blocks.apply(Append(label="human", text="x"), AGENT)
    assert blocks.view().find("human").value == "likes tea\nx"


def test_what_fails_after_the_commit_is_made_up_for(
    home: Path, blocks: Blocks, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the commit and the working files, at each of its steps."""
    blocks.ensure()
    for number, step in enumerate(["place", "bring_index", "save"]):
        with monkeypatch.context() as patched:

            def crash(*_: object) -> None:
                raise KeyboardInterrupt

            patched.setattr(f"letta_code.host.memory_tree.WorkTree.{step}", crash)
            with pytest.raises(KeyboardInterrupt):
                blocks.apply(Append(label="human", text=f"line {number}"), AGENT)
        again = Blocks(home, "agent-1", "proj-1", "conv-1")
        assert again.refresh() == ()
        assert f"line {number}" in again.view().find("human").value
        assert git("status", "--short") == ""
        assert git("rev-list", "--count", "HEAD").strip() == str(number + 2)


def test_files_are_private(blocks: Blocks) -> None:
    blocks.apply(Append(label="human", text="x"), AGENT)
    for folder, _, names in os.walk(blocks.root):
        assert os.stat(folder).st_mode & 0o077 == 0
        for name in names:
            assert os.stat(os.path.join(folder, name)).st_mode & 0o077 == 0


def test_git_is_not_needed(blocks: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    blocks.apply(Create(label="a", value="1"), AGENT)
    blocks.apply(Replace(label="a", old="1", new="2"), AGENT)
    blocks.past.undo("last", PERSON)
    assert blocks.view().find("a").value == "1"
    assert blocks.pack() is False


def test_many_loose_objects_are_packed(blocks: Blocks, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        blocks.apply(Append(label="human", text=f"{n}"), AGENT)
    assert blocks.pack() is False
    monkeypatch.setattr("letta_code.host.memory_git.PACK_FROM", 10)
    assert blocks.pack() is True
    assert git("count-objects").startswith("0 objects")
    blocks.apply(Append(label="human", text="after"), AGENT)
    assert blocks.view().find("human").value == "0\n1\n2\n3\n4\nafter"
    assert git("fsck", "--strict") == ""


def test_a_commit_by_git_between_plan_and_write_is_not_overwritten(
    blocks: Blocks, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks.apply(Append(label="human", text="a"), AGENT)
    real = writer_module.plan
    lines = ["by git"]

    def plan(*args: Any) -> list[Planned]:
        planned = real(*args)
        if lines:
            text = git("show", "HEAD:system/human.md") + lines.pop(0) + "\n"
            blob = git("hash-object", "-w", "--stdin", stdin=text).strip()
            git("update-index", "--cacheinfo", f"100644,{blob},system/human.md")
            git("commit", "-q", "-m", "by git")
        return planned

    monkeypatch.setattr(writer_module, "plan", plan)
    blocks.apply(Append(label="human", text="b"), AGENT)
    assert blocks.view().find("human").value == "a\nby git\nb"


def test_a_folder_of_objects_that_gc_removes_meanwhile(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if "objects" in str(target) and target.parent.is_dir() and not os.listdir(target.parent):
            target.parent.rmdir()
            monkeypatch.undo()
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    head = repository.add({"a.md": b"1"}, "1", parent="", author="a")
    assert repository.blob(repository.files(head)["a.md"]) == b"1"
