"""A conversation of 2,000 messages goes through many compactions and loses nothing; planted faults are found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


def torture(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(repository / "scripts/torture/_compact.py"), *words],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
def test_two_thousand_messages_go_through_many_compactions(repository: Path) -> None:
    done = torture(repository, "2000")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = dict(re.findall(r"^(\w+) +([\d,]+)", done.stdout, re.MULTILINE))
    assert int(figures["messages"].replace(",", "")) >= 2_000
    assert int(figures["compactions"]) >= 10
    assert int(re.findall(r"(\d+) processes killed in the middle of a compaction", done.stdout)[0]) >= 3
    assert "by summary" in done.stdout and "by cut" in done.stdout, "good summaries and failed ones"


@pytest.mark.slow
def test_nothing_wedges_when_every_summary_fails(repository: Path) -> None:
    done = torture(repository, "600", "--summaries", "fails")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "by summary" not in done.stdout


@pytest.mark.slow
def test_requests_without_room_are_said_to_be_cut_and_are_found(repository: Path) -> None:
    # The head (instructions, tools, memory) is 3,900 tokens of it.
    done = torture(repository, "400", "--limit", "7300")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^cut +[1-9]", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.slow
def test_a_torture_with_too_few_compactions_fails(repository: Path) -> None:
    done = torture(repository, "400", "--limit", "190000")
    assert done.returncode == 1
    assert re.search(r"^too few +1", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "found"),
    [
        ("no-check", "lost"),
        ("anywhere", "lost"),
        ("short-requests", "lost"),
        ("late", "over"),
        ("moving-head", "rewritten"),
        ("torn", "unbalanced"),
        ("no-fallback", "wedged"),
        ("evicted-for-good", "not found"),
        ("eager", "in vain"),
        ("forgetful-resume", "differs"),
    ],
)
def test_a_planted_fault_is_found(repository: Path, plant: str, found: str) -> None:
    done = torture(repository, "300", "--plant", plant)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"^{found} +[1-9]", done.stdout, re.MULTILINE), done.stdout
