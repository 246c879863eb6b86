"""Three-way merge by lines: what two edits of one text make together."""

from __future__ import annotations

from collections.abc import Sequence

from letta_code.core.messages import Value


class Merged(Value):
    """The merged text; `conflicts` counts the places where both changed the same lines differently (ours stand)."""

    text: str
    conflicts: int = 0


def merged(base: str, ours: str, theirs: str) -> Merged:
    """Merge two changes of `base`.  Lines that both added at one place are all kept, ours first."""
    if theirs in (ours, base):
        return Merged(text=ours)
    if ours == base:
        return Merged(text=theirs)
    b, o, t = base.split("\n"), ours.split("\n"), theirs.split("\n")
    lines, conflicts = _merged_lines(b, o, t)
    return Merged(text="\n".join(lines), conflicts=conflicts)


def _merged_lines(b: Sequence[str], o: Sequence[str], t: Sequence[str]) -> tuple[list[str], int]:
    out: list[str] = []
    conflicts = 0
    at_b = at_o = at_t = 0
    for next_b, next_o, next_t, size in _anchors(b, o, t):
        region = (b[at_b:next_b], o[at_o:next_o], t[at_t:next_t])
        lines, clash = _region(*region)
        out += lines
        conflicts += clash
        out += b[next_b : next_b + size]
        at_b, at_o, at_t = next_b + size, next_o + size, next_t + size
    return out, conflicts


def _anchors(b: Sequence[str], o: Sequence[str], t: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """Runs of lines that all three have: start in each, and length; the last is empty and stands at the ends."""
    from difflib import SequenceMatcher

    ours = SequenceMatcher(None, b, o, autojunk=False).get_matching_blocks()
    theirs = SequenceMatcher(None, b, t, autojunk=False).get_matching_blocks()
    found: list[tuple[int, int, int, int]] = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        start = max(ours[i].a, theirs[j].a)
        end = min(ours[i].a + ours[i].size, theirs[j].a + theirs[j].size)
        if start < end:
            found.append((start, start - ours[i].a + ours[i].b, start - theirs[j].a + theirs[j].b, end - start))
        if ours[i].a + ours[i].size < theirs[j].a + theirs[j].size:
            i += 1
        else:
            j += 1
    return [*found, (len(b), len(o), len(t), 0)]


def _region(b: Sequence[str], o: Sequence[str], t: Sequence[str]) -> tuple[Sequence[str], int]:
    if len(b) == len(o) == len(t) > 1:  # each changed lines in place: neighbouring items of a list are no conflict
        parts = [_region([x], [y], [z]) for x, y, z in zip(b, o, t, strict=True)]
        return [line for lines, _ in parts for line in lines], sum(clash for _, clash in parts)
    if list(o) == list(t) or list(t) == list(b):
        return o, 0
    if list(o) == list(b):
        return t, 0
    if not b:  # both added lines at one place: nothing is lost by keeping all
        return [*o, *(line for line in t if line not in o or not line)], 0
    return _around(b, o, t) or _around(b, t, o) or (o, 1)


def _around(b: Sequence[str], added: Sequence[str], changed: Sequence[str]) -> tuple[Sequence[str], int] | None:
    """One side only added lines before or after what the other changed: both stand (a list that grew at its end)."""
    size = len(b)
    if list(added[:size]) == list(b):
        return [*changed, *added[size:]], 0
    if list(added[-size:]) == list(b):
        return [*added[:-size], *changed], 0
    return None
