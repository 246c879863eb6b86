"""Wording: times, tokens and money as people read them; no command of its own."""

from __future__ import annotations

import calendar
import time


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
