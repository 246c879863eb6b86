"""Row D04: the repository's own hooks run only after a yes to them as they are, and then inside the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from letta_code.core.requests import Approve, Deny
from tests.adversarial.stage import Stage
from tests.sandboxes import lacking

COMMIT = ("Bash", {"command": "git commit -q --allow-empty -m x"})


def plant(stage: Stage, mark: str, folder: str = ".git/hooks") -> Path:
    """A hook that leaves one file in the work tree, and tries to leave one in the person's home."""
    path = stage.ws / folder / "pre-commit"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n: > '{stage.ws}/{mark}'\n: > '{stage.home}/{mark}'\nexit 0\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def confined(monkeypatch: pytest.MonkeyPatch) -> None:
    if why := lacking("bubblewrap"):
        pytest.skip(why)
    monkeypatch.setenv("LETTA_SANDBOX", "bubblewrap")


@pytest.mark.row("D04", sandbox="bubblewrap")
@pytest.mark.parametrize("folder", [".git/hooks", ".husky"])
async def test_a_first_yes_runs_the_hooks_in_the_sandbox_and_is_asked_for_again_when_they_change(
    stage: Stage, confined: None, folder: str
) -> None:
    hook = plant(stage, "ran", folder)
    if folder == ".husky":
        stage.git("config", "core.hooksPath", folder)
    session = await stage.open()
    try:
        declined = await stage.run(session, COMMIT, answer=Deny())
        assert (declined.verdict, (stage.ws / "ran").exists()) == ("ask", False)
        assert "own hooks" in declined.asked[0].reason
        assert "pre-commit" in declined.asked[0].reason
        agreed = await stage.run(session, COMMIT, answer=Approve())
        assert (agreed.verdict, agreed.results[-1].status) == ("ask", "ok")
        assert (stage.ws / "ran").exists()
        assert not (stage.home / "ran").exists(), "the hook left the sandbox"
        known = await stage.run(session, COMMIT)
        assert (known.verdict, known.results[-1].status) == ("allow", "ok")
        hook.write_text(hook.read_text().replace("ran", "again"))
        changed = await stage.run(session, COMMIT, answer=Deny())
        assert (changed.verdict, (stage.ws / "again").exists()) == ("ask", False)
    finally:
        await session.close()
    later = await stage.play(COMMIT, answer=Deny())
    assert later.verdict == "ask", "what was declined is not known in the next session"
    assert stage.untouched


@pytest.mark.row("D04", "D08")
async def test_the_git_tool_runs_no_hook_and_signs_nothing(stage: Stage, sandbox: str) -> None:
    plant(stage, "ran")
    signer = stage.top / "gpg"
    signer.write_text(f"#!/bin/sh\n: > '{stage.ws}/ran'\nexit 1\n")
    signer.chmod(0o755)
    for key, value in {"commit.gpgSign": "true", "gpg.program": str(signer)}.items():
        stage.git("config", key, value)
    (stage.ws / "f").write_text("y\n")
    commit = ("Git", {"subcommand": "commit", "args": ["-a"], "message": "x"})
    played = await stage.play(commit, answer=Approve())
    assert played.results[-1].status == "ok"
    assert "hooks were not run: pre-commit" in played.text
    assert not (stage.ws / "ran").exists()


@pytest.mark.row("D04", sandbox="bubblewrap")
async def test_what_stubs_of_husky_call_is_neither_brought_nor_written_unasked(stage: Stage, confined: None) -> None:
    """A branch that brings a hook does not run it, and no other command writes one between the look and the run."""
    husky = stage.ws / ".husky"
    (husky / "_").mkdir(parents=True)
    for name in ("pre-commit", "post-checkout"):
        stub = husky / "_" / name
        stub.write_text('#!/bin/sh\n[ ! -f ".husky/${0##*/}" ] || sh ".husky/${0##*/}"\n')
        stub.chmod(0o755)
    (husky / "pre-commit").write_text("true\n")
    (stage.ws / ".gitignore").write_text(".husky/_\n")
    stage.git("add", "-A")
    stage.git("commit", "-q", "-m", "husky")
    stage.git("switch", "-q", "-c", "feature")
    (husky / "post-checkout").write_text(": > ran\n")
    stage.git("add", "-A")
    stage.git("commit", "-q", "-m", "more")
    stage.git("switch", "-q", "-")
    stage.git("config", "core.hooksPath", ".husky/_")
    session = await stage.open()
    try:
        assert (await stage.run(session, COMMIT, answer=Approve())).verdict == "ask"
        written = await stage.run(session, ("Bash", {"command": "sh -c 'echo : \\> ran > .husky/pre-commit'"}))
        assert "Read-only" in written.text and (husky / "pre-commit").read_text() == "true\n"
        switched = await stage.run(session, ("Bash", {"command": "git switch -q feature"}))
        assert (switched.verdict, switched.results[-1].status) == ("allow", "ok")
        assert "own hooks are not run (post-checkout: they lie in the work tree" in switched.text
        assert (husky / "post-checkout").exists() and not (stage.ws / "ran").exists()
        assert (await stage.run(session, COMMIT, answer=Deny())).verdict == "ask", "it is another hook now"
    finally:
        await session.close()
