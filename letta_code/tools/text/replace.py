"""Exact replacement: where an old text stands, and the file's text with a new one in its place."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from letta_code.core.messages import Value
from letta_code.tools.text.lines import line_at, unified, with_endings

LISTED = 20  # places that an error lists


class Span(Value):
    """`text` stands in place of the characters from `start` to `end` of the old content."""

    start: int
    end: int
    text: str


class Places(Value):
    """Where an old text stands.

    `spans` are (start, end) in characters; for a single replacement overlapping places count too, and no more than
    `LISTED` + 1 are looked for.  `literal`: the line endings are as the model wrote them, not the file's.
    """

    spans: tuple[tuple[int, int], ...]
    literal: bool = False


def find(content: str, old: str, new: str, *, every: bool) -> Places:
    """Where `old` stands, any line ending of the file standing for the LF of `old`.

    A carriage return that the model wrote on both sides (or that is all that differs) is meant: then the search is
    literal where that finds something.  `every` gives the places of a replacement of all, which do not overlap.
    """
    if "\r" in old and ("\r" in new or unified(old) == unified(new)):
        spans = _search(content, old, every=every)
        if spans:
            return Places(spans=tuple(spans), literal=True)
    sought = unified(old)
    if "\r" not in content:
        return Places(spans=tuple(_search(content, sought, every=every)))
    spans = _search(unified(content), sought, every=every)
    if not spans:
        return Places(spans=())
    back = _positions(content)
    return Places(spans=tuple((back(start), back(end)) for start, end in spans))


def _search(content: str, sought: str, *, every: bool) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    step = len(sought) if every else 1
    start = content.find(sought)
    while start >= 0 and (every or len(found) <= LISTED):
        found.append((start, start + len(sought)))
        start = content.find(sought, start + step)
    return found


def _positions(content: str) -> Callable[[int], int]:
    """From a position in the text with LF endings to the one in `content`: each CRLF before it adds one."""
    pairs: list[int] = []
    at = content.find("\r\n")
    while at >= 0:
        pairs.append(at - len(pairs))
        at = content.find("\r\n", at + 2)
    return lambda position: position + bisect_left(pairs, position)


def spans_for(content: str, places: Places, new: str) -> list[Span]:
    """What is put in each place, with the line endings of that place."""
    if places.literal:
        return [Span(start=start, end=end, text=new) for start, end in places.spans]
    return [Span(start=start, end=end, text=with_endings(content, start, end, new)) for start, end in places.spans]


def apply(content: str, spans: Sequence[Span]) -> str:
    """The content with every span in place; spans are in order and do not overlap."""
    parts: list[str] = []
    at = 0
    for span in spans:
        parts.append(content[at : span.start])
        parts.append(span.text)
        at = span.end
    parts.append(content[at:])
    return "".join(parts)


def line_list(content: str, places: Places) -> str:
    """The line numbers of the places, such as `3, 10, 44`."""
    lines = [str(line_at(content, start)) for start, _ in places.spans[:LISTED]]
    return ", ".join(lines) + (" and more" if len(places.spans) > LISTED else "")
