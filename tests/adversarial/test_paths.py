"""Rows C: where a path may lead a file tool or a command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from letta_code.core.requests import Approve
from tests.adversarial.stage import Played, Stage


def refused_or_asked(played: Played) -> bool:
    """Whether the call did not simply happen: asked and declined, denied, or an error that says why."""
    return played.verdict != "allow" or played.results[-1].status == "error"


@pytest.mark.row("C01", "C02")
@pytest.mark.parametrize(
    "path", ["../outside/secret", "{ws}/../outside/secret", "%2e%2e/outside/secret", "{ws}-evil/f", "/etc/shadow"]
)
async def test_a_read_outside_the_tree_is_asked_about(stage: Stage, sandbox: str, path: str) -> None:
    evil = Path(f"{stage.ws}-evil")
    evil.mkdir()
    (evil / "f").write_text("not yours\n")
    played = await stage.play(("Read", {"path": path.format(ws=stage.ws)}))
    assert refused_or_asked(played)
    assert "not yours" not in played.text
    assert "root:" not in played.text


@pytest.mark.row("C02")
@pytest.mark.parametrize("tool", ["Grep", "Glob", "List"])
async def test_a_search_outside_the_tree_is_asked_about(stage: Stage, tool: str) -> None:
    arguments = {"Grep": {"pattern": "yours"}, "Glob": {"pattern": "*"}, "List": {}}[tool]
    played = await stage.play((tool, {**arguments, "path": str(stage.outside)}))
    assert refused_or_asked(played)
    assert "secret" not in played.text.replace(str(stage.outside), "")


@pytest.mark.row("C03")
async def test_a_link_to_the_root_is_resolved_before_it_is_judged(stage: Stage, sandbox: str) -> None:
    (stage.ws / "l").symlink_to("/")
    (stage.ws / "h").symlink_to(stage.home)
    below = str(stage.outside / "secret").lstrip("/")
    for call in (
        ("Write", {"path": f"l/{below}2", "content": "x"}),
        ("Edit", {"path": f"l/{below}", "old_string": "not", "new_string": "all"}),
        ("Write", {"path": "h/pwned", "content": "x"}),
    ):
        played = await stage.play(call)
        assert refused_or_asked(played)
    assert stage.untouched
    assert not (stage.outside / "secret2").exists()


@pytest.mark.row("C05")
async def test_a_denied_file_is_denied_by_every_name(stage: Stage, sandbox: str) -> None:
    (stage.ws / "notes.md").symlink_to(".env")
    os.symlink(".", stage.ws / "dot")
    for path in ("notes.md", ".env", "./sub/../.env", "dot/.env", str(stage.ws / ".env")):
        played = await stage.play(("Read", {"path": path}))
        assert played.verdict == "deny", path
        assert "value" not in played.text
    for command in ("cat .env", "cat ./sub/../.env", "cat dot/.env"):
        played = await stage.bash(command)
        assert played.verdict in ("deny", "ask"), command
        assert "KEY=value" not in played.text


@pytest.mark.row("C06")
async def test_a_hard_link_to_a_secret_shows_no_secret(stage: Stage) -> None:
    """Another name of the same file is not known to a rule: what is in it is replaced all the same."""
    key = "AKIA" + "IOSFODNN7EXAMPL3"
    (stage.ws / ".env").write_text(f"AWS_ACCESS_KEY_ID={key}\nPORT=1\n")
    os.link(stage.ws / ".env", stage.ws / "notes.md")
    played = await stage.play(("Read", {"path": "notes.md"}), answer=Approve())
    assert "PORT=1" in played.text
    assert key not in played.text
    assert key not in str([request.json for request in stage.server.requests])


@pytest.mark.row("C07")
async def test_other_spellings_name_other_files_here(stage: Stage) -> None:
    """Where a file system folds case the deny rule folds, too (tests/safety/test_policy.py); here nothing is there."""
    for path in (".ENV", ".env.", ".env::$DATA"):
        played = await stage.play(("Read", {"path": path}))
        assert refused_or_asked(played)
        assert "value" not in played.text


@pytest.mark.row("C08")
async def test_what_is_no_regular_file_is_refused_at_once(stage: Stage, sandbox: str) -> None:
    os.mkfifo(stage.ws / "fifo")
    calls = [
        ("Read", {"path": path})
        for path in ("/proc/self/environ", "/proc/1/root", "/dev/fd/3", "/dev/stdin", "/dev/zero", "fifo")
    ]
    for call in calls:
        played = await stage.play(call, answer=Approve())
        assert played.results[-1].status in ("denied", "error"), call
    for name in ("fifo",):
        played = await stage.play(("Write", {"path": name, "content": "x"}), answer=Approve())
        assert played.results[-1].status in ("denied", "error")


@pytest.mark.row("C09")
@pytest.mark.parametrize("path", [".letta/config.yaml", ".git/config", ".mcp.json", ".envrc"])
async def test_what_decides_what_runs_is_asked_about_and_held(stage: Stage, sandbox: str, path: str) -> None:
    before = (stage.ws / path).read_bytes() if (stage.ws / path).exists() else None
    played = await stage.play(("Write", {"path": path, "content": "mode: full\n"}))
    assert refused_or_asked(played)
    # By a script, so that only the sandbox can know; without one the command itself is asked about.
    (stage.ws / "job.sh").write_text(f"mkdir -p $(dirname {path}); echo 'mode: full' > {path}\n")
    played = await stage.bash("bash job.sh", yes=sandbox != "off")
    after = (stage.ws / path).read_bytes() if (stage.ws / path).exists() else None
    if sandbox == "off":
        assert played.verdict == "ask"
    assert after == before
    assert {p.name for p in stage.ws.iterdir()} <= {"x", "f", ".env", "sub", ".git", "job.sh"}  # no stub stays


@pytest.mark.row("C09")
async def test_agents_md_stays_writable_and_is_shown(stage: Stage, sandbox: str) -> None:
    """The issue: AGENTS.md and the like stay writable, shown in the diff."""
    played = await stage.play(("Write", {"path": "AGENTS.md", "content": "Use tabs.\n"}), answer=Approve())
    assert (stage.ws / "AGENTS.md").read_text() == "Use tabs.\n"
    assert any("AGENTS.md" in str(block) for block in played.results[-1].blocks)


@pytest.mark.row("C10", "C11")
@pytest.mark.parametrize(
    "script",
    [
        "mv .git .g2 && mkdir -p .git/hooks && echo x > .git/hooks/pre-commit",
        "echo x > .git/hooks/pre-commit",
        "rm -rf .git/hooks; ln -s /tmp .git/hooks",
        "mkdir -p sub/.git/hooks && echo '#!/bin/sh' > sub/.git/hooks/pre-commit && chmod +x sub/.git/hooks/pre-commit",
    ],
)
async def test_no_hook_gets_into_the_repository(stage: Stage, sandbox: str, script: str) -> None:
    hooks = {path.name for path in (stage.ws / ".git/hooks").iterdir()}
    (stage.ws / "job.sh").write_text(script + "\n")
    played = await stage.bash("bash job.sh", yes=sandbox != "off")
    if sandbox != "bubblewrap":
        assert played.verdict == "ask"
    assert {path.name for path in (stage.ws / ".git/hooks").iterdir()} == hooks
    assert not (stage.ws / ".git/hooks").is_symlink()
    nested = stage.ws / "sub/.git/hooks/pre-commit"
    if sandbox == "bubblewrap":  # told and switched off; Landlock cannot hold it, a person said yes to the command
        assert not nested.exists() or ("sub/.git" in played.text and not nested.stat().st_mode & 0o111)


@pytest.mark.row("C10")
@pytest.mark.parametrize("planted", ["link", "dangling"])
async def test_a_protected_path_that_is_a_link_does_not_break_the_start(
    stage: Stage, sandbox: str, planted: str
) -> None:
    (stage.top / "elsewhere").mkdir()
    (stage.ws / ".letta").symlink_to(stage.top / ("elsewhere" if planted == "link" else "nowhere"))
    played = await stage.bash("echo fine", yes=True)
    assert "fine" in played.text


@pytest.mark.row("C12")
async def test_a_patch_does_not_climb(stage: Stage) -> None:
    from letta_code.core.errors import ToolError
    from letta_code.tools.base import load_tools
    from letta_code.workspace.local import LocalWorkspace

    workspace = LocalWorkspace(str(stage.ws))
    tool = load_tools()["ApplyPatch"]
    for patch in (
        "*** Begin Patch\n*** Add File: ../../pwned\n+x\n*** End Patch",
        "*** Begin Patch\n*** Update File: f\n@@\n-x\n+y\n*** Update File: ./f\n@@\n-x\n+z\n*** End Patch",
    ):
        args = tool.parse('{"patch": ' + __import__("json").dumps(patch) + "}")
        try:
            wanted = await tool.operations(args, workspace, {})
        except ToolError:
            continue
        assert any(not getattr(one.operation, "inside", True) for one in wanted), patch
    await workspace.close()


@pytest.mark.row("C14")
async def test_windows_paths_are_names_here(stage: Stage) -> None:
    for path in ("\\\\server\\share\\f", "\\\\?\\C:\\x", "\\??\\C:\\x"):
        played = await stage.play(("Read", {"path": path}))
        assert refused_or_asked(played)


@pytest.mark.row("C15")
async def test_strange_names_are_shown_escaped_and_come_back(stage: Stage) -> None:
    names = ["new\nline", "esc\x1b[2Jape", "n" * 255, os.fsdecode(b"bad\xff")]
    for name in names:
        (stage.ws / "sub" / name).write_text("content\n")
    played = await stage.play(("List", {"path": "sub"}))
    assert "\x1b" not in played.text
    for line in [line for line in played.text.splitlines() if line.startswith(("new", "esc", "nnn", "bad"))]:
        again = await stage.play(("Read", {"path": f"sub/{line.split('  ')[0].strip()}"}))
        assert "content" in again.text, line


@pytest.mark.row("C16")
async def test_a_deny_path_with_a_slash_at_its_end_denies(stage: Stage, sandbox: str) -> None:
    stage._deny = ("Read(~/.aws/)",)
    (stage.home / ".aws").mkdir()
    (stage.home / ".aws" / "credentials").write_text("value\n")
    played = await stage.play(("Read", {"path": "~/.aws/credentials"}), answer=Approve())
    assert played.verdict == "deny"
    assert "value" not in played.text


@pytest.mark.row("D09")
async def test_the_repository_behind_a_git_file_is_protected_as_well(stage: Stage, sandbox: str) -> None:
    """`.git` names a folder of another name: neither that folder's hooks and settings nor the file are changed."""
    stage.git("init", "-q", "--separate-git-dir", str(stage.ws / "kept"))
    places = [stage.ws / ".git", stage.ws / "kept/config", stage.ws / "kept/HEAD"]
    before = [place.read_bytes() for place in places]
    hooks = {path.name for path in (stage.ws / "kept/hooks").iterdir()}
    (stage.ws / "job.sh").write_text(
        "echo x > kept/hooks/pre-commit; echo x >> kept/config; mv kept k2; rm -rf kept/hooks; "
        "echo 'gitdir: /tmp/x' > .git; rm -f .git\n"
    )
    played = await stage.bash("bash job.sh", yes=sandbox != "off")
    assert sandbox == "bubblewrap" or played.verdict == "ask"
    assert [place.read_bytes() for place in places] == before
    assert {path.name for path in (stage.ws / "kept/hooks").iterdir()} == hooks
