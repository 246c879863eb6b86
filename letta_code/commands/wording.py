"""Wording: times, tokens, money and what became of the context as people read them; no command of its own."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterator

from letta_code.core.counts import many
from letta_code.core.events import ContextCompacted, ReflectionDone
from letta_code.safety.terminal import visible

_LABEL = re.compile(r'label="([^"]*)"')


def ago(at: str, now: float | None = None) -> str:
    """A UTC time (`2026-11-21T08:15:30.123Z`) seen from now: `just now`, `5 min ago`, `3 h ago`, else the date."""
    try:
        seconds = calendar.timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return at
    passed = (time.time() if now is None else now) - seconds
    if passed < 60:
        return "just now"
    if passed < 3600:
        return f"{passed / 60:.0f} min ago"
    if passed < 86_400:
        return f"{passed / 3600:.0f} h ago"
    local = time.localtime(seconds)
    return time.strftime("%Y-%m-%d %H:%M", local)


def tokens(count: int) -> str:
    """`940`, `12.3k`, `1.2M`."""
    if count < 1000:
        return str(count)
    if count < 999_950:
        return f"{count / 1000:.1f}k"
    return f"{count / 1_000_000:.1f}M"


def money(dollars: float | None) -> str:
    """US dollars with as many digits as tell something; `unknown` where no price is known."""
    if dollars is None:
        return "unknown"
    if dollars and dollars < 0.01:
        return f"${dollars:.4f}"
    return f"${dollars:.2f}"


def price(per_token: float | None) -> str:
    """A price a token as dollars a million tokens, "" where it is not known."""
    return "" if per_token is None else f"${per_token * 1_000_000:.2f}"


def columns(rows: list[tuple[str, ...]], *, right: tuple[int, ...] = ()) -> list[str]:
    """Rows as aligned lines; the columns in `right` end at the same place."""
    if not rows:
        return []
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines: list[str] = []
    for row in rows:
        cells = (cell.rjust(widths[at]) if at in right else cell.ljust(widths[at]) for at, cell in enumerate(row))
        lines.append("  ".join(cells).rstrip())
    return lines


def compacted(event: ContextCompacted) -> str:
    """What a compaction did: `Context compacted: 41,230 → 9,800 tokens, 212 messages summarised, …`."""
    parts: list[str] = []
    if event.tokens_before:
        parts.append(f"{event.tokens_before:,} → {event.tokens_after:,} tokens")
    if event.evicted:
        how = "summarised" if event.method == "summary" else "left out without a summary"
        parts.append(f"{many(event.evicted, 'message')} {how}")
    if kept := len(event.kept) + len(event.put_back):
        parts.append(f"{many(kept, 'item')} kept word for word")
    return "Context compacted" + (f": {', '.join(parts)}" if parts else "")


def reflected(event: ReflectionDone, verdict: str = "") -> str:
    """What a reflection came to."""
    changes = [block for block in event.blocks if block.__struct_config__.tag == "memory"]
    what = many(len(changes), "block") if changes else "memory"
    why = f": {event.why}" if event.why else ""
    match verdict or event.status:
        case "merged" if verdict:
            return f"Reflection: you took its change of {what} into memory"
        case "rejected":
            return f"Reflection: you rejected its change of {what}"
        case "merged":
            return f"Reflection changed {what}{why}"
        case "waiting":
            return f"Reflection proposes to change {what} and waits for you{why}"
        case "nothing":
            return "Reflection found nothing to keep"
        case "cancelled":
            return "Reflection was cut off; the next one reads the same again"
        case _:
            return f"Reflection failed: {event.error or 'no reason was given'}"


def reminded(text: str) -> str:
    """What the model was told of its memory, without the values: who changed which block."""
    found: list[str] = []
    lines = iter(text.split("\n")[1:])
    for line in lines:
        if line.startswith("<block "):  # what stands in a block says nothing about the edit
            _skip_block(lines)
        elif line.startswith("A block came"):
            label = _LABEL.search(next(lines, ""))
            found.append(f"`{label[1] if label else '?'}` is new{line.removeprefix('A block came').rstrip(':')}")
            _skip_block(lines)
        elif line.startswith("`"):
            found.append(line.removesuffix(":").partition(", and is now")[0].rstrip("."))
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more or "memory changed"


def _skip_block(lines: Iterator[str]) -> None:
    for line in lines:
        if line == "</block>":
            return


def plain_markdown(text: str) -> str:
    """A text that Markdown shows as it is, on one line."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in " ".join(visible(text).split()))
