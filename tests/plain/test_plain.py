"""The plain face as a process: over pipes, on a dumb terminal and on an ordinary one."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest

from letta_code.agent.port import SessionOptions
from letta_code.agent.start import start_session
from letta_code.config.settings import Settings

LETTA = [sys.executable, "-I", "-m", "letta_code"]


def script(path: Path, *turns: dict[str, Any]) -> str:
    file = path / "script.yaml"
    file.write_text(json.dumps({"turns": list(turns), "answers": [{"text": "And again."}]}))
    return f"scripted:{file}"


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "args": arguments}


def plain(path: Path, model: str, stdin: str, *argv: str) -> subprocess.CompletedProcess[str]:
    project = path / "project"
    project.mkdir(exist_ok=True)
    return subprocess.run(
        [*LETTA, "--plain", "--model", model, *argv],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=project,
        timeout=30,
        check=False,
    )


def test_a_conversation_over_pipes(tmp_path: Path) -> None:
    done = plain(tmp_path, script(tmp_path, {"text": "Hello.\nWhat now?"}), "hi\n/exit\nnever read\n")
    assert done.returncode == 0 and done.stderr == ""
    assert "> hi\nHello.\nWhat now?\n> /exit\n" in done.stdout
    assert "never read" not in done.stdout and "\x1b" not in done.stdout


def test_the_end_of_the_input_leaves(tmp_path: Path) -> None:
    done = plain(tmp_path, script(tmp_path, {"text": "Hello."}), "hi")
    assert done.returncode == 0 and "Hello." in done.stdout


def test_an_approval_is_a_numbered_choice(tmp_path: Path) -> None:
    model = script(tmp_path, {"tools": [call("Write", path="a.txt", content="x\n")]}, {"text": "Written."})
    done = plain(tmp_path, model, "write it\n1\n/diff\n/exit\n")
    assert "May it do this?  Write a.txt" in done.stdout and "  1. Yes, this once" in done.stdout
    assert (tmp_path / "project" / "a.txt").read_text() == "x\n"
    assert "Written." in done.stdout and "1 file changed, +1 -0" in done.stdout


def test_other_words_are_a_no_with_that_reason(tmp_path: Path) -> None:
    model = script(
        tmp_path,
        {"tools": [call("Write", path="a.txt", content="x\n")]},
        {"expect": ["call it b.txt"], "text": "As you wish."},
    )
    done = plain(tmp_path, model, "write it\ncall it b.txt\n/exit\n")
    assert "As you wish." in done.stdout and not (tmp_path / "project" / "a.txt").exists()


def test_an_approval_at_the_end_of_the_input_is_not_given(tmp_path: Path) -> None:
    model = script(tmp_path, {"tools": [call("Write", path="a.txt", content="x\n")]}, {"text": "Then not."})
    done = plain(tmp_path, model, "write it\n")
    assert done.returncode == 0 and "Then not." in done.stdout and not (tmp_path / "project" / "a.txt").exists()


def test_a_question_is_answered_by_number(tmp_path: Path) -> None:
    ask = call("AskUser", question="Which?", choices=["alpha", "beta"])
    model = script(tmp_path, {"tools": [ask]}, {"expect": ["beta"], "text": "Beta it is."})
    done = plain(tmp_path, model, "choose\n2\n/exit\n")
    assert "Beta it is." in done.stdout, done.stdout


def test_new_and_resume_move_between_conversations(tmp_path: Path) -> None:
    model = script(tmp_path, {"text": "Hello."})
    done = plain(tmp_path, model, "first topic\n/new\n/resume\n/resume 1\nmore\n/exit\n")
    assert "first topic" in done.stdout.split("> /resume\n")[1]
    assert "Going on with: first topic" in done.stdout and "And again." in done.stdout


def test_a_line_goes_on_after_a_backslash(tmp_path: Path) -> None:
    model = script(tmp_path, {"expect": ["one\ntwo"], "text": "Two lines."})
    assert "Two lines." in plain(tmp_path, model, "one\\\ntwo\n/exit\n").stdout


def test_a_path_is_a_message_and_an_unknown_command_is_not(tmp_path: Path) -> None:
    model = script(tmp_path, {"expect": ["/usr/bin is missing"], "text": "I see."})
    done = plain(tmp_path, model, "/hlep\n/usr/bin is missing\n/exit\n")
    assert "There is no command /hlep. Did you mean /help?" in done.stdout and "I see." in done.stdout


def test_without_a_model_it_starts_and_offers_to_connect(tmp_path: Path) -> None:
    done = subprocess.run(
        [*LETTA, "--plain"], input="hi\n", capture_output=True, text=True, cwd=tmp_path, timeout=30, check=False
    )
    assert done.returncode == 0
    assert "none yet, /connect chooses one" in done.stdout and "A server by its address" in done.stdout


def test_an_error_of_the_provider_is_told_and_the_prompt_comes_back(tmp_path: Path) -> None:
    model = script(tmp_path, {"text": "x", "error": {"status": 401, "message": "bad key", "times": "forever"}})
    done = plain(tmp_path, model, "hi\n/exit\n")
    assert "error: " in done.stdout and "> /exit" in done.stdout and done.returncode == 0


def test_a_typed_command_runs_in_the_shell_and_goes_along_with_the_next_message(tmp_path: Path) -> None:
    said = "[The person ran this in the shell]\n$ echo $((40+2)); false\n42\n[exit code 1]"
    model = script(tmp_path, {"expect": [said, "why"], "text": "Because."})
    done = plain(tmp_path, model, "!echo $((40+2)); false\nwhy\n/exit\n")
    assert "\n42\n(exit code 1, " in done.stdout and "Because." in done.stdout, done.stdout


# ---------------------------------------------------------------- terminals


def terminal(path: Path, model: str, term: str) -> pexpect.spawn:  # type: ignore[type-arg]
    project = path / "project"
    project.mkdir(exist_ok=True)
    child = pexpect.spawn(
        sys.executable,
        ["-I", "-m", "letta_code", "--plain", "--model", model],
        cwd=str(project),
        env={**os.environ, "TERM": term},
        encoding="utf-8",
        dimensions=(24, 80),
        timeout=15,
    )
    child.logfile_read = io.StringIO()  # all that it wrote, from the first byte
    child.expect("Ctrl-C stops a run")
    prompt(child)
    return child


def prompt(child: pexpect.spawn) -> None:  # type: ignore[type-arg]
    """The prompt as it is on a dumb terminal, or drawn by the line editor."""
    child.expect(r"> |\x1b\[0m>")


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_conversation_on_a_terminal(tmp_path: Path, term: str) -> None:
    child = terminal(tmp_path, script(tmp_path, {"text": "Hello."}), term)
    child.send("hi there\r")
    child.expect("Hello.")
    prompt(child)
    child.send("/exit\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_dumb_terminal_gets_no_escape_sequences(tmp_path: Path) -> None:
    child = terminal(tmp_path, script(tmp_path, {"text": "Hello."}), "dumb")
    child.send("hi there\r")
    child.expect("Hello.")
    child.send("/exit\r")
    child.expect(pexpect.EOF)
    seen = child.logfile_read.getvalue()
    assert "Model: " in seen and "\x1b" not in seen


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_ctrl_c_stops_the_run_and_leaves_the_prompt(tmp_path: Path, term: str) -> None:
    model = script(tmp_path, {"tools": [call("Bash", command="echo started; sleep 60")]})
    child = terminal(tmp_path, model, term)
    child.send("/mode full\r")
    child.expect("does everything")
    prompt(child)
    child.send("wait\r")
    child.expect("sleep 60")
    time.sleep(0.5)
    began = time.monotonic()
    child.sendintr()
    child.expect("Interrupted")
    assert time.monotonic() - began < 3
    prompt(child)
    child.send("go on\r")
    child.expect("And again.")
    child.send("/exit\r")
    child.expect(pexpect.EOF)


def test_ctrl_c_stops_a_typed_command(tmp_path: Path) -> None:
    child = terminal(tmp_path, script(tmp_path, {"text": "Hello."}), "xterm")
    child.send("!echo be''gun; sleep 60\r")
    child.expect("begun")
    child.sendintr()
    child.expect("stopped")
    prompt(child)
    child.send("/exit\r")
    child.expect(pexpect.EOF)


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_ctrl_c_stops_a_run_after_an_approval_was_given(tmp_path: Path, term: str) -> None:
    model = script(tmp_path, {"tools": [call("Bash", command="touch began\nsleep 60")]})
    child = terminal(tmp_path, model, term)
    child.send("wait\r")
    child.expect(r"\$ sleep 60")
    assert "killed" not in child.before
    child.expect("or say what to do instead:")
    time.sleep(0.3)  # what is typed before the question is dropped
    child.send("1\r")
    began = time.monotonic()
    while not (tmp_path / "project" / "began").exists() and time.monotonic() < began + 10:
        time.sleep(0.05)
    began = time.monotonic()
    child.sendintr()
    child.expect("Interrupted")
    assert time.monotonic() - began < 3
    prompt(child)
    child.send("/exit\r")
    child.expect(pexpect.EOF)


def test_ctrl_c_at_an_approval_stops_the_run(tmp_path: Path) -> None:
    child = terminal(tmp_path, script(tmp_path, {"tools": [call("Bash", command="touch began")]}), "xterm")
    child.send("wait\r")
    child.expect("or say what to do instead:")
    time.sleep(0.3)
    child.sendintr()
    child.expect("Stopped|Interrupted")
    prompt(child)
    assert not (tmp_path / "project" / "began").exists()
    child.send("/exit\r")
    child.expect(pexpect.EOF)


def test_ctrl_c_at_the_prompt_only_says_how_to_leave(tmp_path: Path) -> None:
    child = terminal(tmp_path, script(tmp_path, {"text": "Hello."}), "xterm")
    child.send("half a li\x03")
    child.expect("or Ctrl-D leaves")
    prompt(child)
    child.send("\x04")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def long_talk(path: Path, delay: float) -> str:
    """A model whose answers are long enough to be compacted, and whose summary takes its time."""
    file = path / "script.yaml"
    turns = [{"text": "Much was done. " * 200, "repeat": 4}]
    asides = [{"match": "summar", "text": "# Goals\nAll of it.\n# Current state\nDone.", "delay": delay, "pieces": 5}]
    file.write_text(json.dumps({"turns": turns, "answers": [{"text": "And again."}], "asides": asides}))
    return f"scripted:{file}"


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_ctrl_c_stops_a_compaction_and_leaves_the_prompt(tmp_path: Path, term: str) -> None:
    child = terminal(tmp_path, long_talk(tmp_path, 5), term)
    for _ in range(4):
        child.send("go\r")
        child.expect("Much was done.")
        prompt(child)
    for _ in range(2):  # the second one is told of as well
        child.send("/compact\r")
        child.expect("Making room in the context.")
        began = time.monotonic()
        child.sendintr()
        child.expect("The compaction was stopped")
        assert time.monotonic() - began < 3
        prompt(child)
    child.send("go on\r")
    child.expect("And again.")
    prompt(child)
    child.send("/exit\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_what_waits_since_another_face_is_shown_and_answered_after_a_compaction(tmp_path: Path) -> None:
    model = long_talk(tmp_path, 0)
    plain(tmp_path, model, "go\ngo\ngo\ngo\n/exit\n")
    asyncio.run(leave_waiting(tmp_path / "project", model, "One more thing,\nplease."))
    done = plain(tmp_path, model, "/compact\n/exit\n", "--continue")
    waits = "Said before, and sent along with your next message:\n> One more thing,\n… please.\n"
    before, _, after = done.stdout.partition("> /compact\n")
    assert waits in before
    assert "> One more thing,\n… please.\nAnd again.\n> /exit" in after, done.stdout


async def leave_waiting(project: Path, model: str, text: str) -> None:
    """A message is queued during a run, and the run stopped."""
    settings = Settings(model=model)
    session = await start_session(SessionOptions(cwd=str(project), settings=settings, conversation="last"))
    await session.send("Wait.")
    await session.send(text)
    await session.interrupt()
    assert session.status.queued
    await session.close()


def test_a_closed_terminal_ends_the_process(tmp_path: Path) -> None:
    child = terminal(tmp_path, script(tmp_path, {"text": "Hello."}), "xterm")
    os.kill(child.pid, signal.SIGHUP)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 129


def test_the_history_is_kept_for_the_project(tmp_path: Path) -> None:
    for _ in range(2):
        child = terminal(tmp_path, script(tmp_path, {"text": "Hello."}), "xterm")
        child.send("remember this\r")
        child.expect("Hello.|And again.")
        prompt(child)
        child.send("/exit\r")
        child.expect(pexpect.EOF)
    child = terminal(tmp_path, script(tmp_path, {"text": "Hello."}), "xterm")
    child.send("\x1b[A\x1b[A")
    child.expect("remember this")
    child.send("\r")
    child.expect("Hello.|And again.")
    child.send("/exit\r")
    child.expect(pexpect.EOF)


KEY = "ghp_" + "a1B2c3D4" * 5


def test_a_pasted_key_is_told_and_replaced_over_pipes(tmp_path: Path) -> None:
    done = plain(tmp_path, script(tmp_path, {"expect": ["<secret:github-token:"], "text": "Fine."}), f"use {KEY}\n")
    assert "This looks like a GitHub token." in done.stdout and "Fine." in done.stdout


@pytest.mark.row("I08")
def test_a_pasted_key_is_sent_by_the_second_enter(tmp_path: Path, letta_home: Path) -> None:
    model = script(tmp_path, {"text": "Got it."})
    child = pexpect.spawn(
        LETTA[0],
        [*LETTA[1:], "--plain", "--model", model],
        cwd=str(tmp_path),
        env={**os.environ, "TERM": "dumb"},
        timeout=30,
        encoding="utf-8",
    )
    child.expect("stops a run")
    child.send(f"use {KEY}\r")
    child.expect("a GitHub token")
    child.expect("drops it")
    child.send("no\r")
    child.send(f"use {KEY}\r")
    child.expect("drops it")
    child.send("\r")
    child.expect("Got it")
    child.send("\x04")
    child.expect(pexpect.EOF)
    kept = [path.read_bytes() for path in letta_home.rglob("*") if path.is_file()]
    assert kept and not any(KEY.encode() in data for data in kept)
