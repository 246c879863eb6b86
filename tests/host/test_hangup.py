"""A terminal that is gone is known, and what it was is /dev/null afterwards; programs in the foreground end with us."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

from letta_code.host.hangup import hung_up


def test_a_terminal_has_hung_up_when_its_other_end_is_closed() -> None:
    master, slave = pty.openpty()
    try:
        assert not hung_up(slave)
        os.write(master, b"typed\n")
        assert not hung_up(slave)
        os.close(master)
        assert hung_up(slave)
    finally:
        os.close(slave)


def test_a_closed_descriptor_has_hung_up_and_a_file_has_not(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    assert not hung_up(descriptor)
    os.close(descriptor)
    assert hung_up(descriptor)


def test_let_go_replaces_only_what_is_dead(repository: Path) -> None:
    """stdin and stdout are a dead terminal, stderr is a pipe that somebody reads."""
    master, slave = pty.openpty()
    code = (
        "import os, signal, sys, time\n"
        "from letta_code.host.hangup import hung_up, let_go\n"
        "while not hung_up(0): time.sleep(0.01)\n"
        "let_go()\n"
        "print('to nobody', flush=True)\n"
        "words = [os.readlink(f'/proc/self/fd/{n}').partition(':')[0] for n in (0, 1, 2)]\n"
        "print(sys.stdin.read(), words, signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, file=sys.stderr)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=repository, stdin=slave, stdout=slave, stderr=subprocess.PIPE
    )
    os.close(slave)
    os.close(master)
    _, said = child.communicate(timeout=20)
    assert child.returncode == 0
    assert said.decode().split() == ["['/dev/null',", "'/dev/null',", "'pipe']", "True"]


def test_a_program_in_the_foreground_ends_with_us(repository: Path, tmp_path: Path) -> None:
    """SIGTERM reaches the editor, one that is deaf is killed, and our own handler is called too."""
    code = (
        "import signal, sys\n"
        "from letta_code.host.foreground import run_in_foreground\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('ours', flush=True))\n"
        "print(run_in_foreground(['sh', '-c', sys.argv[1]]), signal.getsignal(signal.SIGTSTP).name)\n"
    )
    for shell, ended in (
        ("touch here; exec sleep 300", -signal.SIGTERM),
        ("trap '' TERM; touch here; exec sleep 300", -9),
    ):
        child = subprocess.Popen(
            [sys.executable, "-c", code, f"cd {tmp_path}; {shell}"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(repository)},
        )
        deadline = time.monotonic() + 20
        while not (tmp_path / "here").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (tmp_path / "here").unlink()
        child.terminate()
        said, _ = child.communicate(timeout=10)
        assert said.split() == ["ours", str(int(ended)), "SIG_DFL"]
