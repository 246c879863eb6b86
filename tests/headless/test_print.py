"""Headless runs as processes: what stands on stdout and stderr, and the exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DRIVER = [sys.executable, str(Path(__file__).with_name("driver.py"))]
REPOSITORY = str(Path(__file__).resolve().parents[2])


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": REPOSITORY}


def play(scenario: str, form: str = "text", *more: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*DRIVER, scenario, form, *more], input=stdin, capture_output=True, timeout=30, env=environment(), check=False
    )


@contextmanager
def started(scenario: str, form: str = "text", *more: str, **pipes: Any) -> Iterator[subprocess.Popen[bytes]]:
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes}
    with subprocess.Popen([*DRIVER, scenario, form, *more], env=environment(), **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_text_is_the_final_answer_alone() -> None:
    done = play("answer")
    assert (done.returncode, done.stdout) == (0, b"It is **fixed**.\n")


def test_progress_is_a_line_a_tool_without_control_characters() -> None:
    assert play("answer").stderr.decode() == "* Read a‹U+001B›[31m.py\n"


def test_quiet_says_nothing() -> None:
    assert play("answer", "text", "quiet").stderr == b""


def test_json_is_one_object() -> None:
    (result,) = lines(play("answer", "json").stdout)
    assert result == {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "result": "It is **fixed**.",
        "conversation_id": "conv-1",
        "run_id": "run-1",
        "model": "fake/model",
        "steps": 2,
        "usage": {"input": 20, "output": 4, "cache_read": 0, "cache_write": 0, "reasoning": 0},
        "cost": 0.5,
        "seconds": 1.25,
        "stop_reason": "done",
        "exit_code": 0,
        "error": None,
        "denials": [],
    }


def test_stream_json_is_init_then_every_event_then_the_result() -> None:
    told = lines(play("answer", "stream-json").stdout)
    assert [line["type"] for line in told] == [
        "init",
        "user_message",
        "run_started",
        "text_delta",
        "assistant_message",
        "tool_started",
        "tool_result",
        "text_delta",
        "assistant_message",
        "run_finished",
        "result",
    ]
    assert told[0]["conversation_id"] == "conv-1" and told[0]["mode"] == "ask"
    assert [line["seq"] for line in told if "seq" in line] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("scenario", "code", "subtype"),
    [
        ("denied", 3, "denied"),
        ("max_turns", 4, "limit"),
        ("time_limit", 4, "limit"),
        ("repeated_call", 4, "limit"),
        ("length", 1, "error"),
        ("refusal", 1, "error"),
        ("quota", 75, "unavailable"),
        ("unreachable", 75, "unavailable"),
        ("bad_key", 1, "error"),
        ("no-model", 1, "error"),
        ("bad-key-at-open", 1, "error"),
        ("interrupted", 130, "interrupted"),
        ("bug", 1, "error"),
    ],
)
def test_every_end_has_its_exit_code_and_words(scenario: str, code: int, subtype: str) -> None:
    done = play(scenario, "json")
    (result,) = lines(done.stdout)
    assert (done.returncode, result["exit_code"], result["subtype"], result["is_error"]) == (code, code, subtype, True)
    assert result["error"]["message"]
    assert f"error: {result['error']['message']}".encode() in done.stderr


def test_the_traceback_of_a_bug_and_its_result_quote_no_secret() -> None:
    done = play("bug", "json")
    assert b"driver.py" in done.stderr and b"ZeroDivisionError: a bug that quotes <secret:github-token:" in done.stderr
    assert b"a bug that quotes <secret:" in done.stdout
    assert b"ghp_a1B2" not in done.stderr + done.stdout


def test_a_failed_run_prints_no_answer_as_text() -> None:
    assert play("quota").stdout == b""


def test_an_approval_that_nobody_can_answer_is_denied_naming_the_flag() -> None:
    done = play("approval", "json")
    (result,) = lines(done.stdout)
    assert done.returncode == 0
    assert "--allow 'Bash(npm test)'" in result["result"]  # the reason that the model was given
    assert result["denials"] == [
        {
            "tool": "Bash",
            "title": "Bash npm test",
            "reason": "commands are asked for",
            "allow": "--allow 'Bash(npm test)'",
            "advice": "--allow 'Bash(npm test)' would allow it",
        }
    ]
    assert b"--allow 'Bash(npm test)' would allow it" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_balanced_within_two_seconds(number: signal.Signals) -> None:
    with started("endless", "json") as process:
        assert process.stderr is not None and process.stdout is not None
        assert process.stderr.readline() == b"* Bash sleep 100\n"
        begin = time.monotonic()
        process.send_signal(number)
        code = process.wait(5)
        assert time.monotonic() - begin < 2.0
        (result,) = lines(process.stdout.read())
    assert (code, result["exit_code"]) == (128 + number, 128 + number)
    assert (result["stop_reason"], result["run_id"]) == ("interrupted", "run-1")


def test_a_signal_while_the_session_opens_ends_it() -> None:
    with started("slow-open") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"opening\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 143


def test_a_run_that_does_not_stop_is_left_within_two_seconds() -> None:
    with started("stubborn") as process:
        assert process.stderr is not None
        process.stderr.readline()
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 143
        assert time.monotonic() - begin < 2.5


def test_a_second_signal_ends_at_once() -> None:
    with started("stubborn") as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
        assert time.monotonic() - begin < 0.5


@pytest.mark.parametrize("form", ["json", "stream-json"])
@pytest.mark.parametrize("again", [True, False])
def test_a_run_that_is_cut_off_still_has_its_result(form: str, again: bool) -> None:
    with started("stubborn", form) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        begin = time.monotonic()
        if again:
            process.send_signal(signal.SIGINT)
        told = lines(process.stdout.read())
        assert process.wait(5) == 130
        assert time.monotonic() - begin < (0.6 if again else 2.5)
    assert [line["type"] for line in told].count("result") == 1
    result = told[-1]
    assert (result["type"], result["subtype"], result["exit_code"]) == ("result", "interrupted", 130)
    assert result["conversation_id"] and result["is_error"]


def test_a_reader_that_goes_away_ends_the_run_quietly() -> None:
    with started("flood", "stream-json") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1000)
        process.stdout.close()
        assert process.wait(10) == 141
        assert process.stderr.read() == b""


def test_a_reader_that_reads_nothing_does_not_hold_up_a_signal() -> None:
    with started("flood", "stream-json") as process:
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 143


@pytest.mark.parametrize("stdin", ["closed", "endless"])
def test_stdin_is_not_read_when_a_prompt_was_given(stdin: str) -> None:
    read, write = os.pipe()
    try:
        closed = {"preexec_fn": lambda: os.close(0), "stdin": None}
        pipes: dict[str, Any] = {"stdin": read} if stdin == "endless" else closed
        with started("answer", **pipes) as process:
            assert process.wait(10) == 0
    finally:
        os.close(read)
        os.close(write)


def said(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def test_a_program_answers_requests_and_changes_the_mode() -> None:
    with started("approval", "stream-json", "two-way", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(said({"type": "user", "text": "test it", "client_id": "c1"}))
        process.stdin.flush()
        request = next(line for line in map(json.loads, process.stdout) if line["type"] == "request_made")["request"]
        answer = {"type": "answer", "request_id": request["request_id"], "answer": {"kind": "approve"}}
        process.stdin.write(said({"type": "mode", "mode": "auto"}, answer))
        process.stdin.close()
        told = [json.loads(line) for line in process.stdout]
        assert process.wait(10) == 0
    assert {"type": "setting_changed", "name": "mode", "value": "auto"}.items() <= told[0].items()
    assert told[-1]["type"] == "result" and told[-1]["result"] == "ran"


def test_every_run_of_a_program_gives_a_result_and_messages_queue() -> None:
    one, two = ({"type": "user", "text": text, "client_id": text} for text in "ab")
    done = play("answer", "stream-json", "two-way", stdin=said(one, two))
    told = lines(done.stdout)
    assert [line["run_id"] for line in told if line["type"] == "result"] == ["run-1", "run-2"]
    assert [line["client_id"] for line in told if line["type"] == "user_message"] == ["a", "b"]


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b'{"type":"dance"}',
        b'{"type":"user"}',
        b'{"type":"answer","request_id":"no","answer":{"kind":"approve"}}',
        b"\xff\xfe",
        b"[" * 5000,
    ],
)
def test_a_line_that_is_not_understood_is_told_and_changes_nothing(line: bytes) -> None:
    done = play("answer", "stream-json", "two-way", stdin=line + b"\n" + said({"type": "user", "text": "go"}))
    told = lines(done.stdout)
    assert told[1]["type"] == "input_error" and told[1]["line"] == 1 and told[1]["message"]
    assert told[-1]["result"] == "It is **fixed**." and done.returncode == 0


def test_requests_are_answered_as_unanswered_when_stdin_ends() -> None:
    done = play("question", "stream-json", "two-way", stdin=said({"type": "user", "text": "go"}))
    told = lines(done.stdout)
    answered = next(line for line in told if line["type"] == "request_answered")
    assert answered["answer"]["kind"] == "unanswered"
    assert told[-1]["result"] == "nobody" and done.returncode == 0


def test_a_program_interrupts_and_goes_on() -> None:
    with started("endless", "stream-json", "two-way", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(said({"type": "user", "text": "one"}))
        process.stdin.flush()
        told = map(json.loads, process.stdout)
        next(line for line in told if line["type"] == "tool_started")
        process.stdin.write(said({"type": "interrupt"}))
        process.stdin.flush()
        result = next(line for line in told if line["type"] == "result")
        assert result["stop_reason"] == "interrupted"
        process.stdin.write(said({"type": "user", "text": "two"}, {"type": "interrupt"}))
        process.stdin.close()
        assert next(line for line in told if line["type"] == "result")["run_id"] == "run-2"
        assert process.wait(10) == 130
