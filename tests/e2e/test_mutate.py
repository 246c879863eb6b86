"""The torture of mutated files, in small: clean as it is, and it finds the faults that are planted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def torture(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/torture/_mutate.py"), "--processes", "1", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def test_mutated_files_cost_no_conversation() -> None:
    code, said = torture("--rounds", "10", "--seed", "40")
    assert "in 10 homes" in said
    assert code == 0, said


@pytest.mark.parametrize(("plant", "wrong"), [("no-mending", "not listed: "), ("blank", "not listed: ")])
def test_planted_faults_are_found(plant: str, wrong: str) -> None:
    code, said = torture("--rounds", "40", "--seed", "1", "--plant", plant)
    assert code == 1, said
    assert wrong in said
