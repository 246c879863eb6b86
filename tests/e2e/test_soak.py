"""`scripts/torture/soak` gives its figures, and finds memory that only grows; a short soak says nothing about gates."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

FIGURES = {"memory", "descriptors", "threads", "idle", "log", "uncompacted", "failed", "errors"}
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the torture reads /proc")
SHORT = ("--turns", "90", "--every", "2", "--idle", "1")


def _begun(repository: Path, *arguments: str) -> subprocess.Popen[str]:
    script = repository / "scripts" / "torture" / "_soak.py"
    command = [sys.executable, str(script), *SHORT, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _figures(process: subprocess.Popen[str]) -> tuple[dict[str, float], str]:
    """The figures of its table, and all of it; its end is awaited."""
    try:
        table, told = process.communicate(timeout=200)
    finally:
        process.terminate()
    assert process.returncode in (0, 1), told
    found = re.findall(r"^([a-z]+) +(-?[\d.]+)   at most", table, re.MULTILINE)
    return {name: float(figure) for name, figure in found}, table


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_all_figures_are_there_and_memory_that_grows_is_found(repository: Path) -> None:
    of_sound, table = _figures(_begun(repository))
    for _ in range(3):  # what the beginning takes differs by more than 50 MB from one run to the next
        of_leaking, leaked = _figures(_begun(repository, "--plant", "leak"))
        if of_leaking["memory"] > of_sound["memory"] + 100:
            break
    assert set(of_sound) == set(of_leaking) == FIGURES, table
    assert re.match(r"\d+ turns in \d+ s, [1-9]\d* compactions, 20 resizes", table)
    assert of_sound["failed"] == of_sound["errors"] == of_sound["uncompacted"] == 0, table
    # Both have just begun, which takes memory of its own: the planted growth is told by what is above that.
    assert of_leaking["memory"] > of_sound["memory"] + 100, (table, leaked)
    for shown in (table, leaked):  # so few turns are no soak: the one is not called sound, nor the other leaking
        assert re.search(r"^memory .* too short to judge ", shown, re.MULTILINE), shown


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_core_alone_without_a_screen(repository: Path) -> None:
    process = _begun(repository, "--face", "print")
    figures, table = _figures(process)
    assert set(figures) == FIGURES and figures["failed"] == figures["errors"] == figures["uncompacted"] == 0, table


@pytest.mark.parametrize(
    ("turns", "growth", "verdict", "failures"),
    [
        (1_999, 1.0, "too short to judge", []),
        (2_000, 1.0, "TOO MUCH", ["memory"]),
        (2_000, 0.0, "ok", []),
        (1_999, 0.0, "too short to judge", []),
    ],
)
def test_memory_is_judged_where_there_were_turns_enough(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    turns: int,
    growth: float,
    verdict: str,
    failures: list[str],
) -> None:
    monkeypatch.syspath_prepend(str(repository / "scripts" / "torture"))
    import _soak  # type: ignore[import-not-found]  # a script, found by the path above

    chosen = argparse.Namespace(turns=turns, every=2, idle=1.0, seed=1, face="tui", plant="none")
    soak = _soak.Soak(tmp_path, chosen)
    monkeypatch.setattr(_soak.Soak, "served", turns)
    soak.figures = dict.fromkeys(_soak.GATES, 0.0) | {"memory": growth * 720}
    soak.looks = [
        _soak.Look(turns=number, memory=100 + growth * number, descriptors=9, threads=9) for number in range(4)
    ]
    assert soak.failures == failures
    assert re.search(rf"^memory .* {verdict} ", soak.table(), re.MULTILINE), soak.table()


def test_what_has_grown_by_then_is_no_slope(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(repository / "scripts" / "torture"))
    from _soak import Look, slope  # type: ignore[import-not-found]  # a script, found by the path above

    level = [Look(turns=turns, memory=150.0, descriptors=9, threads=9) for turns in (200, 400, 600)]
    assert slope(level) == 0
    rising = [look._replace(memory=look.memory + look.turns / 100) for look in level]
    assert slope(rising) * 1000 == pytest.approx(10.0)
