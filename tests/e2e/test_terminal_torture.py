"""`scripts/torture/terminal` finds nothing in a sound program, and finds the faults that are planted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

WRONGS = ("left over", "not ended", "exit code", "terminal", "screen", "conversation", "not resumed", "not going on")


def _torture(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = repository / "scripts" / "torture" / "_terminal.py"
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def _figures(output: str) -> dict[str, int]:
    found = re.findall(r"^([a-z][a-z ]+?) {2,}(\d+)(?:   .*)?$", output, re.MULTILINE)
    return {name: int(count) for name, count in found}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("arguments", "counted"),
    [
        (("--only", "ends", "--faces", "screen"), {"ends in a run": 7, "ends while idle": 5}),
        (("--only", "ends", "--faces", "plain,print"), {"ends in a run": 8}),
        (("--only", "stops", "--stops", "5"), {"stops while idle": 5, "stops in a run": 5, "stops from outside": 6}),
        (("--only", "resizes", "--resizes", "20"), {"resizes": 40}),
    ],
    ids=["ends of the screen", "ends of the others", "stops", "resizes"],
)
def test_nothing_is_left_and_all_is_restored(
    repository: Path, arguments: tuple[str, ...], counted: dict[str, int]
) -> None:
    done = _torture(repository, *arguments)
    figures = _figures(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name: figures[name] for name in counted} == counted
    assert [figures[name] for name in WRONGS] == [0] * len(WRONGS)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("fault", "arguments", "found"),
    [
        ("children-left", ("--faces", "print"), "left over"),
        ("raw-left", ("--stops", "1"), "terminal"),
        ("not-drawn", ("--stops", "1"), "screen"),
        ("textuals-driver", ("--faces", "screen"), "not ended"),
    ],
)
def test_a_planted_fault_is_found(repository: Path, fault: str, arguments: tuple[str, ...], found: str) -> None:
    done = _torture(repository, *arguments, "--plant", fault)
    assert done.returncode == 1, done.stdout + done.stderr
    assert _figures(done.stdout)[found] > 0, done.stdout


def test_a_torture_that_tried_nothing_does_not_say_that_all_is_well(repository: Path) -> None:
    unknown = _torture(repository, "--only", "ends", "--faces", "tui")
    assert (unknown.returncode, "no such face: tui" in unknown.stderr) == (2, True), unknown
    nothing = _torture(repository, "--only", "ends", "--faces", ",")
    assert (nothing.returncode, "Nothing was tried" in nothing.stdout) == (2, True), nothing
