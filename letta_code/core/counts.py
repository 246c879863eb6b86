"""Counts: a number with its noun, an amount of bytes."""

from __future__ import annotations


def many(count: int, what: str) -> str:
    """`1 message`, `2 messages`, `1,234 passages`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """Bytes as people read them: `940 B`, `12.3 kB`, `1.2 GB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
