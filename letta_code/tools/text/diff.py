"""Diffs of one file, made from what was replaced: the cost follows the change and not the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from letta_code.core.display import DiffBlock
from letta_code.core.messages import Value
from letta_code.tools.text.coding import visible
from letta_code.tools.text.lines import LINE_LIMIT, mark_of, unified
from letta_code.tools.text.replace import Span, apply

CONTEXT = 3
LINE_CAP = 600  # lines of one diff that are kept
FINE = 2_000  # lines on each side up to which lines are matched one by one


class _Group(Value):
    """Whole lines of the old text, from `start` to `end`, and what stands there now."""

    start: int
    end: int
    text: str
    first: int  # number of the first old line


def diff_block(path: str, content: str, spans: Sequence[Span], *, status: str = "modified") -> DiffBlock:
    """The change that spans make to a content."""
    lines: list[str] = []
    added = removed = moved = 0
    mark = mark_of(content)
    for group in _groups(content, spans):
        old, new = _split(content[group.start : group.end], mark), _split(group.text, mark)
        for kind, line in _hunks(old, new, group.first, group.first + moved):
            added += kind == "+"
            removed += kind == "-"
            lines.append(kind + line)
        moved += len(new) - len(old)
    cut = max(len(lines) - LINE_CAP, 0)
    text = "\n".join(lines[:LINE_CAP])
    return DiffBlock(path=path, diff=text, status=status, added=added, removed=removed, cut=cut)


def whole_diff(path: str, old: str, new: str, *, status: str = "modified") -> DiffBlock:
    """The change from one content to another."""
    return diff_block(path, old, [changed_span(old, new)] if old != new else [], status=status)


def added_block(path: str, content: str) -> DiffBlock:
    """A file that was not there."""
    lines = _split(content, mark_of(content))
    if not lines:
        return DiffBlock(path=path, diff="", status="added")
    text = [f"@@ -0,0 +{_range(1, 0, len(lines))} @@", *_marked("+", lines)]
    return DiffBlock(
        path=path,
        diff="\n".join(text[:LINE_CAP]),
        status="added",
        added=len(lines),
        cut=max(len(text) - LINE_CAP, 0),
    )


def deleted_block(path: str, content: str) -> DiffBlock:
    """A file that is no more."""
    block = added_block(path, content)
    lines = ["-" + line[1:] if line.startswith("+") else line for line in block.diff.split("\n")]
    if block.diff:
        lines[0] = f"@@ -{_range(1, 0, block.added)} +0,0 @@"
    return DiffBlock(path=path, diff="\n".join(lines), status="deleted", removed=block.added, cut=block.cut)


def changed_span(old: str, new: str) -> Span:
    """The smallest stretch of whole characters between a common beginning and a common end."""
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    return Span(start=head, end=len(old) - tail, text=new[head : len(new) - tail])


def _common(a: str, b: str) -> int:
    """Length of the common beginning: halving, since comparing slices is fast and comparing characters is not."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _groups(content: str, spans: Sequence[Span]) -> Iterator[_Group]:
    """Spans widened to whole lines with context; those that touch become one."""
    mark = mark_of(content)
    start = end = counted = 0
    first = 1
    waiting: list[Span] = []
    for span in spans:
        low, high = _line_start(content, span.start, mark), _line_end(content, span.end, mark)
        if waiting and low > end:
            yield _group(content, start, end, first, waiting)
            waiting = []
        if not waiting:
            start = low
            first += content.count(mark, counted, start)
            counted = start
        waiting.append(span)
        end = high
    if waiting:
        yield _group(content, start, end, first, waiting)


def _group(content: str, start: int, end: int, first: int, spans: Sequence[Span]) -> _Group:
    inner = [Span(start=span.start - start, end=span.end - start, text=span.text) for span in spans]
    return _Group(start=start, end=end, text=apply(content[start:end], inner), first=first)


def _line_start(content: str, position: int, mark: str) -> int:
    for _ in range(CONTEXT + 1):
        position = content.rfind(mark, 0, position)
        if position < 0:
            return 0
    return position + 1


def _line_end(content: str, position: int, mark: str) -> int:
    for _ in range(CONTEXT + 1):
        position = content.find(mark, position) + 1
        if position == 0:
            return len(content)
    return position


def _split(text: str, mark: str) -> list[str]:
    """Lines with LF endings; a last line without one keeps none, so that it differs from one that has it."""
    lines = (unified(text) if mark == "\r" else text.replace("\r\n", "\n")).split("\n")
    last = lines.pop()
    ended = [line + "\n" for line in lines]
    return [*ended, last] if last else ended


def _hunks(old: list[str], new: list[str], old_first: int, new_first: int) -> Iterator[tuple[str, str]]:
    """Lines of the hunks as (kind, text); the kind of a hunk's header is `@`."""
    for group in _opcodes(old, new):
        i1, i2, j1, j2 = group[0][1], group[-1][2], group[0][3], group[-1][4]
        before, after = _range(old_first, i1, i2), _range(new_first, j1, j2)
        yield "@", f"@ -{before} +{after} @@"
        for tag, a1, a2, b1, b2 in group:
            if tag == "equal":
                yield from ((line[0], line[1:]) for line in _marked(" ", old[a1:a2]))
                continue
            yield from ((line[0], line[1:]) for line in _marked("-", old[a1:a2]))
            yield from ((line[0], line[1:]) for line in _marked("+", new[b1:b2]))


def _range(first: int, start: int, stop: int) -> str:
    length = stop - start
    begin = first + start - (length == 0)  # an empty range names the line before it
    return f"{begin}" if length == 1 else f"{begin},{length}"


def _marked(kind: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        body = visible(line.removesuffix("\n"))
        yield kind + (body if len(body) <= LINE_LIMIT else body[:LINE_LIMIT] + "…")
        if not line.endswith("\n"):
            yield "\\ No newline at end of file"


Opcode = tuple[str, int, int, int, int]


def _opcodes(old: list[str], new: list[str]) -> Iterator[list[Opcode]]:
    from difflib import SequenceMatcher

    most = min(len(old), len(new))
    head = 0
    while head < most and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < most - head and old[len(old) - 1 - tail] == new[len(new) - 1 - tail]:
        tail += 1
    middle_old, middle_new = len(old) - head - tail, len(new) - head - tail
    if not middle_old and not middle_new:
        return
    if middle_old and middle_new and max(middle_old, middle_new) <= FINE:
        yield from SequenceMatcher(None, old, new).get_grouped_opcodes(CONTEXT)
        return
    before, after = min(head, CONTEXT), min(tail, CONTEXT)
    i1, i2, j1, j2 = head, head + middle_old, head, head + middle_new
    tag = "replace" if middle_old and middle_new else "delete" if middle_old else "insert"
    whole: list[Opcode] = [
        ("equal", i1 - before, i1, j1 - before, j1),
        (tag, i1, i2, j1, j2),
        ("equal", i2, i2 + after, j2, j2 + after),
    ]
    yield [code for code in whole if code[2] > code[1] or code[4] > code[3]]
