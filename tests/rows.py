"""The adversarial table as it was played: `pytest -p tests.rows` prints, for each row, what held with which sandbox.

`scripts/adversarial` runs it.  A cell says what became of the row's inputs (denied, asked, allowed where the row says
so), and `holds` where they ran, or are no commands, and a test asserted what came of them; `fails` where one did not
pass, `–` where it could not be played here.
A test counts for the sandbox that it was played with, never for another one; the fourth column is of tests in which
no command runs.  With `--collect-only` it prints what would be played.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping
from typing import Any

import pytest

from tests.sandboxes import SANDBOXES, chosen

NONE = "none"  # no command runs: a screen, a parser, a file tool, our own reads of git
COLUMNS = (*SANDBOXES, NONE)
# Rows whose input is a command, or which expect a sandbox to stop it (S): played with each, whatever else there is.
COMMANDS = frozenset(
    [
        *("A01", "A02", "A03", *(f"B{number:02}" for number in range(1, 37)), "C09", "C10", "C11", "D04", "D05", "D09"),
        *("E01", "E06", "E07", "F01", "F02", "F08", "H01", "H06", "I01", "I02", "J01", "J03", "J04", "J05"),
        *("K01", "K02", "K03", "M01"),
    ]
)
_WORDS = {"deny": "denied", "ask": "asked", "allow": "allowed"}
_ROW = re.compile(r"[A-M]\d\d")
_PLAN = "plan: "


def places(item: pytest.Item) -> list[tuple[str, str]]:
    """The rows that a test plays, each with its column.

    That is the `sandbox` of the mark (a test that makes its own, or runs in mode full), else of the test's parameters.
    """
    given = getattr(getattr(item, "callspec", None), "params", {}).get("sandbox", "")
    given = given or ("bubblewrap" if item.path.name.startswith("test_bubblewrap") else NONE)
    return [
        (str(row), chosen(str(mark.kwargs.get("sandbox", given))))
        for mark in item.iter_markers("row")
        for row in mark.args
    ]


def wanting(plan: Mapping[str, Iterable[str]]) -> list[str]:
    """What is wrong with a plan (row: columns), a line each: every row is played with all three or needs none."""
    wrong: list[str] = []
    for row, columns in sorted(plan.items()):
        played = {*columns} & {*SANDBOXES}
        if row in COMMANDS and not played:
            wrong.append(f"{row} runs commands, and is played with no sandbox")
        elif played and played != {*SANDBOXES}:
            wrong.append(f"{row} is played with {', '.join(sorted(played))} only")
    return [*wrong, *(f"{row} is not played" for row in sorted(COMMANDS - {*plan}))]


def plan_in(printed: str) -> dict[str, list[str]]:
    """The plan out of what `--collect-only` printed."""
    lines = [line.removeprefix(_PLAN).split() for line in printed.splitlines() if line.startswith(_PLAN)]
    return {row: columns for row, *columns in lines}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note the rows of a test, the sandbox that it was played with, and what became of them."""
    report = yield
    if report.failed:
        words = {"fails"}
    elif report.when != "call" or report.skipped:
        return report
    else:
        words = getattr(getattr(item, "funcargs", {}).get("stage"), "came_of", set[str]()) or {"ran"}
    told = {name for name, _ in item.user_properties} if not report.failed else set[str]()
    found = [(row, column, word) for row, column in places(item) for word in sorted(words) if row not in told]
    report.user_properties.append(("rows", found))
    return report


class Table:
    """What was played, by row and column."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], set[str]] = defaultdict(set)

    def take(self, report: pytest.TestReport) -> None:
        """One test's report."""
        for name, value in report.user_properties:
            if name == "rows":
                for row, column, word in value:  # type: ignore[attr-defined]
                    self.cells[row, column].add("holds" if word == "ran" else word)
            elif _ROW.fullmatch(name):
                sandbox, verdict = str(value).split(":")
                self.cells[name, sandbox].add(_WORDS[verdict])

    def lines(self) -> Generator[str]:
        """Markdown."""
        yield "| row | bubblewrap | Landlock alone | neither | where no sandbox plays a part |"
        yield "| --- | --- | --- | --- | --- |"
        for row in sorted({row for row, _ in self.cells}):
            yield f"| {row} | " + " | ".join(self._cell(row, column) for column in COLUMNS) + " |"

    def _cell(self, row: str, column: str) -> str:
        found = self.cells.get((row, column), set())
        if not found:
            return "–" if column != NONE and any((row, one) in self.cells for one in SANDBOXES) else ""
        if "fails" in found:
            return "**fails**"
        return ", ".join(word for word in ("denied", "asked", "allowed", "holds") if word in found)


_table = Table()
_planned: dict[str, set[str]] = defaultdict(set)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remember what would be played."""
    for item in session.items:
        for row, column in places(item):
            _planned[row].add(column)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect."""
    _table.take(report)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print."""
    terminalreporter.write_line("")
    planned = [f"{_PLAN}{row} {' '.join(sorted(columns))}" for row, columns in sorted(_planned.items())]
    for line in planned if config.option.collectonly else _table.lines():
        terminalreporter.write_line(line)
