"""`letta-code doctor` where memory is lost or damaged: it is told, and the command named brings history back."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_doctor import looked, mend, wrong
from tests.fakes.lived_in import letta, lived_in


def _memory(home: Path) -> Path:
    return next((home / "agents").iterdir()) / "memory"


def _history(home: Path) -> str:
    return subprocess.run(
        ["git", "-C", str(_memory(home)), "log", "--format=%H %s"], check=True, capture_output=True, text=True
    ).stdout


def _agents(home: Path) -> None:
    shutil.rmtree(home / "agents")


def _whole(home: Path) -> None:
    shutil.rmtree(_memory(home))


def _git(home: Path) -> None:
    shutil.rmtree(_memory(home) / ".git")


def _branch(home: Path) -> None:
    (_memory(home) / ".git" / "HEAD").unlink()
    shutil.rmtree(_memory(home) / ".git" / "refs")


def _object(home: Path) -> None:
    commit = _history(home).split()[0]
    path = _memory(home) / ".git" / "objects" / commit[:2] / commit[2:]
    path.chmod(0o600)
    path.write_bytes(b"nonsense")


def _pinned(home: Path) -> None:
    """A conversation is shown this memory, so that the database knows of it."""
    (home.parent / "script.yaml").write_text("turns:\n  - text: hi\n")
    done = letta(home, "-p", "hello", "--model", "scripted:script.yaml")
    assert done.returncode == 0, done.stderr


LOSSES: dict[str, tuple[Callable[[Path], None], str]] = {
    "all agents": (_agents, "is gone"),
    "a memory": (_whole, "is gone"),
    "an object": (_object, "is damaged"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_backup_that_has_it_is_named_and_brings_it_back(tmp_path: Path, name: str) -> None:
    home = lived_in(tmp_path / "home")
    _pinned(home)
    assert letta(home, "backup").returncode == 0
    before, (loss, says) = _history(home), LOSSES[name]
    assert wrong(looked(home, "memory")[1]) == []
    loss(home)
    assert letta(home, "backup").returncode == 0  # a newer one that has the damage as well is not the one to take
    code, found = looked(home, "memory")
    named = [one for one in found if one["state"] == "wrong"]
    assert code == 1 and len(named) == 1 and says in named[0]["says"], found
    assert "letta-code restore" in named[0]["mend"] and "letta-code-" in named[0]["mend"]
    mend(home, named[0]["mend"])
    assert wrong(looked(home, "memory")[1]) == []
    assert _history(home) == before


@pytest.mark.parametrize("name", LOSSES)
def test_without_a_backup_it_is_wrong_all_the_same(tmp_path: Path, name: str) -> None:
    home = lived_in(tmp_path / "home")
    _pinned(home)
    loss, says = LOSSES[name]
    loss(home)
    code, found = looked(home, "memory")
    [named] = [one for one in found if one["state"] == "wrong"]
    assert code == 1 and says in named["says"]
    assert "No backup in" in named["means"]
    assert named["mend"].startswith("mv " if name == "an object" else "letta-code restore FILE")


def test_a_branch_that_was_lost_is_put_back_with_all_its_history(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    before = _history(home)
    _branch(home)
    code, found = looked(home, "memory")
    [named] = [one for one in found if one["state"] == "wrong"]
    assert code == 1 and named["mend"] == "letta-code doctor --fix"
    done = letta(home, "doctor", "memory", "--fix")
    assert "--fix: 1 mend." in done.stdout and "its branch back" in done.stdout, done.stdout
    assert done.returncode == 0 and _history(home) == before
    assert letta(home, "memory", "append", "human", "x", "--cwd", str(tmp_path)).returncode == 0
    assert _history(home).endswith(before)


def test_history_that_began_anew_is_told_afterwards(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    _object(home)
    [named] = [one for one in looked(home, "memory")[1] if one["state"] == "wrong"]
    assert named["mend"].startswith("mv ") and "begins history anew" in named["means"]
    mend(home, named["mend"])
    letta(home, "memory", "append", "notes/after", "x", "--cwd", str(tmp_path))
    code, found = looked(home, "memory")
    [told] = wrong(found)
    assert code == 0 and "damaged-git" in told["says"] and "No backup in" in told["means"]


def test_a_new_agent_that_wrote_nothing_is_no_loss(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert letta(home, "agents", "create", "ada").returncode == 0
    code, found = looked(home, "memory")
    assert code == 0 and wrong(found) == []
