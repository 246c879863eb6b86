"""Headless runs of the whole program on scripted models: permissions, limits, signals, two-way, resume."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

LETTA = [sys.executable, "-I", "-m", "letta_code"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def model(project: Path, *turns: dict[str, Any]) -> list[str]:
    file = project.parent / "script.yaml"
    file.write_text(json.dumps({"turns": list(turns), "answers": [{"text": "Again."}]}))
    return ["--model", f"scripted:{file}"]


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "args": arguments}


def letta(project: Path, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LETTA, *argv], input=stdin, capture_output=True, text=True, cwd=project, timeout=40, check=False
    )


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return json.loads(done.stdout.splitlines()[-1])


WRITE = {"tools": [call("Write", path="a.txt", content="x\n")]}
RUN = {"tools": [call("Bash", command="touch ran.txt")]}


def test_what_nobody_can_allow_is_denied_and_the_flag_is_named(project: Path) -> None:
    done = letta(project, "-p", "go", "--output-format", "json", *model(project, WRITE, RUN, {"text": "I could not."}))
    told = result(done)
    assert (done.returncode, told["result"]) == (0, "I could not.")
    assert [one["allow"] for one in told["denials"]] == ["--mode auto", "--allow 'Bash(touch ran.txt)'"]
    assert "--mode auto would allow it" in done.stderr and "--allow 'Bash(touch ran.txt)' would allow it" in done.stderr
    assert list(project.iterdir()) == []


def test_only_a_flag_that_would_really_allow_it_is_named(project: Path) -> None:
    outside = project.parent / "outside.txt"
    write = {"tools": [call("Write", path=str(outside), content="x\n")]}

    def play(*flags: str) -> dict[str, Any]:
        argv = ["-p", "go", *flags, "--output-format", "json"]
        return result(letta(project, *argv, *model(project, write, {"text": "Done."})))

    (denial,) = play("--mode", "auto")["denials"]
    assert "--mode auto" not in denial["allow"] and not outside.exists()
    play("--mode", "auto", *shlex.split(denial["allow"]))
    assert outside.read_text() == "x\n"


def test_the_flags_that_it_names_allow_it(project: Path) -> None:
    argv = [
        "-p",
        "go",
        "--mode",
        "auto",
        "--allow",
        "Bash(touch ran.txt)",
        *model(project, WRITE, RUN, {"text": "Done."}),
    ]
    done = letta(project, *argv)
    assert (done.returncode, done.stdout) == (0, "Done.\n")
    assert sorted(entry.name for entry in project.iterdir()) == ["a.txt", "ran.txt"]


def test_deny_wins_over_allow_and_mode(project: Path) -> None:
    argv = [
        "-p",
        "go",
        "--mode",
        "full",
        "--allow",
        "Bash",
        "--deny",
        "Bash(touch)",
        *model(project, RUN, {"text": "No."}),
    ]
    done = letta(project, *argv)
    assert done.stdout == "No.\n" and list(project.iterdir()) == []
    assert done.stderr.count("! not allowed") == 1 and "Bash(touch)" in done.stderr


def test_plan_changes_nothing(project: Path) -> None:
    done = letta(project, "-p", "go", "--mode", "plan", *model(project, WRITE, {"text": "A plan."}))
    assert done.stdout == "A plan.\n" and list(project.iterdir()) == []
    assert "! not allowed: Write" in done.stderr and "plan" in done.stderr


def test_max_turns_is_exit_code_4(project: Path) -> None:
    turns = [{"tools": [call("List", path=".")], "text": f"turn {number}"} for number in range(4)]
    done = letta(project, "-p", "go", "--max-turns", "2", "--output-format", "json", *model(project, *turns))
    told = result(done)
    assert (done.returncode, told["steps"], told["stop_reason"], told["subtype"]) == (4, 2, "max_turns", "limit")
    assert "--max-turns" in told["error"]["hint"]


def test_the_time_limit_is_exit_code_4_and_stops_the_command(project: Path) -> None:
    turns = [{"tools": [call("Bash", command="echo $$ > pid; sleep 60")]}]
    began = time.monotonic()
    done = letta(project, "-p", "go", "--mode", "full", "--time-limit", "2s", *model(project, *turns))
    assert done.returncode == 4 and time.monotonic() - began < 15
    assert not alive(int((project / "pid").read_text()))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_command_and_keeps_a_balanced_history(project: Path, number: signal.Signals) -> None:
    turns = [{"text": "Running.", "tools": [call("Bash", command="echo $$ > pid; sleep 60")]}]
    argv = [*LETTA, "-p", "go", "--mode", "full", "--output-format", "json", *model(project, *turns)]
    with subprocess.Popen(argv, cwd=project, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        pid_file = project / "pid"
        while not (pid_file.exists() and pid_file.read_text().strip()):
            time.sleep(0.02)
        began = time.monotonic()
        process.send_signal(number)
        output, _ = process.communicate(timeout=10)
        assert time.monotonic() - began < 2.5
    told = json.loads(output)
    assert (process.returncode, told["exit_code"], told["stop_reason"]) == (128 + number, 128 + number, "interrupted")
    assert not alive(int(pid_file.read_text()))
    events = [json.loads(line) for line in letta(project, "export", told["conversation_id"]).stdout.splitlines()]
    assert [one["status"] for one in events if one["type"] == "tool_result"] == ["interrupted"]
    again = letta(project, "-p", "go on", "--continue", "--output-format", "json")
    assert (again.returncode, result(again)["result"]) == (0, "Again.")


def test_a_program_approves_over_stdin(project: Path) -> None:
    argv = [*LETTA, "--input-format", "stream-json", *model(project, WRITE, {"text": "Done."})]
    with subprocess.Popen(
        argv, cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        told = map(json.loads, process.stdout)
        assert next(told)["type"] == "init"
        print(json.dumps({"type": "user", "text": "write it", "client_id": "c-1"}), file=process.stdin, flush=True)
        request = next(one for one in told if one["type"] == "request_made")["request"]
        assert request["blocks"][0]["kind"] == "diff"
        answer = {"type": "answer", "request_id": request["request_id"], "answer": {"kind": "approve"}}
        print(json.dumps(answer), file=process.stdin, flush=True)
        assert next(one for one in told if one["type"] == "result")["result"] == "Done."
        print(json.dumps({"type": "user", "text": "more", "client_id": "c-2"}), file=process.stdin, flush=True)
        assert next(one for one in told if one["type"] == "result")["result"] == "Again."
        process.stdin.close()
        assert process.wait(10) == 0
    assert (project / "a.txt").read_text() == "x\n"


def test_the_same_client_id_is_one_message(project: Path) -> None:
    said = json.dumps({"type": "user", "text": "hi", "client_id": "c-1"})
    done = letta(
        project, "--input-format", "stream-json", *model(project, {"text": "Hello."}), stdin=f"{said}\n{said}\n"
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    messages = [one for one in told if one["type"] == "user_message"]
    assert len(messages) == 2 and messages[0] == messages[1], "said once, and the second time acknowledged with it"
    assert len([one for one in told if one["type"] == "run_started"]) == 1


def test_a_question_to_nobody_does_not_hang(project: Path) -> None:
    turns = [{"tools": [call("AskUser", question="Which?")]}, {"text": "I chose."}]
    done = letta(project, "-p", "go", *model(project, *turns))
    assert (done.returncode, done.stdout) == (0, "I chose.\n")


def test_a_conversation_that_is_open_elsewhere_says_so(project: Path) -> None:
    turns = [{"tools": [call("Bash", command="touch started; sleep 60")]}]
    argv = [*LETTA, "-p", "go", "--mode", "full", *model(project, *turns)]
    with subprocess.Popen(argv, cwd=project, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not (project / "started").exists():
                time.sleep(0.02)
            done = letta(project, "-p", "hi", "--continue")
            assert done.returncode == 1 and "error:" in done.stderr and "Traceback" not in done.stderr
        finally:
            process.terminate()


def test_a_full_screen_without_a_terminal_is_a_usage_error(project: Path) -> None:
    pexpect = pytest.importorskip("pexpect")
    child = pexpect.spawn("sh", ["-c", f"{' '.join(LETTA)} | cat"], cwd=str(project), encoding="utf-8", timeout=10)
    child.expect("needs a terminal")
    child.expect(pexpect.EOF)
