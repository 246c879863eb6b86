"""The torture of following, in small: all streams are the same, and the faults that are planted are found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


def torture(repository: Path, *words: str) -> tuple[int, str]:
    script = repository / "scripts" / "torture" / "_follow.py"
    command = [sys.executable, str(script), "--seconds", "12", "--kills", "1", "--seed", "3", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    return done.returncode, done.stdout + done.stderr


def counted(said: str, what: str) -> list[int]:
    return [int(found) for found in re.findall(rf"^  {what} +(\d+)$", said, re.MULTILINE)]


@pytest.mark.slow
@pytest.mark.parametrize(("plant", "found"), [("", ""), ("event", "lost"), ("text", "text holes")])
def test_streams_of_faces_that_are_killed_are_compared(repository: Path, plant: str, found: str) -> None:
    code, said = torture(repository, "--plant", plant)
    assert code == (1 if plant else 0), said
    assert len(counted(said, "lost")) == 2, said
    for what in ("lost", "repeated", "different", "text holes", "text behind its message"):
        assert (sum(counted(said, what)) > 0) == (what == found), said
