"""What a provider caches: messages of request t are a byte prefix of request t+1, and the head never moves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.fakes.model_server import Call, ModelServer, Reply

_MARK = re.compile(rb',"cache_control":\{[^}]*\}')


def letta(cwd: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "letta_code", "--mode", "auto", "--allow", "Bash(echo *)", *flags],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def use(name: str, **arguments: str) -> Call:
    return Call(name, json.dumps(arguments))


def parts(body: bytes) -> tuple[bytes, bytes]:
    """The head (everything before the messages) and the messages, as bytes, cache marks taken out."""
    body = _MARK.sub(b"", body)
    head, _, messages = body.partition(b'"messages":[')
    end = messages.rindex(b"]")
    return head + messages[end + 1 :], messages[:end]


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_requests_grow_only_at_their_end_within_a_run_across_runs_and_across_resume(
    dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "a.txt").write_text("one\ntwo\n")
    (work / "AGENTS.md").write_text("Be careful with a.txt.\n")
    turns = (
        Reply(text="I read.", tools=(use("Read", path="a.txt"), use("List", path="."))),
        Reply(tools=(use("Edit", path="a.txt", old="two", new="2"),)),
        Reply(tools=(use("Bash", command="echo hi"),), reasoning="Now the shell."),
        Reply(text="Done."),
        Reply(text="Second answer."),
        Reply(tools=(use("Bash", command="rm a.txt"),)),
        Reply(text="It was denied."),
    )
    with ModelServer(turns) as server:
        key = {"openai": "OPENAI", "anthropic": "ANTHROPIC"}[dialect]
        monkeypatch.setenv(f"{key}_BASE_URL", server.url + ("/v1" if dialect == "openai" else ""))
        monkeypatch.setenv(f"{key}_API_KEY", "test-key")
        for prompt, flags in (("go", ()), ("again", ("--continue",)), ("and now", ("--continue",))):
            done = letta(work, "-p", prompt, "--model", f"{dialect}/fake", *flags)
            assert done.returncode in (0, 3), done.stderr
        bodies = [r.body for r in server.requests if r.method == "POST"]
    assert len(bodies) == len(turns)
    assert (work / "a.txt").read_text() == "one\n2\n"
    heads = {parts(body)[0] for body in bodies}
    assert len(heads) == 1, "the head moved"
    for before, after in pairwise(parts(body)[1] for body in bodies):
        assert after.startswith(before)
        assert len(after) > len(before)


def test_the_head_is_the_same_in_other_folders_and_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: set[bytes] = set()
    with ModelServer((Reply(text="One."), Reply(text="Two."))) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "test-key")
        for name in ("first", "second"):
            work = tmp_path / name
            work.mkdir()
            (work / "AGENTS.md").write_text(f"Rules of {name}.\n")
            monkeypatch.setenv("LETTA_HOME", str(tmp_path / f"home-{name}"))
            monkeypatch.setenv("PYTHONHASHSEED", str(len(name)))
            assert letta(work, "-p", "hi", "--model", "openai/fake").returncode == 0
        for request in server.requests:
            head, messages = parts(request.body)
            system_end = messages.index(b'"role":"user"')
            heads.add(head + messages[:system_end])
    assert len(heads) == 1
