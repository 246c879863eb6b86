"""The torture of blocks passes in small, and finds a planted fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("plant", "code"), [("", 0), ("told-first", 1), ("reset", 1)])
def test_blocks_are_tortured(repository: Path, plant: str, code: int) -> None:
    words = ["--kills", "4", *(["--plant", plant] if plant else [])]
    done = subprocess.run(
        [sys.executable, str(repository / "scripts/torture/_blocks.py"), *words],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "8 x 50 appends keep 400 lines" in done.stdout
    assert ("untold: app meanwhile" in done.stdout) == (plant == "reset")
