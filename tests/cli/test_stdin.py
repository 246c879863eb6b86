"""What is piped in beside `-p PROMPT` is put after the prompt, and nothing on stdin can hang the start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from letta_code.cli import _stdin
from letta_code.cli._stdin import with_stdin

LETTA = [sys.executable, "-I", "-m", "letta_code"]


def piped(data: bytes, *, close: bool = True) -> tuple[str, list[str]]:
    said: list[str] = []
    read, write = os.pipe()
    try:
        os.write(write, data)
        if close:
            os.close(write)
        return with_stdin("what is this", said.append, read), said
    finally:
        os.close(read)
        if not close:
            os.close(write)


def test_a_pipe_comes_after_the_prompt() -> None:
    assert piped(b"commit 1\n  text\n") == ("what is this\n\ncommit 1\n  text", [])
    assert piped(b"") == ("what is this", []) and piped(b"\n \n") == ("what is this", [])


def test_an_open_silent_pipe_is_left_alone_and_named() -> None:
    began = time.monotonic()
    prompt, (said,) = piped(b"", close=False)
    assert prompt == "what is this" and "silent" in said and time.monotonic() - began < 1


def test_a_pipe_that_falls_silent_is_cut_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stdin, "SILENT_SECONDS", 0.1)
    prompt, (said,) = piped(b"begun", close=False)
    assert prompt == "what is this\n\nbegun" and "5 bytes" in said


def test_an_endless_file_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stdin, "MOST_BYTES", 100)
    (tmp_path / "long").write_bytes(b"x" * 1000)
    said: list[str] = []
    with (tmp_path / "long").open("rb") as file:
        assert with_stdin("p", said.append, file.fileno()) == "p\n\n" + "x" * 100
    assert len(said) == 1


@pytest.mark.parametrize("closed", [True, False])
def test_no_file_and_no_pipe_is_not_read(closed: bool) -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    if closed:
        os.close(descriptor)
    assert with_stdin("p", pytest.fail, descriptor) == "p"
    if not closed:
        os.close(descriptor)


@pytest.mark.parametrize("redirected", ["printf 'commit 1\\n' |", "", "< file"])
def test_the_model_reads_it(tmp_path: Path, redirected: str) -> None:
    (tmp_path / "file").write_text("commit 1\n")
    expected = "what is this\n\ncommit 1" if redirected else "what is this"
    (tmp_path / "s.yaml").write_text(json.dumps({"turns": [{"expect": [expected], "text": "Good."}]}))
    before, after = (redirected, "") if redirected.endswith("|") else ("", redirected or "</dev/null")
    line = f"{before} {' '.join(LETTA)} -q -p 'what is this' --model scripted:s.yaml {after}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Good.\n", ""), done
