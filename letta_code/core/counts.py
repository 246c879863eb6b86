"""Counts: a number with its noun."""

from __future__ import annotations


def many(count: int, what: str) -> str:
    """`1 message`, `2 messages`, `1,234 passages`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
