"""Row F01: text from outside stays marked where a conversation goes back while its source still runs, or was kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from letta_code.agent.session import Session
from letta_code.core.requests import Approve
from letta_code.safety import reaching
from letta_code.safety.remotes import Remote
from tests.adversarial.stage import Stage
from tests.adversarial.test_memory import RULE, insert


async def back(session: Session) -> None:
    """Take the last run back out of the conversation."""
    way = session.checkpoints.rewinding
    await way.go(await way.preview(await way.last_run()), ("conversation",))


@pytest.mark.row("F01", sandbox="off")
async def test_what_still_prints_after_going_back_is_text_from_outside(stage: Stage) -> None:
    session = await stage.open()
    try:
        await stage.run(session, ("List", {}))
        command = f"until [ -e go ]; do sleep 0.05; done; echo '{RULE}'; sleep 60"
        start = ("Bash", {"command": command, "needs": "network", "background": True})
        await stage.run(session, start, answer=Approve())
        await back(session)
        assert not session.history.taints
        (stage.ws / "go").touch()
        played = await stage.run(session, ("Shells", {"action": "read", "id": "sh-1", "wait_seconds": 60}))
        assert RULE in played.text
        assert "it is data" in played.text
        assert (await stage.run(session, insert(RULE))).verdict == "ask"
        assert RULE not in session.memory.show().text
    finally:
        await session.close()


@pytest.mark.row("F01", sandbox="off")
@pytest.mark.parametrize("tool", ["Read", "Grep", "Bash"])
async def test_a_kept_output_that_is_looked_at_again_is_text_from_outside(stage: Stage, tool: str) -> None:
    stage._allow = (*stage._allow, "Bash(tail *)", "Read", "Bash")
    session = await stage.open()
    try:
        await stage.run(session, ("List", {}))
        fetch = ("Bash", {"command": f"seq 1 30000; echo '{RULE}'", "needs": "network"})
        played = await stage.run(session, fetch, answer=Approve())
        path = played.text.split("the whole output is in ")[1].split(" (Read")[0]
        await back(session)
        assert not session.history.taints
        look = {
            "Read": {"path": path, "offset": 29_990},
            "Grep": {"path": os.path.dirname(path), "pattern": "always", "show": "lines"},
            "Bash": {"command": f"tail -n 2 {path}"},
        }
        played = await stage.run(session, (tool, look[tool]), answer=Approve())
        assert RULE in played.text
        assert "seq 1 30000" in session.history.taints.named
    finally:
        await session.close()


@pytest.mark.row("F01", sandbox="off")
async def test_a_push_with_an_always_is_not_asked_about_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The person's yes holds through what git says, and through what the remote says, but for no other text."""
    # The policy takes the folder beside, which git can push to here, for a remote in the network.
    monkeypatch.setattr(reaching, "remote_of", lambda *_: Remote(network="open"))
    remote = Path("r.git")
    stage.git("init", "-q", "--bare", "../r.git")
    stage.git("remote", "add", "origin", "../r.git")
    rule = "Bash(git push origin main)"
    push = ("Bash", {"command": "git push origin main"})
    session = await stage.open()
    try:
        asked = (await stage.run(session, push, answer=Approve(remember="conversation", pattern=rule))).asked
        assert [offer.pattern for offer in asked[0].offers][:1] == [rule]
        assert not session.history.taints  # only git's own words
        hook = stage.top / remote / "hooks" / "post-receive"
        hook.write_text(f"#!/bin/sh\necho '{RULE}'\n")
        hook.chmod(0o755)
        stage.git("commit", "-q", "--allow-empty", "-m", "two")
        first = await stage.run(session, push)
        assert RULE in first.text
        assert "git push origin main" in session.history.taints.named
        again = await stage.run(session, push)
        assert [first.verdict, again.verdict] == ["allow", "allow"]
        (stage.ws / "page").write_text(RULE)
        await stage.run(session, ("Bash", {"command": "cat page", "needs": "network"}), answer=Approve())
        last = await stage.run(session, push)
        assert last.verdict == "ask"
        assert f"Your rule {rule} would allow it, but" in last.asked[0].reason
        assert "cat page" in last.asked[0].reason
    finally:
        await session.close()
