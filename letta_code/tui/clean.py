"""Clean: what models, tools and files wrote, made fit to draw: no terminal controls, no hidden direction changes."""

from __future__ import annotations

from letta_code.safety.terminal import readable


def clean(text: str) -> str:
    """The text without terminal sequences and control characters; hidden characters show as `‹U+202E›`.

    Newlines and tabs stay; a carriage return becomes a newline.
    """
    return readable(text)


def clean_line(text: str) -> str:
    """As `clean`, on one line."""
    return " ".join(clean(text).split())


def clean_output(text: str) -> str:
    """As `clean`, with a carriage return as terminals mean it: what follows overwrites the line (progress bars)."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return clean(text)


def cap_lines(text: str, width: int = 2000) -> str:
    """Lines longer than `width` characters are cut, with the number of characters left out."""
    if len(text) <= width:
        return text
    return "\n".join(
        line if len(line) <= width else f"{line[:width]}… ({len(line) - width:,} more characters)"
        for line in text.split("\n")
    )


def head_and_tail(lines: list[str], head: int, tail: int) -> tuple[list[str], int, list[str]]:
    """The first and last lines, and how many stand between them; all in the first list when they are few."""
    hidden = len(lines) - head - tail
    if hidden <= 1:
        return lines, 0, []
    return lines[:head], hidden, lines[-tail:] if tail else []
