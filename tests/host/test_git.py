"""Git for our own reads: right answers, nothing of the repository is run, nobody is in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from letta_code.host.git import Drivers, GitReader, hardened, parse_drivers
from tests.host.hostile import Hostile, git, repository


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository(tmp_path / "repo")


def test_status_counts_what_is_there(repo: Path) -> None:
    (repo / "staged.txt").write_text("x")
    git(repo, "add", "staged.txt")
    (repo / "f.txt").write_text("changed\n")
    (repo / "new.txt").write_text("x")
    status = GitReader(str(repo)).status()
    assert status is not None
    assert (status.branch, status.staged, status.modified, status.untracked, status.dirty) == ("main", 1, 1, 1, 3)
    assert status.commit == git(repo, "rev-parse", "HEAD").strip()


def test_status_of_a_fresh_and_of_a_detached_repository(tmp_path: Path, repo: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk", "fresh")
    fresh = GitReader(str(tmp_path / "fresh")).status()
    assert fresh is not None
    assert (fresh.branch, fresh.commit, fresh.dirty) == ("trunk", "", 0)
    git(repo, "checkout", "-q", "--detach")
    detached = GitReader(str(repo)).status()
    assert detached is not None
    assert detached.branch == ""
    assert len(detached.commit) == 40


def test_ahead_behind_renames_and_conflicts(tmp_path: Path, repo: Path) -> None:
    git(tmp_path, "clone", "-q", str(repo), "clone")
    clone = tmp_path / "clone"
    (clone / "f.txt").write_text("theirs\n")
    git(clone, "commit", "-qam", "ahead")
    git(clone, "mv", "f.txt", "moved name.txt")
    status = GitReader(str(clone)).status()
    assert status is not None
    assert (status.ahead, status.behind, status.staged) == (1, 0, 1)
    git(repo, "checkout", "-qb", "other")
    (repo / "f.txt").write_text("a\n")
    git(repo, "commit", "-qam", "a")
    git(repo, "checkout", "-q", "main")
    (repo / "f.txt").write_text("b\n")
    git(repo, "commit", "-qam", "b")
    with pytest.raises(Exception, match="merge"):
        git(repo, "merge", "other")
    conflicted = GitReader(str(repo)).status()
    assert conflicted is not None
    assert conflicted.conflicts == 1


def test_outside_a_repository_and_without_git(tmp_path: Path) -> None:
    assert GitReader(str(tmp_path)).status() is None
    assert GitReader(str(tmp_path / "missing")).status() is None
    assert GitReader(str(tmp_path), {"PATH": str(tmp_path)}).status() is None


def read_all(root: Path) -> None:
    assert GitReader(str(root)).status() is not None


def test_the_traps_work(tmp_path: Path) -> None:
    """Plain git does run them: else the tests below would show nothing."""
    hostile = Hostile(tmp_path).everything().filters()
    git(hostile.root, "status")
    git(hostile.root, "diff")
    assert {"fsmonitor.ran", "hook-post-index-change.ran", "external.ran", "clean.ran"} & set(hostile.sprung)
    assert len(hostile.sprung) >= 3


def test_reads_run_nothing_of_a_hostile_repository(tmp_path: Path) -> None:
    hostile = Hostile(tmp_path).everything().filters().merges()
    read_all(hostile.root)
    status = GitReader(str(hostile.root)).status()
    assert status is not None
    assert set(status.filters) == {"evil", "long"}, "the person is told which filters were not run"
    assert hostile.sprung == []


def test_a_filter_that_no_switch_can_name_stops_the_read(tmp_path: Path) -> None:
    hostile = Hostile(tmp_path)
    with (hostile.root / ".git/config").open("a") as file:
        file.write(f'[filter "a=b"]\n\tclean = {hostile.script("odd")}\n')
    hostile.attributes("*.txt filter=a=b\n")
    os.utime(hostile.root / "f.txt", (1, 1))
    assert GitReader(str(hostile.root)).status() is None
    assert hostile.sprung == []


def test_an_included_file_hides_no_filter(tmp_path: Path) -> None:
    hostile = Hostile(tmp_path)
    (hostile.root / "more.config").write_text(f'[filter "inc"]\n\tclean = {hostile.script("included")}\n')
    git(hostile.root, "config", "include.path", "../more.config")
    hostile.attributes("*.txt filter=inc\n")
    read_all(hostile.root)
    assert hostile.sprung == []


def test_a_submodule_with_traps_is_not_entered(tmp_path: Path) -> None:
    hostile = Hostile(tmp_path / "inner").everything().filters()
    outer = repository(tmp_path / "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(hostile.root), "sub")
    inner = outer / "sub"
    (inner / ".gitattributes").write_text("*.txt filter=evil diff=evil\n")
    for key in ("core.fsmonitor", "filter.evil.clean", "diff.external"):
        git(inner, "config", key, hostile.script(key.replace(".", "-")))
    git(outer, "config", "submodule.sub.ignore", "none")
    git(outer, "config", "diff.submodule", "diff")
    (inner / "f.txt").write_text("eno\n")  # of the same size: git must look into it, through the filter
    before = hostile.sprung
    read_all(outer)
    assert hostile.sprung == before


def test_a_planted_bare_repository_is_none(tmp_path: Path) -> None:
    hostile = Hostile(tmp_path)
    planted = tmp_path / "project" / "docs"
    planted.mkdir(parents=True)
    git(planted, "init", "-q", "--bare", ".")
    git(planted, "config", "core.fsmonitor", hostile.script("bare"))
    git(planted, "config", "core.worktree", ".")
    git(planted, "config", "core.bare", "false")
    assert GitReader(str(planted)).status() is None
    assert hostile.sprung == []


def test_a_work_tree_elsewhere_is_not_read(tmp_path: Path, repo: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "f.txt").write_text("private\n")
    git(repo, "config", "core.worktree", str(elsewhere))
    assert GitReader(str(repo)).status() is None


@pytest.mark.row("D10")
def test_reads_take_no_lock(repo: Path) -> None:
    os.utime(repo / "f.txt", (1, 1))  # status would want to refresh the index
    before = (repo / ".git/index").stat().st_mtime_ns
    (repo / ".git/index.lock").write_text("")  # somebody is adding
    assert GitReader(str(repo)).status() is not None
    assert (repo / ".git/index").stat().st_mtime_ns == before


def test_the_environment_of_a_hook_does_not_mislead(tmp_path: Path, repo: Path) -> None:
    other = repository(tmp_path / "other")
    git(other, "checkout", "-qb", "elsewhere")
    environment = {**os.environ, "GIT_DIR": str(other / ".git"), "GIT_INDEX_FILE": "/nowhere"}
    status = GitReader(str(repo), environment).status()
    assert status is not None
    assert status.branch == "main"


def test_drivers_are_of_the_repository_only() -> None:
    listed = (
        "global\0filter.lfs.clean\ngit-lfs clean\0"
        "local\0filter.Evil Name.smudge\nx\0worktree\0filter.two.process\ny\0"
        "local\0merge.m.driver\nz\0local\0core.hookspath\n.husky\0command\0core.hookspath\n/dev/null\0"
    )
    assert parse_drivers(listed.encode()) == Drivers(
        known=True, filters=("Evil Name", "two"), merges=("m",), hooks_path=".husky", hooks_own=True
    )
    assert not parse_drivers(b"").known


def test_the_prefix_comes_before_the_subcommand() -> None:
    argv = hardened("status", "-s", without=["filter.x.clean="])
    assert argv[0] == "git"
    assert argv[-2:] == ["status", "-s"]
    assert argv[argv.index("filter.x.clean=") - 1] == "-c"
