"""Hunks of a patch against a file's text: where each belongs, and what the text becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from letta_code.core.messages import Value
from letta_code.tools.text.lines import breaks_of, fit, line_at, pieces_of
from letta_code.tools.text.nearest import explain_miss
from letta_code.tools.text.patch import Hunk
from letta_code.tools.text.replace import LISTED, Span


class HunkError(Exception):
    """A hunk does not fit the file; the message says where it nearly does."""

    def __init__(self, hunk: Hunk, message: str) -> None:
        super().__init__(f"The hunk at line {hunk.line} of the patch: {message}")


class Fitted(Value):
    """What hunks make of a text: spans in order, and `notes` on hunks that fitted only loosely."""

    spans: tuple[Span, ...]
    notes: tuple[str, ...] = ()


class _Lines:
    """A text as lines with their places and endings; `unended` when the last line has none."""

    def __init__(self, content: str) -> None:
        self.content = content
        pieces, breaks = pieces_of(content), breaks_of(content)
        if pieces[-1] == "":
            pieces.pop()
        else:
            breaks.append("")
        self.lines = pieces
        self.unended = breaks[-1:] == [""]
        # The ending that each line has, or would have: that of the line before for a last line without one.
        self.endings = [*breaks[:-1], breaks[-2] if len(breaks) > 1 else "\n"] if self.unended else breaks
        self.starts = [0]
        for line, ending in zip(pieces, breaks, strict=True):
            self.starts.append(self.starts[-1] + len(line) + len(ending))

    def numbers(self, indexes: Sequence[int]) -> str:
        """Line numbers as the model sees them."""
        shown = [str(line_at(self.content, self.starts[index])) for index in indexes[:LISTED]]
        return ", ".join(shown) + (" and more" if len(indexes) > LISTED else "")


def fit_hunks(content: str, hunks: Sequence[Hunk]) -> Fitted:
    """Find the place of each hunk, after that of the one before it, and make the spans.

    The lines of a hunk must stand in the file exactly, or, if they do so in one place only, but for white space at the
    ends of lines (which is noted).  Raises `HunkError` when there is no place or more than one.  Lines keep their own
    endings; an added one takes the ending of the line that it replaces, else of the one before it.
    """
    text = _Lines(content)
    spans: list[Span] = []
    notes: list[str] = []
    after = 0
    for hunk in hunks:
        at, note = _place(text, hunk, after)
        if note:
            notes.append(note)
        spans += _spans(text, hunk, at)
        after = at + len(hunk.old)
    return Fitted(spans=tuple(spans), notes=tuple(notes))


def _place(text: _Lines, hunk: Hunk, after: int) -> tuple[int, str]:
    old = hunk.old
    if not old:
        return _place_of_addition(text, hunk), ""
    found = _candidates(text.lines, hunk, old, after)
    if not found:
        loose = [line.rstrip() for line in text.lines]
        loosely = _candidates(loose, hunk, [line.rstrip() for line in old], after)
        if len(loosely) == 1:
            where = text.numbers(loosely)
            return loosely[0], f"the hunk at line {hunk.line} fits line {where} but for white space at line ends"
        raise HunkError(hunk, _miss(text, hunk, old, after))
    if len(found) > 1:
        raise HunkError(
            hunk,
            f"its lines stand in the file more than once, at lines {text.numbers(found)}. "
            "Add lines around it, or an `@@` line with a line that stands before it.",
        )
    return found[0], ""


def _place_of_addition(text: _Lines, hunk: Hunk) -> int:
    if hunk.at_end or not text.lines:
        return len(text.lines)
    raise HunkError(
        hunk, "it only adds, so its place is not clear. Repeat a line of the file before or after it (with a space)."
    )


def _candidates(lines: Sequence[str], hunk: Hunk, old: list[str], after: int) -> list[int]:
    """Where the lines stand; below headers, only the first place after each place of the headers."""
    if hunk.at_end:
        at = len(lines) - len(old)
        return [at] if at >= after and list(lines[at:]) == old else []
    if not hunk.headers:
        return _all(lines, old, after)
    starts = _below(lines, hunk.headers, after)
    firsts = [next(_matches(lines, old, start), None) for start in starts]
    return sorted({at for at in firsts if at is not None})


def _below(lines: Sequence[str], headers: Sequence[str], after: int) -> list[int]:
    """The places of the innermost header, each the first after a place of the outer ones."""
    starts = [after]
    for number, header in enumerate(headers):
        same = _header_test(lines, header)
        if number == 0:
            starts = [at for at in range(after, len(lines)) if same(lines[at])]
            continue
        found = (next((at for at in range(start, len(lines)) if same(lines[at])), None) for start in starts)
        starts = sorted({at for at in found if at is not None})
    return starts


def _header_test(lines: Sequence[str], header: str) -> Callable[[str], bool]:
    """Equal, or, where no line is equal, equal but for white space around."""
    if header in lines:
        return lambda line: line == header
    bare = header.strip()
    return lambda line: line.strip() == bare


def _all(lines: Sequence[str], old: list[str], after: int) -> list[int]:
    found: list[int] = []
    for at in _matches(lines, old, after):
        found.append(at)
        if len(found) > LISTED:
            break
    return found


def _matches(lines: Sequence[str], old: list[str], after: int) -> Iterator[int]:
    at = after - 1
    while True:
        try:
            at = lines.index(old[0], at + 1)
        except ValueError:
            return
        if list(lines[at : at + len(old)]) == old:
            yield at


def _miss(text: _Lines, hunk: Hunk, old: list[str], after: int) -> str:
    if hunk.headers and not _below(text.lines, hunk.headers, after):
        return f"no line of the file after the hunk before is `{hunk.headers[-1]}`, as `@@` says."
    elsewhere = _all(text.lines, old, 0)
    if elsewhere:
        where = text.numbers(elsewhere)
        if hunk.at_end:
            return f"its lines stand at line {where} and not at the end of the file."
        return f"its lines stand at line {where}, but before the hunk before it or its `@@` line: put hunks in order."
    start = _below(text.lines, hunk.headers, after)[0] if hunk.headers else after
    rest = text.content[text.starts[start] :]
    above = line_at(text.content, text.starts[start]) - 1
    return "its lines are not in the file. " + explain_miss(rest, "\n".join(old), above)


def _spans(text: _Lines, hunk: Hunk, at: int) -> Iterator[Span]:
    """One span for each run of lines between context lines."""
    start, removed = at, 0
    added: list[str] = []
    for kind, line in [*hunk.lines, (" ", "")]:
        if kind == " ":
            if removed or added:
                yield _span(text, start, start + removed, added)
            start += removed + 1
            removed, added = 0, []
        elif kind == "-":
            removed += 1
        else:
            added.append(line)


def _span(text: _Lines, start: int, stop: int, added: list[str]) -> Span:
    """`added` in place of the lines from `start` to `stop`."""

    def before() -> str:
        around = text.endings[start - 1 : start] or text.endings[:1]
        return around[0] if around else "\n"

    endings = fit(text.lines[start:stop], text.endings[start:stop], added, before)
    if text.unended and added and stop == len(text.lines):
        endings[-1] = ""
    new = "".join(line + ending for line, ending in zip(added, endings, strict=True))
    if text.unended and start == len(text.lines):
        new = before() + new  # the line before was the last and had no ending
    first, last = text.starts[start], text.starts[stop]
    return Span(start=first, end=last, text=new)
