"""A change of one file: unified, with line numbers and syntax colours."""

from __future__ import annotations

import re

from textual.content import Content
from textual.widget import Widget

from letta_code.core.display import DiffBlock
from letta_code.tui.blocks import line, render
from letta_code.tui.blocks.code import CodeView, Row
from letta_code.tui.clean import cap_lines, clean

_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@ ?(.*)")
PREVIEW_ROWS = 24


@render.register
def diff(block: DiffBlock, full: bool) -> Widget:
    """The changed lines; the first of them unless `full`."""
    rows = diff_rows(block.diff)
    if not rows:
        return line({"deleted": "deleted", "renamed": "renamed"}.get(block.status, "no change of text"))
    shown = rows if full or len(rows) <= PREVIEW_ROWS + 3 else rows[:PREVIEW_ROWS]
    hidden = len(rows) - len(shown) + block.cut
    return CodeView(shown, path=block.path, footer=f"… {hidden:,} more lines" if hidden else "")


def diff_rows(text: str) -> list[Row]:
    """The lines of a unified diff with their numbers: old ones for removed lines, new ones for the others."""
    rows: list[Row] = []
    old = new = 0
    settings = False  # of a memory block: they are no lines of its text, and have no numbers
    for raw in cap_lines(clean(text)).rstrip("\n").split("\n"):
        hunk = _HUNK.match(raw)
        if hunk:
            old, new = int(hunk[1]), int(hunk[2])
            settings = hunk[3] == "settings" and not (old or new)
            if rows and not settings:
                rows.append(Row("hunk", "", Content.styled(hunk[3], "$foreground 75%")))
            continue
        sign, body = raw[:1], Content(raw[1:].replace("\t", "    "))
        if sign == "+":
            rows.append(Row("added", "" if settings else str(new), body))
            new += 1
        elif sign == "-":
            rows.append(Row("removed", "" if settings else str(old), body))
            old += 1
        elif sign == "\\":
            rows.append(Row("hunk", "", Content.styled(raw, "$foreground 75%")))
        elif raw or rows:
            rows.append(Row("same", "" if settings else str(new), body))
            old, new = old + 1, new + 1
    return rows


def counts(block: DiffBlock) -> Content:
    """`+3 −1` in the colours of the diff."""
    parts: list[tuple[str, str]] = []
    if block.added:
        parts.append((f"+{block.added}", "$text-success"))
    if block.removed:
        parts.append((f"{' ' if parts else ''}−{block.removed}", "$text-error"))
    return Content.assemble(*parts)
