"""Outline: what stands for evicted messages when no model made a summary: their first and last lines, in a budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from letta_code.agent.transcript import Entry, shortened
from letta_code.core.messages import Value

_PERSON, _ANSWER, _CALL = 400, 160, 100  # characters: of what a person said, of a line of an answer, of a line else
_TITLE = "# What was said and done"
_MORE = "({} lines more, not shown)"
_MORE_LINE = re.compile(r"\((\d+) lines more, not shown\)")
_OLD_TITLE = "# What was kept of before that"
_OLD_SHARE = 0.75  # of the room may be the summary that stood there before: whole as long as it fits
_PERSON_SHARE = 0.6  # of the rest may be the person's words


class _Line(Value):
    order: int
    text: str
    cost: int
    person: bool


def outline(entries: Sequence[Entry], before: str, count: Callable[[str], int], budget: int) -> str:
    """The newest entries as a line each, as many as have room, behind the summary that stood there before.

    Where an outline stood there, its own summary stays and its lines count as older entries.
    """
    parts: list[str] = []
    summary, older = _parted(before)
    if summary:
        parts.append(f"{_OLD_TITLE}\n{_fitted(summary, count, int(budget * _OLD_SHARE))}")
        budget -= count(parts[0])
    budget -= count(_TITLE) + count(_MORE.format(len(entries) + 10_000)) + 2
    hidden = sum(int(found[1]) for line in older if (found := _MORE_LINE.fullmatch(line)))
    known = [_again(line, at, count) for at, line in enumerate(older) if not _MORE_LINE.fullmatch(line)]
    lines = [*known, *(_line(entry, order, count) for order, entry in enumerate(entries, len(older)))]
    persons = _newest([line for line in lines if line.person], int(budget * _PERSON_SHARE))
    left = budget - sum(line.cost for line in persons)
    others = _newest([line for line in lines if not line.person], left)
    shown = sorted([*persons, *others], key=lambda line: line.order)
    if shown:
        dropped = len(lines) - len(shown) + hidden
        more = [_MORE.format(dropped)] if dropped else []
        parts.append("\n".join([_TITLE, *more, *(line.text for line in shown)]))
    return "\n\n".join(parts)


def _parted(before: str) -> tuple[str, list[str]]:
    """The summary in what stood there before, and the lines of an outline behind it."""
    if before.startswith(f"{_TITLE}\n"):
        return "", before.split("\n")[1:]
    if not before.startswith(f"{_OLD_TITLE}\n"):
        return before, []
    summary, _, lines = before.removeprefix(f"{_OLD_TITLE}\n").partition(f"\n\n{_TITLE}\n")
    return summary, lines.split("\n") if lines else []


def _again(text: str, order: int, count: Callable[[str], int]) -> _Line:
    return _Line(order=order, text=text, cost=count(text) + 1, person="] person: " in text[:24])


def _newest(lines: Sequence[_Line], budget: int) -> list[_Line]:
    chosen: list[_Line] = []
    for line in reversed(lines):
        budget -= line.cost
        if budget < 0:
            break
        chosen.append(line)
    return chosen


def _line(entry: Entry, order: int, count: Callable[[str], int]) -> _Line:
    person = entry.who == "person"
    if person:
        text = shortened(" ".join(entry.text.split()), _PERSON)
    else:
        text = _ends(entry.text, _ANSWER if entry.who == "agent" else _CALL)
    text = Entry(seq=entry.seq, who=entry.who, text=text).rendered()
    return _Line(order=order, text=text, cost=count(text) + 1, person=person)


def _ends(text: str, limit: int) -> str:
    """The first line, and the last: there an output tells how it ended."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    first, last = (line if len(line) <= limit else f"{line[:limit]} …" for line in (lines[0], lines[-1]))
    return first if len(lines) == 1 else f"{first} {'…' if len(lines) > 2 else '/'} {last}"


def _fitted(text: str, count: Callable[[str], int], budget: int) -> str:
    """A text cut in its middle until it is within the budget."""
    limit = len(text)
    while limit > 40 and count(shortened(text, limit)) > budget:
        limit = limit * 3 // 4
    return shortened(text, limit)
