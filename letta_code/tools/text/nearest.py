"""Why an old text is not in a file: the nearest region and what differs there, told so that the next try fits."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from letta_code.core.messages import Value
from letta_code.tools.text.lines import line_at, lines_of, shortened, unified

SHOWN = 12  # lines of a region that are shown
WIDTH = 300  # characters of a line that are shown
LOOKED_THROUGH = 1_000_000  # characters of a file that are looked through
LONGEST = 20  # lines that are tried as an anchor in a larger one
FUZZY_LINES = 50_000  # lines up to which a file is searched for similar ones
CANDIDATES = 8  # regions that are compared as a whole
COMPARED = 4_000  # characters of a region that are compared
FUZZY_CUT = 55.0  # percent of likeness below which nothing is called near

_PREFIX = re.compile(r"^[ ]*\d+:", re.MULTILINE)
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200b\u202f\u3000]+")
# What word processors and models put for plain signs.
_TYPOGRAPHIC = str.maketrans(
    {
        "‘": "'",
        "’": "'",
        "‚": "'",
        "“": '"',
        "”": '"',
        "„": '"',
        "–": "-",
        "—": "-",
        "−": "-",
        "…": "...",
        "\u00a0": " ",
    }
)

Loosening: TypeAlias = Callable[[str], str]


class Region(Value):
    """Lines of the file (`first` is the number of the first) that are nearest to an old text, and what differs."""

    first: int
    lines: tuple[str, ...]
    difference: str
    places: int = 1


def _plain_signs(line: str) -> str:
    return line.translate(_TYPOGRAPHIC)


def _one_space(line: str) -> str:
    return _SPACES.sub(" ", line).strip()


_LOOSENINGS: tuple[tuple[str, Loosening], ...] = (
    ("white space at the end of lines", str.rstrip),
    ("indentation", str.strip),
    ("white space", _one_space),
    ("quotes, dashes or other typographic signs", _plain_signs),
    ("typographic signs and white space", lambda line: _one_space(_plain_signs(line))),
    ("upper and lower case", str.casefold),
    ("case, typographic signs and white space", lambda line: _one_space(_plain_signs(line)).casefold()),
    ("white space (all of it left out)", lambda line: "".join(line.split())),
)


def explain_miss(content: str, old: str, above: int = 0) -> str:
    """What the model is told: the likely slip if there is one, and the nearest region.

    `content` may be the rest of a file below `above` lines.
    """
    slip = _slip(content, old)
    if slip:
        return slip
    sought = _trimmed(unified(old).split("\n"))
    if not any(line.strip() for line in sought):
        return "It is only white space; give the lines around it."
    start, end = _window(content, sought)
    lines = lines_of(content[start:end])
    region = _loosened(lines, sought) or _similar(lines, sought)
    if region is None:
        return "Nothing in the file is like it: search for it with Grep, or Read the file again."
    first = region.first + above + line_at(content, start) - 1
    return _told(msgspec.structs.replace(region, first=first), sought)


def _window(content: str, sought: Sequence[str]) -> tuple[int, int]:
    """The part of a large text that is looked through: around the longest line that stands in it, else its start."""
    if len(content) <= LOOKED_THROUGH:
        return 0, len(content)
    wanted = sorted({line.strip() for line in sought if len(line.strip()) >= 3}, key=len, reverse=True)
    at = next((at for line in wanted[:LONGEST] if (at := content.find(line)) >= 0), 0)
    start = content.rfind("\n", 0, max(at - LOOKED_THROUGH // 2, 0)) + 1
    return start, start + LOOKED_THROUGH


def _slip(content: str, old: str) -> str:
    """Slips that have nothing to do with the file: copied line numbers, escapes written twice."""
    stripped = _PREFIX.sub("", unified(old))
    plain = unified(content)
    if stripped and stripped != old and len(_PREFIX.findall(old)) >= old.count("\n") and stripped in plain:
        return "It has the line numbers that Read puts before each line (`12:`); send it without them."
    if "\\" in old:
        unescaped = old.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"').replace("\\\\", "\\")
        if unescaped != old and unescaped in plain:
            return "It is escaped once too often: with its backslash escapes undone it is in the file."
    return ""


def _trimmed(lines: list[str]) -> list[str]:
    start, end = 0, len(lines)
    while start < end - 1 and not lines[start].strip():
        start += 1
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    return lines[start:end]


def _loosened(lines: Sequence[str], sought: Sequence[str]) -> Region | None:
    """The region that is equal but for one kind of difference; the first kind that fits is the least one."""
    for name, loosen in _LOOSENINGS:
        wanted = "\n".join(map(loosen, sought))
        if not wanted:
            continue
        whole = "\n".join(map(loosen, lines))
        at = whole.find(wanted)
        if at >= 0:
            first = whole.count("\n", 0, at)
            found = tuple(lines[first : first + len(sought)])
            return Region(first=first + 1, lines=found, difference=name, places=whole.count(wanted))
    return None


def _similar(lines: Sequence[str], sought: Sequence[str]) -> Region | None:
    """The region that is most alike, among those where a line is equal or nearly so."""
    from rapidfuzz import fuzz

    wanted = "\n".join(sought)[:COMPARED]

    def likeness(start: int) -> float:
        return fuzz.ratio(wanted, "\n".join(lines[start : start + len(sought)])[:COMPARED])

    starts = {max(start, 0) for start in (*_by_votes(lines, sought), *_by_likeness(lines, sought))}
    if not starts:
        return None
    best = max(sorted(starts), key=likeness)
    return Region(first=best + 1, lines=tuple(lines[best : best + len(sought)]), difference="")


def _by_votes(lines: Sequence[str], sought: Sequence[str]) -> list[int]:
    """Where regions begin that share the most lines, wherever these stand in them."""
    wanted: dict[str, list[int]] = {}
    for index, line in enumerate(sought):
        if len(line.strip()) >= 3:
            wanted.setdefault(line.strip(), []).append(index)
    votes: dict[int, int] = {}
    for index, line in enumerate(lines):
        for offset in wanted.get(line.strip(), ()):
            votes[index - offset] = votes.get(index - offset, 0) + 1
    return sorted(votes, key=lambda start: (-votes[start], start))[:CANDIDATES]


def _by_likeness(lines: Sequence[str], sought: Sequence[str]) -> list[int]:
    """Where regions begin that have a line like the longest one."""
    from rapidfuzz import fuzz, process

    index = max(range(len(sought)), key=lambda i: len(sought[i].strip()))
    wanted = sought[index].strip()[:1000]
    candidates = [line.strip()[:1000] for line in lines[:FUZZY_LINES]]
    best = process.extract(wanted, candidates, scorer=fuzz.ratio, score_cutoff=FUZZY_CUT, limit=CANDIDATES)
    if not best and len(wanted) >= 4:
        best = process.extract(wanted, candidates, scorer=fuzz.partial_ratio, score_cutoff=80.0, limit=CANDIDATES)
    return [place - index for _, _, place in best]


def _told(region: Region, sought: Sequence[str]) -> str:
    last = region.first + len(region.lines) - 1
    where = f"line {region.first}" if last == region.first else f"lines {region.first}-{last}"
    if region.difference:
        more = f" ({region.places} such places)" if region.places > 1 else ""
        head = f"{where.capitalize()} differ{'s' if last == region.first else ''} only in {region.difference}{more}."
        head += _first_difference(region, sought)
    else:
        head = f"Nearest: {where}."
    return f"{head}\n`-` is your text, a number is the file:\n" + "\n".join(_pairs(region, sought))


def _first_difference(region: Region, sought: Sequence[str]) -> str:
    last = len(sought) - 1
    for index, (mine, theirs) in enumerate(zip(sought, region.lines, strict=False)):
        # An old text may begin and end in the middle of a line of the file.
        begins, ends = index > 0 or theirs.endswith(mine), index < last or theirs.startswith(mine)
        whole = mine == theirs if 0 < index < last else begins and ends
        if not whole and not (last == 0 and mine in theirs):
            return f" Line {region.first + index}: {_named_difference(mine, theirs)}."
    return ""


def _named_difference(mine: str, theirs: str) -> str:
    mine_indent, their_indent = _indent(mine), _indent(theirs)
    if mine_indent != their_indent and mine.strip() == theirs.strip():
        return f"the file is indented with {_spelled(their_indent)}, yours with {_spelled(mine_indent)}"
    if mine.rstrip() == theirs.rstrip():
        mine_end, their_end = mine[len(mine.rstrip()) :], theirs[len(theirs.rstrip()) :]
        return f"the file ends with {_spelled(their_end)}, yours with {_spelled(mine_end)}"
    at = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), min(len(mine), len(theirs)))
    return f"at column {at + 1} the file has {_sign(theirs[at : at + 1])}, yours {_sign(mine[at : at + 1])}"


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _spelled(space: str) -> str:
    """White space in words: `2 tabs and 1 space`."""
    if not space:
        return "nothing"
    runs: list[str] = []
    for run in re.finditer(r"(.)\1*", space, re.DOTALL):
        sign, count = run.group(1), len(run.group())
        name = {" ": "space", "\t": "tab"}.get(sign, f"U+{ord(sign):04X}")
        runs.append(f"{count} {name}{'s' if count > 1 and not name.startswith('U') else ''}")
    return " and ".join(runs[:3]) + (" …" if len(runs) > 3 else "")


def _sign(character: str) -> str:
    if not character:
        return "the end of the line"
    names = {" ": "a space", "\t": "a tab"}
    return names.get(character) or f"{character!r} (U+{ord(character):04X})"


def _pairs(region: Region, sought: Sequence[str]) -> list[str]:
    """The region's lines with numbers; before those that differ, the model's own line."""
    from difflib import SequenceMatcher

    result: list[str] = []
    matcher = SequenceMatcher(None, list(sought), list(region.lines), autojunk=False)
    for tag, a1, a2, b1, b2 in matcher.get_opcodes():
        if tag != "equal":
            result += [f"-{shortened(line, WIDTH)}" for line in sought[a1:a2]]
        result += [f"{region.first + i}:{shortened(region.lines[i], WIDTH)}" for i in range(b1, b2)]
    if len(result) > 2 * SHOWN:
        return [*result[: 2 * SHOWN], f"[{len(result) - 2 * SHOWN} more lines]"]
    return result
