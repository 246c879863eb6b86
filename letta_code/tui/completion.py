"""Completion: what `/` and `@` offer at the cursor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from letta_code.commands.base import Command

LIMIT = 8
FUZZY_LIMIT = 20_000  # paths compared fuzzily; the plain comparison takes them all
_FILE = re.compile(r"(?:^|\s)@(\S*)$")


class Wanted(NamedTuple):
    """What is being completed: `kind` is command or file, `start` the column of the word, sign included."""

    kind: str
    query: str
    start: int


def wanted(line: str, row: int, column: int) -> Wanted | None:
    """What the words left of the cursor ask for, None for nothing."""
    before = line[:column]
    if row == 0 and before.startswith("/") and not re.search(r"[\s/]", before[1:]):
        return Wanted("command", before[1:], 0)
    found = _FILE.search(before)
    if found:
        return Wanted("file", found[1], found.start(1) - 1)
    return None


def match_commands(query: str, commands: Mapping[str, Command]) -> list[Command]:
    """Commands that fit, best first: by the start of the name, by a part of it, by its aliases."""
    query = query.lower()

    def rank(command: Command) -> int:
        if command.name.startswith(query):
            return 0
        if any(alias.startswith(query) for alias in command.aliases):
            return 1
        return 2 if query in command.name else 3

    fitting = [command for command in commands.values() if rank(command) < 3]
    return sorted(fitting, key=lambda command: (rank(command), command.name))


def match_files(query: str, paths: Sequence[str], limit: int = LIMIT) -> list[str]:
    """Paths that fit, best first: by file name, by any part of the path, then fuzzily.  Not for the screen's loop."""
    if not query:
        return sorted(paths, key=lambda path: (path.count("/"), path))[:limit]
    needle = query.lower()
    plain = [path for path in paths if needle in path.lower()]
    best = sorted(plain, key=lambda path: _closeness(needle, path))[:limit]
    if len(best) == limit or len(needle) < 3:
        return best
    from rapidfuzz import fuzz, process  # not needed before somebody types a name that is not there

    known = set(best)
    rest = [path for path in _subsequence(needle, paths) if path not in known][:FUZZY_LIMIT]
    found = process.extract(needle, rest, scorer=fuzz.partial_ratio, limit=limit - len(best), score_cutoff=50)
    return best + [path for path, _, _ in found]


def _closeness(needle: str, path: str) -> tuple[int, int, str]:
    name = path.rpartition("/")[2].lower()
    place = 0 if name.startswith(needle) else 1 if needle in name else 2
    return place, len(path), path


def _subsequence(needle: str, paths: Sequence[str]) -> Iterable[str]:
    pattern = re.compile(".*?".join(map(re.escape, needle)), re.IGNORECASE)
    return (path for path in paths if pattern.search(path))
