"""Lines and their endings: where they are, how they are numbered, which ending a changed line takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from letta_code.tools.text.coding import visible

# The three line endings. U+2028, form feed and the like are characters as any other.
_BREAK = re.compile(r"\r\n|\r|\n")
_GIVEN_BREAK = re.compile(r"\r\n|\n")  # in what a model writes, a lone CR is meant as such

LINE_LIMIT = 2_000  # characters of one line that are shown

Surroundings: TypeAlias = Callable[[], str]  # finds the ending near a place, asked only when needed


def mark_of(text: str) -> str:
    """The character that ends a line for counting: LF as grep and editors count, CR only where there is no LF."""
    return "\r" if "\n" not in text and "\r" in text else "\n"


def lines_of(text: str) -> list[str]:
    """Lines without their endings; a final line ending does not open another line."""
    parts = text.split(mark_of(text))
    if parts[-1] == "":
        parts.pop()
    if "\r" in text:
        return [part.removesuffix("\r") for part in parts]
    return parts


def line_at(text: str, position: int) -> int:
    """The number (from 1) of the line that a character stands in."""
    return text.count(mark_of(text), 0, position) + 1


def breaks_of(text: str) -> list[str]:
    """Every line ending, in order."""
    return _BREAK.findall(text)


def pieces_of(text: str) -> list[str]:
    """What stands between line endings of any kind: one piece more than there are endings."""
    return _BREAK.split(text) if "\r" in text else text.split("\n")


def unified(text: str) -> str:
    """The text with every line ending as LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def style_of(text: str) -> str:
    """The one ending that all lines have, "" where there is none or they differ."""
    if "\r" not in text:
        return "\n" if "\n" in text else ""
    pairs = text.count("\r\n")
    feeds = text.count("\n") - pairs
    returns = text.count("\r") - pairs
    counts = {"\r\n": pairs, "\n": feeds, "\r": returns}
    used = [ending for ending, count in counts.items() if count]
    return used[0] if len(used) == 1 else ""


def dominant(text: str) -> str:
    """The ending that most lines have; LF where there is none."""
    found = breaks_of(text)
    return max(("\n", "\r\n", "\r"), key=found.count) if found else "\n"


def style_note(text: str) -> str:
    """What a reader should know of the endings: "" for LF."""
    if "\r" not in text:
        return ""
    names = {"\r\n": "CRLF line endings", "\r": "CR line endings", "": "mixed line endings"}
    return names.get(style_of(text), "")


def with_endings(text: str, start: int, end: int, new: str) -> str:
    """`new` with the line endings that fit where `text[start:end]` stood.

    Lines that `new` shares with the replaced text (from its start, then from its end) keep their own ending; another
    takes the ending of the line that it replaces, else that of the line before it in `new`, else the next ending in
    the file, else the last one before.
    """
    if "\n" not in new:
        return new
    if "\r" not in text:
        return new.replace("\r\n", "\n")
    region = text[start:end]
    given = _GIVEN_BREAK.split(new)
    endings = fit(pieces_of(region)[:-1], breaks_of(region), given[:-1], lambda: near(text, start, end))
    return "".join(piece + ending for piece, ending in zip(given, [*endings, ""], strict=True))


def fit(old: Sequence[str], endings: Sequence[str], new: Sequence[str], surroundings: Surroundings) -> list[str]:
    """The ending of each new line, by the rule of `with_endings`; `old` are the replaced lines with their `endings`."""
    most = min(len(old), len(new))
    head = 0
    while head < most and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < most - head and old[len(old) - 1 - tail] == new[len(new) - 1 - tail]:
        tail += 1
    result = list(endings[:head])
    replaced = endings[head : len(endings) - tail]
    for index in range(len(new) - head - tail):
        if index < len(replaced):
            result.append(replaced[index])
        else:
            result.append(result[-1] if result else surroundings())
    return [*result, *endings[len(endings) - tail :]]


def near(text: str, start: int, end: int) -> str:
    """The next line ending from `end` on, else the last one before `start`, else LF."""
    after = _BREAK.search(text, end)
    if after:
        return after.group()
    before = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start))
    if before < 0:
        return "\n"
    return "\r\n" if text[max(before - 1, 0) : before + 1] == "\r\n" else text[before]


def numbered(lines: Sequence[str], first: int) -> str:
    """Lines as the model reads them: `12:text`; long ones are shortened before."""
    return "\n".join(f"{number}:{visible(line)}" for number, line in enumerate(lines, first))


def shortened(line: str, limit: int = LINE_LIMIT) -> str:
    """A line of at most `limit` characters and a note of how many more there are."""
    line = visible(line)
    return line if len(line) <= limit else f"{line[:limit]} […{len(line) - limit:,} more characters]"
