"""`scripts/torture/kill` finds nothing in a sound program, and finds the faults that are planted."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

WRONGS = (
    *("lost", "duplicated", "damaged", "unbalanced", "rewritten", "not opened", "not finished", "unasked", "missed"),
    *("wedged", "left over"),
)
# How many kills make it certain that one meets the fault, and what it is found as.
FAULTS = {
    "told-first": (3, "lost"),  # one kill in five comes right after the commit
    "kept-twice": (1, "duplicated"),
    "run-again": (1, "duplicated"),
    "no-recovery": (1, "unbalanced"),
    "bit-rot": (1, "damaged"),
    "unasked": (1, "unasked"),
    "left-over": (1, "left over"),
    "never-resumed": (1, "wedged"),
    "dated": (1, "rewritten"),
    "deaf": (1, "missed"),
}


def _torture(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = repository / "scripts" / "torture" / "_kill.py"
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


def _figures(output: str) -> dict[str, int]:
    rows = [line[:44].rsplit(maxsplit=1) for line in output.splitlines()[1:]]
    return {row[0].strip(): int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


@pytest.mark.slow
def test_killed_processes_lose_nothing(repository: Path) -> None:
    kinds = ("foreground", "background", "asking", "moving")
    done = _torture(repository, "--kills", "8", *(word for kind in kinds for word in ("--kind", kind)))
    figures = _figures(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert figures["acknowledged events"] > 20
    assert {name: figures[name] for name in WRONGS} == dict.fromkeys(WRONGS, 0)
    assert " kill -9 in " in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "kills", "found"), [(fault, *told) for fault, told in FAULTS.items()])
def test_a_planted_fault_is_found(repository: Path, fault: str, kills: int, found: str) -> None:
    done = _torture(repository, "--kills", str(kills), "--processes", "1", "--plant", fault)
    assert done.returncode == 1, done.stdout + done.stderr
    assert _figures(done.stdout)[found] > 0


def test_every_fault_that_is_offered_is_planted_here(repository: Path) -> None:
    script = repository / "scripts" / "torture" / "_planted.py"
    offered = runpy.run_path(str(script))["PLANTS"]
    assert sorted(offered) == sorted(FAULTS)
