"""What an edit is told as, and how it looks: text with its numbers, settings beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Create, Describe, Edit, SetLimit, SetReadOnly
from letta_code.memory.outcome import SETTINGS_HUNK, BlockChange, Written
from letta_code.memory.provenance import Provenance
from letta_code.tui.blocks.diff import diff_rows


def change(home: Path, edit: Edit) -> BlockChange:
    written = Blocks(home, "agent-1").apply(edit, Provenance(source="user"))
    assert isinstance(written, Written)
    [found] = written.changes
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    change(tmp_path, Create(label="pets", value="A cat\nA dog", description="Animals.", limit=20_000))
    return tmp_path


def test_a_new_block_shows_its_text_and_nothing_else(tmp_path: Path) -> None:
    made = change(tmp_path, Create(label="pets", value="A cat\nA dog", description="Animals.", limit=20_000))
    assert [(row.kind, row.number, row.content.plain) for row in diff_rows(made.diff.diff)] == [
        ("added", "1", "A cat"),
        ("added", "2", "A dog"),
    ]
    assert (made.diff.added, made.diff.removed) == (2, 0)
    empty = change(tmp_path, Create(label="empty", description="For later."))
    assert [(row.number, row.content.plain) for row in diff_rows(empty.diff.diff)] == [("", "description: For later.")]


@pytest.mark.parametrize(
    ("edit", "told", "rows"),
    [
        (SetReadOnly(label="pets", read_only=True), "read-only now", [("added", "read_only: true")]),
        (
            SetLimit(label="pets", limit=900),
            "limit 20000 before",
            [("removed", "limit: 20000"), ("added", "limit: 900")],
        ),
        (
            Describe(label="pets", description="Cats."),
            "described anew",
            [("removed", "description: Animals."), ("added", "description: Cats.")],
        ),
    ],
    ids=["protect", "limit", "describe"],
)
def test_a_changed_setting_is_no_line_of_the_text(
    home: Path, edit: Edit, told: str, rows: list[tuple[str, str]]
) -> None:
    done = change(home, edit)
    assert told in done.told and "lines" not in done.told
    assert (done.diff.added, done.diff.removed) == (0, 0)
    assert done.diff.diff.startswith(SETTINGS_HUNK)
    drawn = diff_rows(done.diff.diff)
    assert [(row.kind, row.content.plain) for row in drawn if row.kind != "same"] == rows
    assert {row.number for row in drawn} == {""}


def test_what_is_no_longer_protected_is_told(home: Path) -> None:
    change(home, SetReadOnly(label="pets", read_only=True))
    assert "not read-only now" in change(home, SetReadOnly(label="pets", read_only=False)).told
