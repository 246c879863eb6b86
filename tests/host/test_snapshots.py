"""Snapshots: what was there comes back byte for byte, and the person's repository never notices."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from letta_code.core.errors import WorkspaceError
from letta_code.host.locks import FileLock
from letta_code.host.snapshots import Snapshots
from tests.host.hostile import Hostile, git, repository

Seen = dict[bytes, tuple[str, int, bytes]]


def seen(root: Path, *, but: tuple[str, ...] = (".git",)) -> Seen:
    """Every file and link below a folder: kind, right to run, content or target."""
    found: Seen = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = [name for name in folders if name not in links and os.fsdecode(name) not in but]
        for name in files + links:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                found[os.path.relpath(path, os.fsencode(root))] = ("link", 0, os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, os.fsencode(root))] = ("file", status.st_mode & 0o111, file.read())
    return found


def theirs(root: Path) -> dict[str, str]:
    """Everything in a .git folder by content, and what git says of it."""
    folder = root / ".git"
    return {
        os.path.join(above, name): hashlib.sha256(Path(above, name).read_bytes()).hexdigest()
        + str(Path(above, name).stat().st_mtime_ns)
        for above, _, names in os.walk(folder)
        for name in names
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A lived-in repository: committed, staged, stashed, ignored, untracked files."""
    root = repository(tmp_path / "tree")
    (root / "src").mkdir()
    (root / "src/run.sh").write_text("#!/bin/sh\n")
    (root / "src/run.sh").chmod(0o755)
    (root / "src/data.bin").write_bytes(bytes(range(256)) * 50)
    (root / "crlf.txt").write_bytes(b"a\r\nb\n")
    (root / ".gitignore").write_text("*.log\nbuild/\n")
    (root / "kept.log").write_text("tracked although ignored\n")
    os.symlink("src/run.sh", root / "link")
    git(root, "add", ".")
    git(root, "add", "-f", "kept.log")
    git(root, "commit", "-qm", "second")
    (root / "f.txt").write_text("stashed\n")
    git(root, "stash")
    (root / "f.txt").write_text("staged\n")
    git(root, "add", "f.txt")
    (root / "untracked.txt").write_text("new\n")
    (root / "ignored.log").write_text("ignored\n")
    (root / "build").mkdir()
    (root / "build/out").write_text("built\n")
    return root


@pytest.fixture
def snapshots(tree: Path, tmp_path: Path) -> Snapshots:
    return Snapshots(tmp_path / "store", tree)


def shell(root: Path, script: str) -> None:
    subprocess.run(["sh", "-ec", script], cwd=root, check=True)


CHANGES = r"""
echo more >> f.txt
rm crlf.txt
mv src/data.bin moved.bin
chmod -x src/run.sh
chmod +x untracked.txt
rm link; ln -s nowhere link
printf '\000\377' > new.bin
mkdir -p deep/er; echo x > deep/er/file
rm -r src; echo now a file > src
echo changed > kept.log
echo x > -rf
"""


def test_shell_made_changes_come_back_and_go_again(tree: Path, snapshots: Snapshots) -> None:
    state, before = theirs(tree), seen(tree)
    first = snapshots.take()
    assert first.files == 8
    assert first.new_bytes > 0
    assert "2 ignored" in first.ignored
    shell(tree, CHANGES)
    changed = seen(tree)
    second = snapshots.take()
    kinds = {change.path: change.kind for change in snapshots.changes(first.tree, second.tree)}
    assert kinds == {
        **dict.fromkeys(("src", "-rf", "moved.bin", "new.bin", "deep/er/file"), "added"),
        **dict.fromkeys(("crlf.txt", "src/data.bin", "src/run.sh"), "deleted"),
        **dict.fromkeys(("f.txt", "link", "kept.log"), "changed"),
        "untracked.txt": "mode",
    }
    back = snapshots.restore(first.tree, now=second.tree)
    assert back.failed == ()
    assert seen(tree) == before
    assert not (tree / "deep").exists()
    third = snapshots.take()
    assert third.tree == first.tree
    again = snapshots.restore(second.tree, now=third.tree)
    assert again.failed == ()
    assert seen(tree) == changed
    assert theirs(tree) == state


def test_nothing_new_costs_nothing(snapshots: Snapshots) -> None:
    first, second = snapshots.take(), snapshots.take()
    assert (second.tree, second.files, second.new_bytes) == (first.tree, first.files, 0)


def test_a_change_of_same_size_and_time_is_found(tree: Path, snapshots: Snapshots) -> None:
    for number in range(20):
        (tree / "racy").write_text(f"{number:04}")
        times = (tree / "racy").stat()
        first = snapshots.take()
        (tree / "racy").write_text(f"{number + 5000:04}")
        os.utime(tree / "racy", ns=(times.st_atime_ns, times.st_mtime_ns))
        second = snapshots.take()
        assert [change.path for change in snapshots.changes(first.tree, second.tree)] == ["racy"]


def test_preview_gives_both_contents(tree: Path, snapshots: Snapshots) -> None:
    first = snapshots.take()
    shell(tree, CHANGES)
    second = snapshots.take()
    assert snapshots.diff(first.tree, second.tree, "f.txt") == (b"staged\n", b"staged\nmore\n")
    assert snapshots.diff(first.tree, second.tree, "link") == (b"src/run.sh", b"nowhere")
    assert snapshots.diff(first.tree, second.tree, "src/run.sh") == (b"#!/bin/sh\n", None)
    assert snapshots.diff(first.tree, second.tree, "no/such") == (None, None)


def test_names_that_are_hard_to_write(tree: Path, snapshots: Snapshots) -> None:
    names = [
        b"new\nline",
        b"\xff\xfe",
        b"-dash",
        b'quo"te',
        b"tab\t",
        b"sp ace ",
        "ü".encode(),
        b"a\\b",
        b"*",
        b":x",
        b"!y",
    ]
    first = snapshots.take()
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tree), name))).write_bytes(name)
    with_them = seen(tree)
    second = snapshots.take()
    assert second.left_out == ()
    assert second.files == first.files + len(names)
    assert snapshots.restore(first.tree, now=second.tree).failed == ()
    assert not set(names) & set(seen(tree))
    snapshots.restore(second.tree, now=snapshots.take().tree)
    assert seen(tree) == with_them
    assert snapshots.diff(first.tree, second.tree, os.fsdecode(b"\xff\xfe")) == (None, b"\xff\xfe")


def test_what_cannot_be_held_is_told(tree: Path, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "store", tree, max_file_bytes=100_000)
    (tree / "big").write_bytes(b"x" * 100_001)
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "socket"))
    (tree / "odd").mkdir()
    os.mkfifo(tree / "odd/only")
    (tree / ".GIT").mkdir()
    (tree / ".GIT/x").write_text("x")
    first = snapshots.take()
    left = {item.path: item.why for item in first.left_out}
    assert left == {
        "big": "too large",
        **dict.fromkeys(("fifo", "socket", "odd/only"), "socket or device"),
        ".GIT/x": "git refuses this name",
    }
    (tree / "f.txt").write_bytes(b"y" * 100_001)
    second = snapshots.take()
    assert "f.txt" in {item.path for item in second.left_out}
    back = snapshots.restore(first.tree, now=second.tree)
    assert [path for path, _ in back.failed] == ["f.txt"]
    assert (tree / "f.txt").stat().st_size == 100_001
    assert (tree / "big").exists()


def test_a_snapshot_has_an_end(tree: Path, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "store", tree, max_new_bytes=20_000)
    for number in range(4):
        (tree / f"heavy{number}").write_bytes(os.urandom(6_000))
    first = snapshots.take()
    assert {item.why for item in first.left_out} == {"too much is new: the snapshot is full"}
    assert first.files + len(first.left_out) == 12
    assert snapshots.take().files > first.files


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_unreadable_files_and_folders_are_told(tree: Path, snapshots: Snapshots) -> None:
    (tree / "secret").write_text("x")
    (tree / "secret").chmod(0)
    (tree / "closed").mkdir(mode=0)
    try:
        why = {item.path: item.why for item in snapshots.take().left_out}
    finally:
        (tree / "closed").chmod(0o700)
    assert why["secret"] == "unreadable"
    assert why["closed/"].startswith("unreadable")


def test_what_changed_since_is_left_alone(tree: Path, snapshots: Snapshots) -> None:
    first = snapshots.take()
    shell(tree, "echo a > f.txt; echo b > untracked.txt; rm crlf.txt; echo n > added; echo l > link2")
    now = snapshots.take()
    shell(tree, "echo mine > f.txt; echo mine > added; echo mine > crlf.txt")
    back = snapshots.restore(first.tree, now=now.tree)
    assert sorted(path for path, _ in back.failed) == ["added", "crlf.txt", "f.txt"]
    assert (tree / "f.txt").read_text() == (tree / "added").read_text() == (tree / "crlf.txt").read_text() == "mine\n"
    assert (tree / "untracked.txt").read_text() == "new\n"
    assert not (tree / "link2").exists()


def test_a_restore_never_leaves_the_root(tree: Path, tmp_path: Path, snapshots: Snapshots) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "data.bin").write_text("theirs")
    (outside / "run.sh").write_text("x\n")  # just what the restore expects to find
    (outside / "run.sh").chmod(0o755)
    first = snapshots.take()
    shell(tree, "echo x > src/run.sh; rm src/data.bin")
    now = snapshots.take()
    shutil.rmtree(tree / "src")
    os.symlink(outside, tree / "src")
    back = snapshots.restore(first.tree, now=now.tree)
    assert sorted(path for path, _ in back.failed) == ["src/data.bin", "src/run.sh"]
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"data.bin": "theirs", "run.sh": "x\n"}


def test_a_folder_that_became_a_link_is_a_link_in_the_tree(tree: Path, tmp_path: Path, snapshots: Snapshots) -> None:
    before = seen(tree)
    first = snapshots.take()
    shell(tree, f"mv src '{tmp_path}/elsewhere'; ln -s '{tmp_path}/elsewhere' src")
    now = snapshots.take()
    kinds = {change.path: change.kind for change in snapshots.changes(first.tree, now.tree)}
    assert kinds == {"src": "added", "src/run.sh": "deleted", "src/data.bin": "deleted"}
    assert snapshots.restore(first.tree, now=now.tree).failed == ()
    assert seen(tree) == before
    assert sorted(os.listdir(tmp_path / "elsewhere")) == ["data.bin", "run.sh"]


def test_ignored_files_stay_whatever_happens(tree: Path, snapshots: Snapshots) -> None:
    first = snapshots.take()
    shell(tree, "rm -r src; mkdir src; echo x > src/mine.log; echo y > src/new; echo z > build/more")
    now = snapshots.take()
    assert snapshots.restore(first.tree, now=now.tree).failed == ()
    assert (tree / "src/mine.log").read_text() == "x\n"
    assert (tree / "build/more").exists()
    shell(tree, "rm -r src; echo file > src")
    second = snapshots.take()
    shell(tree, "rm src; mkdir src; echo q > src/a.log; echo r > src/b")
    third = snapshots.take()
    back = snapshots.restore(second.tree, now=third.tree)
    assert [path for path, _ in back.failed] == ["src"]
    assert (tree / "src/a.log").exists()


def test_new_rules_are_followed_at_once(tree: Path, snapshots: Snapshots) -> None:
    (tree / "modules").mkdir()
    (tree / "modules/a.js").write_text("a")
    with_modules = snapshots.take()
    (tree / ".gitignore").write_text("*.log\nbuild/\nmodules/\n")
    without = snapshots.take()
    assert without.files == with_modules.files - 1
    assert snapshots.diff(with_modules.tree, without.tree, "modules/a.js") == (b"a", None)
    git(tree, "rm", "-q", "--cached", "kept.log")
    assert snapshots.take().files == without.files - 1
    (tree / ".git/info/exclude").write_text("untracked.txt\n")
    assert snapshots.take().files == without.files - 2


def test_global_rules_are_followed(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules").write_text("untracked.*\n")
    (tmp_path / "gitconfig").write_text(f"[core]\nexcludesFile = {tmp_path}/rules\nautocrlf = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    snapshots = Snapshots(tmp_path / "store", tree)
    assert snapshots.take().files == 7
    (tmp_path / "rules").unlink()
    os.mkfifo(tmp_path / "rules")
    first = snapshots.take()
    assert first.files == 8
    assert snapshots.diff(first.tree, first.tree, "crlf.txt")[0] == b"a\r\nb\n"


def test_nothing_of_a_hostile_repository_runs_or_alters_bytes(tmp_path: Path) -> None:
    hostile = Hostile(tmp_path).everything().filters()
    git(hostile.root, "config", "core.autocrlf", "true")
    with (hostile.root / ".gitattributes").open("a") as file:
        file.write(
            "*.id ident\n*.u16 working-tree-encoding=UTF-16 text\n[attr]evil filter=evil\n*.ev evil\n*.eol eol=crlf\n"
        )
    (hostile.root / "a.id").write_bytes(b"$Id$\n$Id: 1234 $\n")
    (hostile.root / "b.u16").write_bytes("\ufeffhällo\r\n".encode("utf-16-le"))
    (hostile.root / "c.ev").write_bytes(b"evil\n")
    (hostile.root / "d.eol").write_bytes(b"one\r\ntwo\n")
    for trap in hostile.traps.glob("*.ran"):
        trap.unlink()
    before, state = seen(hostile.root), theirs(hostile.root)
    snapshots = Snapshots(tmp_path / "store", hostile.root)
    first = snapshots.take()
    assert first.files == len(before)
    shell(hostile.root, "rm *; echo x > .gitattributes; echo y > z")
    now = snapshots.take()
    assert snapshots.restore(first.tree, now=now.tree).failed == ()
    assert seen(hostile.root) == before
    assert theirs(hostile.root) == state
    assert hostile.sprung == []


@pytest.mark.parametrize("kind", ["no repository", "subfolder", "worktree", "ignored subfolder", "damaged"])
def test_wherever_the_root_is(tree: Path, tmp_path: Path, kind: str) -> None:
    root = tree
    if kind == "no repository":
        shutil.rmtree(tree / ".git")
    elif kind == "subfolder":
        root = tree / "src"
        (root / "a.log").write_text("ignored by the folder above")
    elif kind == "worktree":
        root = tmp_path / "second"
        git(tree, "worktree", "add", "-q", str(root))
        (root / "x.log").write_text("ignored")
    elif kind == "ignored subfolder":
        root = tree / "build"
    else:
        (tree / ".git/index").write_bytes(b"no index")
    before = seen(root)
    snapshots = Snapshots(tmp_path / "store", root)
    first = snapshots.take()
    expected = {"no repository": 7, "subfolder": 2, "worktree": 7, "ignored subfolder": 1, "damaged": 7}
    assert first.files == expected[kind]
    for name in os.listdir(root):
        if name.endswith((".txt", ".bin", ".sh", "out")):
            (root / name).write_text("overwritten")
    (root / "additional").write_text("x")
    now = snapshots.take()
    assert snapshots.restore(first.tree, now=now.tree).failed == ()
    assert seen(root) == before


def test_nested_repositories_and_submodules_are_covered(tree: Path, tmp_path: Path) -> None:
    inner = repository(tree / "vendor/inner")
    (inner / ".gitignore").write_text("*.tmp\n")
    (inner / "forced.tmp").write_text("tracked")
    git(inner, "add", "-f", "forced.tmp")
    (inner / "new.txt").write_text("untracked")
    (inner / "x.tmp").write_text("ignored")
    (inner / "shown.log").write_text("the rules around it do not count")
    repository(inner / "deeper")
    git(tree, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub")
    before, state = seen(tree), theirs(tree)
    snapshots = Snapshots(tmp_path / "store", tree)
    first = snapshots.take()
    paths = {change.path for change in snapshots.changes("4b825dc642cb6eb9a060e54bf8d69288fbee4904", first.tree)}
    prefix = "vendor/inner/"
    assert {path for path in paths if path.startswith(prefix)} == {
        prefix + name for name in (".gitignore", "f.txt", "forced.tmp", "new.txt", "shown.log", "deeper/f.txt")
    }
    assert "sub/f.txt" in paths
    assert snapshots.take().tree == first.tree
    shell(
        tree,
        "rm vendor/inner/*.txt vendor/inner/deeper/f.txt sub/f.txt; echo x > vendor/inner/forced.tmp; echo > sub/y.log",
    )
    now = snapshots.take()
    assert snapshots.restore(first.tree, now=now.tree).failed == ()
    assert seen(tree, but=(".git", "none")) == before
    assert theirs(tree) == state


@pytest.mark.parametrize("kind", ["tracked although ignored", "in a nested repository", "too large for a while"])
def test_what_goes_and_comes_again_is_held_again(tmp_path: Path, kind: str) -> None:
    """Files that the rules would not show were lost for good once they had been gone during one snapshot."""
    root = repository(tmp_path / "tree")
    home = repository(root / "inner") if kind == "in a nested repository" else root
    (home / ".gitignore").write_text("" if home != root else "*.log\n")
    file = home / "precious.log"
    file.write_text("v1")
    git(home, "add", "-f", "precious.log")
    git(home, "commit", "-qm", "kept")
    small = Snapshots(tmp_path / "store", root, max_file_bytes=1000)
    small.take()
    if kind == "too large for a while":
        file.write_text("x" * 2000)
        told = [small.take().left_out, small.take().left_out]
        assert [[left.why for left in each] for each in told] == [["too large"], ["too large"]]
    else:
        file.unlink()
        small.take()
    file.write_text("v2")
    second = small.take()
    file.write_text("v3")
    third = small.take()
    assert not third.left_out
    assert not small.restore(second.tree, now=third.tree).failed
    assert file.read_text() == "v2"


def test_our_own_home_is_never_covered(tree: Path) -> None:
    home = tree / "ho[m]e *"
    home.mkdir()
    (home / "credentials.yaml").write_text("secret")
    (tree / ".gitignore").write_text("!*\n")
    git(tree, "add", "-f", ".")
    snapshots = Snapshots(home / "checkpoints/x", tree, without=[home])
    first = snapshots.take()
    (home / "more").write_text("x")
    assert snapshots.take().tree == first.tree
    assert all(
        not change.path.startswith("ho[m]e")
        for change in snapshots.changes("4b825dc642cb6eb9a060e54bf8d69288fbee4904", first.tree)
    )
    assert stat.S_IMODE((home / "checkpoints/x").stat().st_mode) == 0o700


def test_names_keep_trees_and_cleaning_drops_the_oldest(tree: Path, snapshots: Snapshots) -> None:
    trees: list[str] = []
    for number in range(5):
        (tree / "f.txt").write_bytes(os.urandom(100_000))
        trees.append(snapshots.take().tree)
        snapshots.keep(f"step {number}/ä.~^:", trees[-1])
    assert list(snapshots.names().values()) == trees
    snapshots.keep("step 0/ä.~^:", trees[4])
    assert list(snapshots.names())[-1] == "step 0/ä.~^:"
    assert snapshots.names()["step 0/ä.~^:"] == trees[4]
    snapshots.drop("step 2/ä.~^:")
    snapshots.drop("unknown")
    before = snapshots.size()
    cleaned = snapshots.clean(max_age_days=1, max_bytes=250_000)
    assert cleaned.dropped == ("step 1/ä.~^:",)
    assert list(snapshots.names().values()) == [trees[3], trees[4], trees[4]]
    assert cleaned.size == snapshots.size()
    assert before > 0
    old = snapshots.clean(max_age_days=0, max_bytes=10**9)
    assert len(old.dropped) == 2
    assert list(snapshots.names().values()) == [trees[4]]


def test_cleaning_frees_old_objects_and_no_others(tree: Path, tmp_path: Path, snapshots: Snapshots) -> None:
    (tree / "heavy").write_bytes(os.urandom(500_000))
    first = snapshots.take()
    (tree / "heavy").unlink()
    second = snapshots.take()
    snapshots.keep("now", second.tree)
    for folder, _, files in os.walk(tmp_path / "store/objects"):
        for name in files:
            os.utime(os.path.join(folder, name), (1, 1))
    assert snapshots.clean(max_age_days=1, max_bytes=10**9).freed > 400_000
    (tree / "f.txt").unlink()
    now = snapshots.take()
    assert snapshots.restore(second.tree, now=now.tree).failed == ()
    with pytest.raises(WorkspaceError):
        snapshots.keep("gone", first.tree)


def test_errors_say_what_to_do(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkspaceError, match="not there any more") as gone:
        Snapshots(tmp_path / "store", tmp_path / "none").take()
    assert gone.value.hint
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match="cannot be used"):
        Snapshots(tmp_path / "file/store", tree).take()
    snapshots = Snapshots(tmp_path / "store", tree)
    with pytest.raises(WorkspaceError, match="no snapshot"):
        snapshots.keep("name", "1" * 40)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkspaceError, match="no git") as missing:
        snapshots.take()
    assert "Install git" in missing.value.hint


def test_a_store_that_was_hit_works_again(tree: Path, tmp_path: Path, snapshots: Snapshots) -> None:
    first = snapshots.take()
    store = tmp_path / "store"
    (store / "index.lock").write_bytes(b"half")
    (tree / "f.txt").write_text("changed\n")
    (tree / ".letta-restore-0123456789abcdef.tmp").write_text("half")
    second = snapshots.take()
    assert second.files == first.files
    assert not (tree / ".letta-restore-0123456789abcdef.tmp").exists()
    for hit in (b"", b"DIRC\0\0\0\2garbage that is no index"):
        (store / "index").write_bytes(hit)
        (store / "remembered").write_bytes(hit)
        assert snapshots.take().tree == second.tree


def test_two_at_once_wait_for_each_other(tree: Path, tmp_path: Path, snapshots: Snapshots) -> None:
    trees: list[str] = []
    other = Snapshots(tmp_path / "store", tree)
    workers = [threading.Thread(target=lambda one=one: trees.append(one.take().tree)) for one in (snapshots, other) * 3]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(trees) == 6
    assert len(set(trees)) == 1
    assert FileLock(tmp_path / "store/lock").try_lock()


def test_what_our_git_started_holds_the_lock_after_us(tree: Path, tmp_path: Path) -> None:
    """A killed process leaves its git behind for a moment: nobody else may write the index until that has ended."""
    lock = FileLock(tmp_path / "lock")
    lock.acquire()
    with subprocess.Popen(["sleep", "60"], pass_fds=[lock.fileno()]) as child:
        os.close(lock.fileno())  # as a kill does
        assert not FileLock(tmp_path / "lock").try_lock()
        child.kill()
    FileLock(tmp_path / "lock").acquire(5)


NAMES = st.sampled_from([b"a", b"b", b"c d", b"-x", b"n\nl", b"\xe9", b".hid", b"L.tmp"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
THINGS = st.one_of(
    st.tuples(st.just("file"), st.sampled_from([0o644, 0o755]), st.binary(max_size=40)),
    st.tuples(st.just("link"), st.just(0), st.sampled_from([b"a", b"../..", b"none", b"/"])),
)
TREES = st.dictionaries(PATHS, THINGS, max_size=8)


def _make(root: bytes, wanted: dict[bytes, tuple[str, int, bytes]]) -> None:
    """Make the tree what is wanted, as far as one path does not stand in another's way."""
    for name in os.listdir(root):
        path = os.path.join(root, name)
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    for path, (kind, mode, content) in wanted.items():
        full = os.path.join(root, path)
        parts = path.split(b"/")
        above = [os.path.join(root, *parts[:count]) for count in range(1, len(parts))]
        if os.path.lexists(full) or any(
            os.path.lexists(p) and (os.path.islink(p) or not os.path.isdir(p)) for p in above
        ):
            continue
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if kind == "link":
            os.symlink(content, full)
        else:
            Path(os.fsdecode(full)).write_bytes(content)
            os.chmod(full, mode)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=st.lists(TREES, min_size=2, max_size=3))
def test_any_tree_comes_back(tmp_path_factory: pytest.TempPathFactory, states: list[Seen]) -> None:
    scene = tmp_path_factory.mktemp("any")
    root = scene / "root"
    root.mkdir()
    snapshots = Snapshots(scene / "store", root)
    known: list[tuple[str, Seen]] = []
    for state in states:
        _make(os.fsencode(root), state)
        known.append((snapshots.take().tree, seen(root)))
    for tree, before in reversed(known):
        back = snapshots.restore(tree, now=snapshots.take().tree)
        assert back.failed == ()
        assert seen(root) == before
        assert snapshots.take().tree == tree
