"""Memory news: an edit of a block in a few lines, as the side pane shows it for some seconds."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from letta_code.memory.outcome import BlockChange
from letta_code.tui.clean import clean, clean_line
from letta_code.tui.memory_authors import authors
from letta_code.tui.memory_look import Look, flashes
from letta_code.tui.widgets.memory_bar import QUIET, size

_BLOCKS = 3  # that are shown at a time
_LINES = 8  # of one block
_CHARACTERS = 160  # of one line
_STATUS = {"added": "new", "deleted": "deleted", "renamed": "renamed"}


def news_content(look: Look) -> Content:
    """What changed since the look before: who, and the lines that came and went; empty when there is nothing."""
    changes = flashes(look.changes)
    parts = [_change(change, look.here) for change in changes[:_BLOCKS]]
    if len(changes) > _BLOCKS:
        parts.append(Content.styled(f"… and {len(changes) - _BLOCKS} more blocks", QUIET))
    return Content("\n").join(parts)


def _change(change: BlockChange, here: str) -> Content:
    block = change.after
    status = _STATUS.get(change.diff.status, "")
    head = Content.assemble(
        (clean_line(change.label), "bold"),
        (f" {status}" if status else "", QUIET),
        *([("  "), size(block)] if block else []),
    )
    who = authors(change.by, here)
    lines = [head, *([Content.styled(who, QUIET)] if who else []), *_lines(change.diff.diff)]
    return Content("\n").join(lines)


def _lines(diff: str) -> Sequence[Content]:
    changed = [line for line in clean(diff).split("\n") if line[:1] in ("+", "-") and line[1:].strip()]
    shown = [_line(line) for line in changed[:_LINES]]
    if len(changed) > _LINES:
        shown.append(Content.styled(f"… {len(changed) - _LINES} more lines", QUIET))
    return shown


def _line(line: str) -> Content:
    text = line[1:] if len(line) <= _CHARACTERS else f"{line[1:_CHARACTERS]}…"
    added = line[0] == "+"
    return Content.styled(f"{'+' if added else '−'} {text}", "$text-success" if added else "$text-error")
