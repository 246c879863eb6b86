"""The adversarial table as it was played: `pytest -p tests.rows` prints, for each row, what held with which sandbox.

`scripts/adversarial` runs it.  A cell says what became of the row's inputs (denied, asked, allowed where the row says
so), or `holds` where a test asserted effects; `fails` where one did not pass.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Generator
from typing import Any

import pytest

SANDBOXES = ("bubblewrap", "landlock", "off")
ANY = "any"
_WORDS = {"deny": "denied", "ask": "asked", "allow": "allowed"}
_ROW = re.compile(r"[A-M]\d\d")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note the rows of a test and the sandbox that it was played with."""
    report = yield
    marks = [row for mark in item.iter_markers("row") for row in mark.args]
    if marks and (report.when == "call" or report.failed):
        report.user_properties.append(("rows", [marks, _sandbox(item)]))
    return report


def _sandbox(item: pytest.Item) -> str:
    chosen = getattr(getattr(item, "callspec", None), "params", {}).get("sandbox", "")
    named = next((name for name in SANDBOXES if name in item.path.name), ANY)
    return str(chosen or named)


class Table:
    """What was played, by row and sandbox."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], set[str]] = defaultdict(set)

    def take(self, report: pytest.TestReport) -> None:
        """One test's report."""
        for name, value in report.user_properties:
            if name == "rows" and not report.skipped:
                rows, sandbox = value  # type: ignore[misc]
                for row in rows:
                    self.cells[row, sandbox].add("fails" if report.failed else "holds")
            elif _ROW.fullmatch(name):
                sandbox, verdict = str(value).split(":")
                self.cells[name, sandbox].add(_WORDS[verdict])

    def lines(self) -> Generator[str]:
        """Markdown."""
        yield "| row | bubblewrap | Landlock alone | neither |"
        yield "| --- | --- | --- | --- |"
        for row in sorted({row for row, _ in self.cells}):
            yield f"| {row} | " + " | ".join(self._cell(row, sandbox) for sandbox in SANDBOXES) + " |"

    def _cell(self, row: str, sandbox: str) -> str:
        found = self.cells.get((row, sandbox), set()) | self.cells.get((row, ANY), set())
        if "fails" in found:
            return "**fails**"
        order = ("denied", "asked", "allowed", "holds")
        return ", ".join(word for word in order if word in found and (word != "holds" or len(found) == 1)) or "–"


_table = Table()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect."""
    _table.take(report)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print."""
    terminalreporter.write_line("")
    for line in _table.lines():
        terminalreporter.write_line(line)
