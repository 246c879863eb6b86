"""The torture of following, in small: all streams are the same, and faults planted into letta-code are found."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

# What each planted fault is found by.
FOUND = {
    "": (),
    "wake": ("call before its message",),
    "live": ("text holes", "text that is no beginning"),
    "again": ("repeated",),
    "late": ("text behind its message",),
    "foreign": ("foreign owner believed",),
    "draft": ("draft left standing",),
}
TOGETHER = 3  # each is four processes that mostly wait


def torture(repository: Path, plant: str) -> tuple[int, str]:
    """A planted fault may not be met in so short a time: it gets three runs to show itself."""
    script = repository / "scripts" / "torture" / "_follow.py"
    code, said = 0, ""
    for seed in ("3", "7", "11") if plant else ("3",):
        command = [sys.executable, str(script), "--seconds", "12", "--kills", "1", "--seed", seed, "--plant", plant]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
        code, said = done.returncode, done.stdout + done.stderr
        if code:
            break
    return code, said


def counted(said: str) -> dict[str, int]:
    """What was wrong, over both faces."""
    found: dict[str, int] = {}
    for what, count in re.findall(r"^  ([a-z ]+?) +(\d+)$", said, re.MULTILINE):
        found[what] = found.get(what, 0) + int(count)
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_streams_of_faces_that_are_killed_are_compared(repository: Path) -> None:
    with ThreadPoolExecutor(TOGETHER) as pool:
        told = dict(zip(FOUND, pool.map(lambda plant: torture(repository, plant), FOUND), strict=True))
    for plant, kinds in FOUND.items():
        code, said = told[plant]
        wrong = counted(said)
        assert len(wrong) == 10, said
        assert code == (1 if plant else 0), (plant, said)
        assert all(wrong[kind] for kind in kinds), (plant, said)
