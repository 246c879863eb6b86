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
        timeout=600,
    )
    return done.returncode, done.stdout + done.stderr


def test_mutated_files_cost_no_conversation() -> None:
    code, said = torture("--rounds", "10", "--seed", "40")
    assert "in 10 homes" in said
    assert code == 0, said


PLANTED = {  # plant: the files, a seed in which it shows, how that is told
    "no-mending": ("letta.db", "31", "not listed: "),
    "blank": ("letta.db-wal", "14", "not listed: "),
    "unsaid": ("letta.db-wal", "14", "not told: "),
    "overwritten": ("config.yaml", "31", "not kept: "),
    "through-links": ("config.yaml", "21", "written over: "),
    "waits": ("prompts/*.jsonl", "47", "hung: "),
}


@pytest.mark.parametrize("plant", PLANTED)
def test_planted_faults_are_found(plant: str) -> None:
    files, seed, wrong = PLANTED[plant]
    words = ["--rounds", "1", "--seed", seed, "--files", files, "--limit", "5"]
    code, said = torture(*words, "--plant", plant)
    assert code == 1 and wrong in said, said
    code, said = torture(*words)
    assert code == 0, said


def test_the_home_of_a_finding_is_kept_and_can_be_lived_with_again(tmp_path: Path) -> None:
    words = ["--rounds", "1", "--seed", "31", "--files", "letta.db", "--plant", "no-mending", "--keep", str(tmp_path)]
    assert torture(*words)[0] == 1
    code, said = torture("--again", str(tmp_path / "seed-31"))
    assert code == 0, said
    assert "letta.db is damaged" in said
