"""Processes that outlive us: ready or not, alone, and gone without a trace in us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from letta_code.host.detached import start_detached

_HEAD = """
import sys, os, json, time
from letta_code.host.detached import say_ready, keep_ready_private
keep_ready_private()
"""


def python(text: str) -> list[str]:
    return [sys.executable, "-P", "-c", _HEAD + text]


def wait_for(path: Path) -> str:
    end = time.monotonic() + 20
    while not path.exists() or not path.read_text():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.02)
    return path.read_text()


def test_it_is_alone_and_gets_its_words(tmp_path: Path) -> None:
    out = tmp_path / "out"
    kept = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(kept, True)
    started = start_detached(
        python(
            "said = sys.stdin.read(); say_ready(); print('noise', flush=True)\n"
            "told = dict(said=said, session=os.getsid(0), pid=os.getpid(), cwd=os.getcwd())\n"
            "told |= dict(fds=len(os.listdir('/dev/fd')), env='_LETTA_READY' in os.environ)\n"
            f"open({str(out)!r}, 'w').write(json.dumps(told))"
        ),
        said=b"a job",
        cwd=str(tmp_path),
        log=tmp_path / "logs" / "log",
    )
    os.close(kept)
    assert started.error == ""
    told = json.loads(wait_for(out))
    assert told == {
        "said": "a job", "session": started.pid, "pid": started.pid, "cwd": str(tmp_path), "fds": 4, "env": False,
    }  # fmt: skip
    assert (tmp_path / "logs" / "log").stat().st_mode & 0o777 == 0o600
    end = time.monotonic() + 20
    while Path(f"/proc/{started.pid}").exists():  # a zombie would stay
        assert time.monotonic() < end
        time.sleep(0.02)
    assert (tmp_path / "logs" / "log").read_text() == "noise\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("say_ready('The key is wrong.')", "The key is wrong."),
        ("raise SystemExit('it broke')", "it broke"),
        ("os._exit(3)", "it ended, or is silent"),
    ],
)
def test_what_it_could_not_do_is_told(tmp_path: Path, text: str, error: str) -> None:
    log = tmp_path / "log"
    log.write_text("from an earlier one\n")
    assert start_detached(python(text), said=b"", cwd=str(tmp_path), log=log).error == error


def test_a_silent_one_is_not_waited_for_longer_than_asked(tmp_path: Path) -> None:
    started = start_detached(python("time.sleep(60)"), said=b"", cwd=str(tmp_path), log=tmp_path / "log", seconds=0.1)
    assert started.error
    os.kill(started.pid, signal.SIGKILL)


def test_no_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        start_detached([str(tmp_path / "none")], said=b"", cwd=str(tmp_path), log=tmp_path / "log")


def test_it_outlives_its_starter_and_its_group(tmp_path: Path) -> None:
    out = tmp_path / "out"
    child = f"say_ready(); time.sleep(1.0); open({str(out)!r}, 'w').write('alive')"
    starter = (
        "from letta_code.host.detached import start_detached\nfrom pathlib import Path\nimport os, signal\n"
        f"start_detached({python(child)!r}, said=b'', cwd={str(tmp_path)!r}, log=Path({str(tmp_path / 'log')!r}))\n"
        "os.killpg(0, signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", starter], start_new_session=True, check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL
    assert wait_for(out) == "alive"
