"""What the benches share: processes timed from outside, a model server of its own, tables with verdicts."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BENCH = Path(__file__).resolve().parent
PYTHON = str(ROOT / ".venv" / "bin" / "python")
LETTA = str(ROOT / ".venv" / "bin" / "letta-code")


class Run(NamedTuple):
    """One process from its start to its end: `began` is on the monotonic clock, memory its own peak in MB."""

    began: float
    seconds: float
    code: int
    memory: float
    output: str


class Server:
    """The scripted model server: `requests` gives when each came, when its answer was out, and its body's file."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log

    def requests(self) -> list[dict[str, Any]]:
        """Every request so far; times are on the monotonic clock of this machine."""
        time.sleep(0.05)  # the last line is written after its answer
        lines = self._log.read_text(encoding="utf-8").splitlines() if self._log.exists() else []
        return [json.loads(line) for line in lines]

    def forget(self) -> None:
        """Start the list anew."""
        self._log.write_text("", encoding="utf-8")


@contextmanager
def model_server(replies: Sequence[Mapping[str, Any]], folder: Path, *, loop: bool = False) -> Iterator[Server]:
    """Serve replies (fields of tests/fakes/replies.py) in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    script, log = folder / "replies.json", folder / "requests.jsonl"
    script.write_text(json.dumps(list(replies)), encoding="utf-8")
    command = [PYTHON, str(BENCH / "_model_server.py"), str(script), str(log), "loop" if loop else "once"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as it:
        assert it.stdout is not None
        try:
            yield Server(it.stdout.readline().strip(), log)
        finally:
            it.terminate()


def run(argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> Run:
    """Run a process to its end, with nothing on stdin.

    The peak is the kernel's own (ru_maxrss); a child starts with its parent's, so this process has to stay small.
    """
    read, write = os.pipe()
    began = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=write, stderr=write, env=dict(env), cwd=cwd)
    os.close(write)
    output = b""
    while piece := os.read(read, 65536):
        output += piece
    os.close(read)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return Run(began, seconds, process.returncode, usage.ru_maxrss / unit, output.decode("utf-8", "replace"))


def own_memory() -> float:
    """This process's peak in MB: below it no child's peak can be seen."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a fresh person: a home of its own, no keys, no settings of ours.

    The sandbox is off: what it costs is measured by itself (scripts/bench/sandbox).
    """
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR", "TERM") if name in os.environ}
    ours = {"LETTA_HOME": str(home / ".letta"), "LETTA_SANDBOX": "off"}
    return {**kept, "HOME": str(home), **ours, "NO_PROXY": "127.0.0.1", **more}


def endpoint_home(home: Path, url: str) -> None:
    """A home whose config.yaml names the server as an endpoint, and whose key file has a key for it."""
    folder = home / ".letta"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = f"model: bench/fake\nendpoints:\n  bench:\n    base_url: {url}/v1\n"
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    (folder / "credentials.yaml").write_text("bench: sk-bench\n", encoding="utf-8")
    (folder / "credentials.yaml").chmod(0o600)


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


class Table:
    """Lines of a table: what, figure, gate, verdict; remembers whether all gates held."""

    def __init__(self, title: str) -> None:
        self.held = True
        print(f"\n{title}")

    def line(self, what: str, figure: str, gate: str = "", good: bool | None = None) -> None:
        """One figure; `good` None where there is no gate."""
        verdict = "" if good is None else ("PASS" if good else "FAIL")
        self.held = self.held and good is not False
        print(f"  {what:<58}{figure:>16}  {gate:<28}{verdict}".rstrip(), flush=True)

    @property
    def code(self) -> int:
        """0 when every gate held."""
        return 0 if self.held else 1
