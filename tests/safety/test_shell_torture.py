"""The torture of shell texts in small: nothing that is allowed runs a canary, and planted faults are found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).resolve().parents[2] / "scripts" / "torture" / "_shell.py"


def torture(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TORTURE), *words, "--jobs", "1"], capture_output=True, text=True, timeout=280, check=False
    )


def row(stdout: str, name: str) -> list[int]:
    [line] = [line for line in stdout.splitlines() if line.split()[:1] == [name]]
    return [int(cell.replace(",", "")) for cell in line.split()[1:]]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", [(), ("--no-sandbox",)])
def test_no_allowed_text_runs_a_canary(place: tuple[str, ...]) -> None:
    """In bubblewrap, and on a PATH of harmless programs as where there is none; and there was something to find."""
    done = torture("400", "--seed", "20261121", *place)
    assert done.returncode == 0, done.stdout + done.stderr
    allowed, denied = row(done.stdout, "allow"), row(done.stdout, "deny")
    assert allowed[0] > 40 and allowed[1] == 0, done.stdout
    assert denied[1] > 20, "canaries must have run, or nothing was tried"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", ["substitution", "wrapper", "quote"])
def test_a_planted_fault_is_found(fault: str) -> None:
    done = torture("500", "--seed", "7", "--plant", fault)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ran: " in done.stderr
