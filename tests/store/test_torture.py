"""`scripts/torture/kill` finds nothing in a sound program, and finds the faults that are planted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WRONGS = (
    *("lost", "duplicated", "damaged", "unbalanced", "rewritten", "not opened", "not finished", "unasked", "missed"),
    *("wedged", "left over"),
)


def _torture(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = repository / "scripts" / "torture" / "_kill.py"
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


def _figures(output: str) -> dict[str, int]:
    rows = [line[:44].rsplit(maxsplit=1) for line in output.splitlines()[1:]]
    return {row[0].strip(): int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


@pytest.mark.slow
def test_killed_processes_lose_nothing(repository: Path) -> None:
    done = _torture(repository, "--kills", "10", "--kind", "foreground", "--kind", "background", "--kind", "asking")
    figures = _figures(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert figures["acknowledged events"] > 20
    assert {name: figures[name] for name in WRONGS} == dict.fromkeys(WRONGS, 0)
    assert " kill -9 in " in done.stdout


# As many kills as make it certain that one of them meets the fault.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "kind", "kills", "found"),
    [
        ("told-first", "foreground", "6", "lost"),
        ("kept-twice", "foreground", "4", "duplicated"),
        ("run-again", "background", "14", "duplicated"),
        ("unasked", "asking", "6", "unasked"),
    ],
)
def test_a_planted_fault_is_found(repository: Path, fault: str, kind: str, kills: str, found: str) -> None:
    done = _torture(repository, "--kills", kills, "--kind", kind, "--plant", fault)
    assert done.returncode == 1, done.stdout + done.stderr
    assert _figures(done.stdout)[found] > 0
