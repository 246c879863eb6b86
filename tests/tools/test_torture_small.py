"""The tortures of edits and arguments in small: every submission runs them, and sees that they find planted faults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from letta_code.tools.edit import Edit, EditArgs

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "torture"
FAULTS = ("endings", "final-newline", "first-place", "mark", "patch-endings", "stale", "stripped", "write-endings")


def run(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FOLDER / script), *options], capture_output=True, text=True, timeout=280, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_20_000_random_edits_equal_the_byte_oracle():
    done = run("edits.py", "20000", "--seed", "20260101")
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    last = done.stdout.splitlines()[-2].split()
    assert last[0] == "all"
    assert int(last[1].replace(",", "")) > 10_000, "most edits must be carried out, or nothing was tried"


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str):
    done = run("edits.py", "700", "--seed", "3", "--jobs", "1", "--plant", fault)
    assert done.returncode == 1, done.stdout + done.stderr[-2000:]
    assert "not as the oracle says" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_20_000_fuzzed_arguments():
    done = run("fuzz.py", "20000", "--seed", "20260101")
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]


@pytest.mark.parametrize(
    ("words", "sign"),
    [(("fuzz.py", "3000", "--seed", "3", "--jobs", "1"), "wrongly run"), (("_output.py", "0.2"), "FAILED")],
)
def test_planted_faults_of_arguments_and_output_are_found(words: tuple[str, ...], sign: str):
    fault = "repair" if words[0] == "fuzz.py" else "hoard"
    done = run(*words, "--plant", fault)
    assert done.returncode == 1, done.stdout + done.stderr[-2000:]
    assert sign in done.stdout


@pytest.mark.parametrize("script", ["fuzz.py", "_output.py"])
def test_help_is_given(script: str):
    done = run(script, "--help")
    assert done.returncode == 0
    assert "--plant" in done.stdout


class Repairing(Edit):
    """A parser that closes what a torn text left open, as some harnesses do."""

    def parse(self, arguments: str) -> EditArgs:
        return super().parse(arguments if arguments.endswith("}") else arguments + '"}')


def test_the_fuzz_finds_a_parser_that_repairs_torn_json(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from fuzz import judge

    torn = '{"path": "a", "old": "b", "new": "c'
    assert judge(Repairing(), torn)[0] == "wrongly run"
    assert judge(Edit(), torn)[0] == "refused"
