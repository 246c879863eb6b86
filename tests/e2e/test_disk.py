"""The torture of the disk, in small: clean as it is, and it finds the faults that are planted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def torture(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/torture/_disk.py"), "--processes", "1", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_failing_disk_leaves_nothing_half_written_and_the_run_goes_on() -> None:
    code, said = torture("--points", "12", "--no-real")
    assert "12 faults in a scenario of" in said
    assert code == 0, said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "wrong"),
    [("in-place", "half: "), ("gives-up", "crashed: "), ("swallowed", "lost: "), ("forgets", "silent: ")],
)
def test_planted_faults_are_found(plant: str, wrong: str) -> None:
    code, said = torture("--points", "8", "--no-real", "--plant", plant)
    assert code == 1, said
    assert wrong in said


def test_a_torture_that_tried_nothing_does_not_say_that_all_is_well() -> None:
    code, said = torture("--where", "nosuchfile", "--no-real")
    assert (code, "Nothing was tried" in said) == (2, True), said
    code, said = torture("--kinds", "nosuchkind", "--no-real")
    assert (code, "no such kind: nosuchkind" in said) == (2, True), said


def test_a_full_small_filesystem_pauses_the_run_which_goes_on_when_there_is_room() -> None:
    code, said = torture("--points", "1")
    if "SKIPPED" in said:
        pytest.skip(said[said.index("SKIPPED") :].splitlines()[0])
    assert code == 0, said
    assert "waits for storage told: 0" not in said
