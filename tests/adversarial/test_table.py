"""Each row of the adversarial table is played by a test or waits for its feature, and says so."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rows import COMMANDS, plan_in, wanting

LAST = {"A": 8, "B": 36, "C": 16, "D": 10, "E": 7, "F": 10, "G": 6, "H": 7, "I": 8, "J": 6, "K": 6, "L": 5, "M": 3}
ROWS = {f"{letter}{number:02}" for letter, last in LAST.items() for number in range(1, last + 1)}
PENDING = Path(__file__).with_name("pending.txt")


def played(folder: Path) -> set[str]:
    """The rows that tests name: `@pytest.mark.row("C04")` and the tables' `row("B01", …)`."""
    found: set[str] = set()
    for path in folder.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _is_row(node.func):
                found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant) and arg.value in ROWS}
    return found


def _is_row(function: ast.expr) -> bool:
    return (isinstance(function, ast.Attribute) and function.attr == "row") or (
        isinstance(function, ast.Name) and function.id == "row"
    )


def pending() -> dict[str, str]:
    """The rows that wait, and the feature's path."""
    lines = (line.split(maxsplit=1) for line in PENDING.read_text().splitlines() if line and not line.startswith("#"))
    return dict(lines)


def test_every_row_is_played_or_waits(repository: Path) -> None:
    assert len(ROWS) == 128
    rows, waiting = played(repository / "tests"), pending()
    assert sorted(ROWS - rows - set(waiting)) == []
    assert sorted(rows & set(waiting)) == []  # what is played does not wait any more


def test_a_row_waits_only_while_its_feature_is_not_there(repository: Path) -> None:
    assert [row for row, path in pending().items() if (repository / path).exists()] == []
    assert all(path.startswith("letta_code/") for path in pending().values())


@pytest.fixture(scope="module")
def plan(repository: Path) -> dict[str, list[str]]:
    """Row: the columns of the table in which it is played, by the marks and parameters of the tests."""
    files = [str(path) for path in sorted((repository / "tests").rglob("test_*.py")) if "mark.row(" in path.read_text()]
    options = ("-p", "tests.rows", "-p", "no:xdist", "--collect-only", "-q", "-m", "row")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=repository, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return plan_in(done.stdout)


def test_every_row_is_played_with_each_sandbox_or_runs_no_command(plan: dict[str, list[str]]) -> None:
    assert {*plan} == ROWS - {*pending()}
    assert wanting(plan) == []


def test_a_row_that_is_played_with_less_is_found(plan: dict[str, list[str]]) -> None:
    assert wanting({**plan, "B01": ["none"]}) == ["B01 runs commands, and is played with no sandbox"]
    assert wanting({**plan, "K02": ["bubblewrap", "none"]}) == ["K02 is played with bubblewrap only"]
    assert wanting({row: columns for row, columns in plan.items() if row != "J01"}) == ["J01 is not played"]
    assert COMMANDS <= ROWS
