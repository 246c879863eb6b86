"""The demo does what it says, judges itself, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from letta_code.cli import demo


def play(*argv: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-m", "letta_code", "demo", *argv],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=path,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_demo_fixes_tests_and_commits_for_real(tmp_path: Path, letta_home: Path) -> None:
    done = play("--keep", path=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the model's words are scripted" in done.stdout and "999 != 1000" in done.stdout
    repository = Path(done.stdout.rsplit("The repository is ", 1)[1].strip())
    assert git(repository, "log", "--format=%s").splitlines() == [
        "Share the remainder, so that no cent is lost",
        "Split a bill",
    ]
    assert git(repository, "status", "--porcelain") == ""
    tests = subprocess.run([sys.executable, "-m", "unittest"], cwd=repository, capture_output=True, check=False)
    assert tests.returncode == 0
    git(repository, "checkout", "-q", "HEAD~1")
    before = subprocess.run([sys.executable, "-m", "unittest"], cwd=repository, capture_output=True, check=False)
    assert before.returncode == 1
    assert not letta_home.exists()  # no memory of it stays


def test_the_demo_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert play(path=tmp_path).returncode == 0
    assert [entry.name for entry in tmp_path.iterdir() if "demo" in entry.name] == []


def test_the_persons_git_does_not_stop_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "person"
    (home / "hooks").mkdir(parents=True)
    (home / "hooks" / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (home / "hooks" / "pre-commit").chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = /bin/false\n[core]\n\thooksPath = {home / 'hooks'}\n"
    )
    monkeypatch.setenv("HOME", str(home))
    done = play(path=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_folder(tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen([sys.executable, "-I", "-m", "letta_code", "demo"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"> "):
                break
        assert list(tmp_path.glob("letta-code-demo-*"))
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(10) == 128 + number
    assert not list(tmp_path.glob("letta-code-demo-*"))


async def test_a_demo_whose_model_only_says_so_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", dict(__import__("os").environ))
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    demo._surroundings(folder)
    assert await demo.prepare(folder)  # the bug is there
    found = await demo.check(folder, failed_before=True)
    assert not found.good and not found.tests_pass and not found.committed and found.clean
    assert demo.tell(found) == 1
    path = folder / "repository" / "bill" / "split.py"
    path.write_text(path.read_text().replace("return [share] * people", "return [total] + [0] * (people - 1)"))
    found = await demo.check(folder, failed_before=True)
    assert not found.good and not found.clean


def shown(child: Any, words: str, seconds: float = 60.0) -> bool:
    """Whether the words come to stand on the screen: only changes are drawn, so the bytes alone do not tell."""
    screen = pyte.Screen(120, 40)
    stream = pyte.Stream(screen)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(pexpect.TIMEOUT):
            stream.feed(child.read_nonblocking(65536, timeout=0.5))
        if words in " ".join(line.strip() for line in screen.display):
            return True
    return False


def test_the_demo_can_be_watched_in_the_full_screen(tmp_path: Path) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-I", "-m", "letta_code", "demo", "--tui"],
        cwd=str(tmp_path),
        env={**os.environ, "TERM": "xterm-256color"},
        encoding="utf-8",
        dimensions=(40, 120),
        timeout=40,
    )
    assert shown(child, "committed.")  # the last word of the answer; a line may be wrapped between words
    child.send("\x04")
    child.expect("yes  the fix is committed")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
