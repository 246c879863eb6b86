"""What the model is told of the world."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from letta_code.agent import facts
from letta_code.agent.facts import INSTRUCTION_LIMIT, Terms, gather, git_branch, project_root


def told(cwd: Path, home: Path, kind: str) -> str:
    terms = Terms(trusted=True)
    found = [f.text for f in gather(str(cwd), project_root(str(cwd)), str(home), terms) if f.kind == kind]
    return found[0] if found else ""


def test_instructions_come_from_home_then_from_the_top_of_the_project_down(tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "project"
    inner = project / "src" / "deep"
    for folder in (home, inner, project / ".git"):
        folder.mkdir(parents=True)
    (home / "AGENTS.md").write_text("I like tabs.")
    (project / "AGENTS.md").write_text("Run make test.")
    (project / "src" / "CLAUDE.md").write_text("No new dependencies.")
    (inner / "AGENTS.md").write_text("Deep rules.")
    text = told(inner, home, "instructions")
    places = [text.index(words) for words in ("I like tabs", "Run make test", "No new dependencies", "Deep rules")]
    assert places == sorted(places)
    assert str(project / "AGENTS.md") in text


def test_a_copy_or_link_of_the_same_text_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "AGENTS.md").write_text("Only once.")
    (tmp_path / "CLAUDE.md").symlink_to("AGENTS.md")
    assert told(tmp_path, tmp_path / "none", "instructions").count("Only once.") == 1


def test_nothing_above_a_folder_without_a_repository_is_read(tmp_path: Path) -> None:
    (tmp_path / "AGENTS.md").write_text("Not mine.")
    (tmp_path / "sub").mkdir()
    assert told(tmp_path / "sub", tmp_path / "none", "instructions") == ""


def test_too_long_instructions_are_cut_and_say_so(tmp_path: Path) -> None:
    (tmp_path / "AGENTS.md").write_text("x" * (INSTRUCTION_LIMIT + 500))
    text = told(tmp_path, tmp_path / "none", "instructions")
    assert "cut here: 500 characters more" in text
    assert len(text) < INSTRUCTION_LIMIT + 1000


@pytest.mark.parametrize("make", ["fifo", "folder", "binary", "unreadable"])
def test_odd_instruction_files_never_stop_or_hang(tmp_path: Path, make: str) -> None:
    path = tmp_path / "AGENTS.md"
    if make == "fifo":
        os.mkfifo(path)
    elif make == "folder":
        path.mkdir()
    elif make == "binary":
        path.write_bytes(b"\xff\xfe\x00 rules")
    else:
        path.write_text("x")
        path.chmod(0)
    assert told(tmp_path, tmp_path / "none", "environment").startswith(f"Working directory: {tmp_path}.")


def test_the_environment_is_one_line_and_says_what_is_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "jq"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    text = told(tmp_path, tmp_path / "none", "environment")
    assert "\n" not in text
    assert text.endswith("On PATH: jq.")


def test_the_branch_is_read_without_starting_git(tmp_path: Path) -> None:
    assert git_branch(str(tmp_path)) == ""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/feature/x\n")
    assert git_branch(str(tmp_path)) == "branch feature/x"
    (tmp_path / ".git" / "HEAD").write_text("0123456789abcdef0123456789abcdef01234567\n")
    assert git_branch(str(tmp_path)) == "detached at 0123456"


def test_a_worktree_finds_its_head(tmp_path: Path) -> None:
    real = tmp_path / "repo" / ".git" / "worktrees" / "w"
    real.mkdir(parents=True)
    (real / "HEAD").write_text("ref: refs/heads/w\n")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {real}\n")
    assert git_branch(str(tree)) == "branch w"
    assert project_root(str(tree)) == str(tree)


def test_keys_change_only_with_what_they_describe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def keys() -> dict[str, str]:
        return {
            f.kind: f.key for f in gather(str(tmp_path), str(tmp_path), str(tmp_path / "none"), Terms(trusted=True))
        }

    before = keys()
    assert keys() == before
    (tmp_path / "AGENTS.md").write_text("New rules.")
    changed = {kind for kind, key in keys().items() if before.get(kind) != key}
    assert changed == {"instructions"}
    monkeypatch.setattr(facts.time, "strftime", lambda _: "2030-01-01 (Tuesday)")
    assert keys()["environment"] != before["environment"]


def test_the_top_of_the_folder_is_told_once_and_cut(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "my notes.md").write_text("")
    assert told(tmp_path, tmp_path / "none", "folder") == "It holds: 'my notes.md' src/."
    for n in range(60):
        (tmp_path / f"f{n:02}").write_text("")
    assert "and 22 more." in told(tmp_path, tmp_path / "none", "folder")


def test_a_run_without_a_person_says_so_and_names_what_is_allowed(tmp_path: Path) -> None:
    def mode(terms: Terms) -> str:
        found = gather(str(tmp_path), str(tmp_path), str(tmp_path / "none"), terms)
        return next(f.text for f in found if f.kind == "mode")

    assert mode(Terms(mode="ask")).startswith("Mode: ask. In a sandbox edits and commands")
    assert "which run in a sandbox, just run" in mode(Terms(mode="ask", confined=True))
    assert "no full sandbox here: every edit and command is asked about" in mode(Terms(mode="ask", confined=False))
    assert mode(Terms(mode="plan", confined=False)).startswith("Mode: plan.")
    alone = mode(Terms(mode="auto", interactive=False, allow=("Bash(npm test)",)))
    assert "Nobody can answer" in alone
    assert "Allowed without asking: Bash(npm test)." in alone
    assert "Nobody" in mode(Terms(mode="full", interactive=False))
