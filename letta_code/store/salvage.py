"""Salvage: conversations read back from their readable mirrors, line by line, each checked."""

from __future__ import annotations

from pathlib import Path

import msgspec

from letta_code.core.messages import Value
from letta_code.host.files import open_regular
from letta_code.store.mirror import StoredRow, from_line


class MirrorProblem(Value, frozen=True):
    """A part of a mirror that could not be used: `line` counts from 1."""

    line: int
    text: str


def read_mirror(path: Path) -> tuple[list[StoredRow], list[MirrorProblem]]:
    """Every whole event of a mirror in the order of seq, and what was set aside; changes nothing.

    Of several lines with one seq the last counts (an event is written again after a damaged line).  Gaps in seq are
    problems at the line after them.  Raises `OSError`.
    """
    rows: dict[int, StoredRow] = {}
    problems: list[MirrorProblem] = []
    expected = 1
    with open_regular(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                row = from_line(line.removesuffix(b"\n"))
            except (ValueError, msgspec.DecodeError) as error:
                problems.append(MirrorProblem(line=number, text=str(error)))
                continue
            if row.seq > expected:
                problems.append(MirrorProblem(line=number, text=f"events {expected} to {row.seq - 1} are missing"))
            expected = max(expected, row.seq + 1)
            rows[row.seq] = row
    return [rows[seq] for seq in sorted(rows)], problems


def find_in_mirror(path: Path, seq: int) -> StoredRow | None:
    """One event of a mirror; None when it is not there or damaged there too."""
    try:
        rows, _ = read_mirror(path)
    except OSError:
        return None
    return next((row for row in rows if row.seq == seq), None)
