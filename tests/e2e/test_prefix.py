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

from letta_code.memory.block import project_key
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append
from letta_code.memory.provenance import Provenance
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
            done = letta(work, "-p", prompt, "--trust", "--model", f"{dialect}/fake", *flags)
            assert done.returncode in (0, 3), done.stderr
        bodies = [r.body for r in server.requests if r.method == "POST"]
    assert len(bodies) == len(turns)
    assert (work / "a.txt").read_text() == "one\n2\n"
    heads = {parts(body)[0] for body in bodies}
    assert len(heads) == 1, "the head moved"
    for before, after in pairwise(parts(body)[1] for body in bodies):
        assert after.startswith(before)
        assert len(after) > len(before)


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_edits_of_memory_are_told_at_the_end_and_move_nothing_before_it(
    dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letta_home: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    mine = use("memory", command="insert", label="human", insert_text="mine: Ann likes tea")
    turns = (
        Reply(text="I note it.", tools=(mine,)),
        Reply(text="Noted.", tools=(use("Bash", command="echo hi"),)),
        Reply(text="Done."),
        Reply(tools=(use("List", path="."),)),
        Reply(text="Second."),
        Reply(text="Third."),
    )
    with ModelServer(turns) as server:
        key = {"openai": "OPENAI", "anthropic": "ANTHROPIC"}[dialect]
        monkeypatch.setenv(f"{key}_BASE_URL", server.url + ("/v1" if dialect == "openai" else ""))
        monkeypatch.setenv(f"{key}_API_KEY", "test-key")
        for prompt, flags in (("go", ()), ("again", ("--continue",)), ("and now", ("--continue",))):
            done = letta(work, "-p", prompt, "--model", f"{dialect}/fake", *flags)
            assert done.returncode == 0, done.stderr
            if prompt == "go":
                edit_from_outside(letta_home, work)
        bodies = [r.body for r in server.requests if r.method == "POST"]
    assert len(bodies) == len(turns)
    heads = {system_of(body) for body in bodies}
    assert len(heads) == 1, "the head moved"
    assert b"<memory>" in heads.pop()
    for before, after in pairwise(parts(body)[1] for body in bodies):
        assert after.startswith(before)
        assert len(after) > len(before)
    for told in (b"theirs: she has moved", b"by hand: call her Ann"):
        assert [body.count(told) for body in bodies] == [0, 0, 0, 1, 1, 1]
    assert all(b"Your memory changed" not in body for body in bodies[:3]), "its own edit is no news to the model"


def edit_from_outside(home: Path, work: Path) -> None:
    """Another conversation of the agent changes a block, and a person another one, in its file."""
    [memory] = home.glob("agents/*/memory")
    other = Blocks(home, memory.parent.name, project_key(str(work)), "conv-other")
    other.apply(Append(label="persona", text="theirs: she has moved"), Provenance(conversation="conv-other", seq=4))
    human = memory / "system/human.md"
    assert "mine: Ann likes tea" in human.read_text()
    human.write_text(human.read_text() + "by hand: call her Ann\n")


def system_of(body: bytes) -> bytes:
    """All that stands before the first message of the conversation, tools and what comes after the messages too."""
    head, messages = parts(body)
    return head + messages[: messages.index(b'"role":"user"')]


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
            assert letta(work, "-p", "hi", "--trust", "--model", "openai/fake").returncode == 0
        for request in server.requests:
            heads.add(system_of(request.body))
    assert len(heads) == 1
