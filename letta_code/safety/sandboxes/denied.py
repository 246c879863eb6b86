"""Denied: the files and folders that rules such as `deny Read(.env)` keep commands from reading, as they are now.

What a command does by itself (`cat .e*`, `python -c 'open(".env")'`) no rule on its text can see, so what is there when
it starts is covered.  A name without a wildcard costs one look; a pattern with `**`, and a name at any depth, are found
on a walk through the work tree, never outside it.  What comes later, and another name of the same file, is not covered.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import NamedTuple

from letta_code.safety import places
from letta_code.safety.rules import Rules
from letta_code.safety.sandboxes.walk import Sift, Walk
from letta_code.safety.terminal import visible

FIRST_LOOK = 0.5  # seconds for the whole tree before the first command that a rule is for
LATER_LOOK = 0.05  # … and before each one after it; a tree that takes longer is looked through in parts
MOST = 200  # files and folders that are covered; each costs a command some 0.3 ms
_LISTED = 20_000  # names of folders outside the walk that a wildcard is compared with
_NAMED = 5  # in the note


class _Pattern(NamedTuple):
    """A rule's pattern as names below `base`; no names: the base itself, or above it, which cannot be covered."""

    text: str
    base: str
    names: tuple[str, ...]

    @property
    def deep(self) -> bool:
        """Whether only the walk finds what is meant."""
        return any("**" in name for name in self.names)


class Denied:
    """Finds what the deny rules of now are about; for one work tree."""

    def __init__(self, root: str, home: str) -> None:
        self._root = root
        self._home = home
        self._texts: tuple[str, ...] = ()
        self._patterns: tuple[_Pattern, ...] = ()
        self._walk: Walk | None = None  # where a pattern needs one
        self._told: set[str] = set()
        self._lock = Lock()  # commands may begin at the same time, each on a thread of its own

    def found(self, rules: Rules) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Real paths to cover, and what is to be told about them (each sentence once); nothing without such a rule."""
        texts = tuple(dict.fromkeys(rule.pattern for rule in rules.deny if rule.tool == "Read" and rule.pattern))
        if not texts:
            return (), ()
        with self._lock:
            return self._found(texts)

    def _found(self, texts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        seconds = LATER_LOOK
        if texts != self._texts:
            self._texts, seconds = texts, FIRST_LOOK
            self._patterns = tuple(_pattern(text, self._root, self._home) for text in texts)
            deep = [one.names[-1] for one in self._patterns if one.deep]
            self._walk = Walk(self._root, _sifting(deep)) if deep else None
        walked = self._walk.look(seconds) if self._walk is not None else []
        real = dict.fromkeys(map(os.path.realpath, (*self._by_name(), *self._by_walk(walked))))
        paths = [path for path in real if os.path.exists(path) and not places.is_within(self._root, path)]
        return tuple(paths[:MOST]), tuple(self._tells(paths))

    def _by_name(self) -> Iterator[str]:
        for pattern in self._patterns:
            if not pattern.deep:
                yield from _expanded(pattern)

    def _by_walk(self, walked: Iterable[str]) -> Iterator[str]:
        deep = [one.text for one in self._patterns if one.deep]
        for path in walked:
            if any(places.matches(text, path, root=self._root, home=self._home) for text in deep):
                yield path

    def _tells(self, paths: list[str]) -> Iterator[str]:
        shown = [visible(path.removeprefix(f"{self._root}/")) for path in paths]
        more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
        told = [f"deny rules keep commands from reading {', '.join(shown[:_NAMED])}{more}"] if shown else []
        if len(paths) > MOST:
            told.append(f"{len(paths):,} files are meant by deny rules; commands are kept from reading {MOST} of them")
        if self._walk is not None and not self._walk.complete:
            told.append("the work tree is large: files below some of its folders, meant by deny rules, may be read")
        for sentence in told:
            if sentence not in self._told:
                self._told.add(sentence)
                yield sentence


def _pattern(text: str, root: str, home: str) -> _Pattern:
    """As `places.matches` reads it.  All that lies in a folder is covered by the folder, so a `/**` at the end goes."""
    text = text.rstrip("/") or "/"
    anywhere = "/" not in text.removeprefix("./") and text not in {".", "**"}
    while text.endswith("/**"):
        text = text.removesuffix("/**")
    base, glob = root, text.removeprefix("./")
    if glob == "~" or glob.startswith("~/"):
        base, glob = home, glob[2:]
    elif glob.startswith("/"):
        base, glob = "", glob[1:]
    elif anywhere:
        glob = f"**/{glob}"
    return _Pattern(text, base, () if glob in {"", ".", "**"} else tuple(glob.split("/")))


def _expanded(pattern: _Pattern) -> Iterator[str]:
    """The paths that a pattern without `**` means; folders of the whole disk are listed only where it has wildcards."""
    paths, left = [pattern.base] if pattern.names else [], _LISTED
    for name in pattern.names:
        if not places.is_wild(name):
            paths = [f"{path}/{_plain(name)}" for path in paths]
            continue
        wanted, matching = places.name_pattern(name), list[str]()
        for path in paths:
            for other in _names_in(path, left):
                left -= 1
                if wanted.match(f"/{other}"):
                    matching.append(f"{path}/{other}")
        paths = matching
    yield from (path for path in paths if os.path.lexists(path))


def _names_in(folder: str, most: int) -> Iterator[str]:
    try:
        with os.scandir(folder or "/") as entries:
            yield from (entry.name for entry in itertools.islice(entries, max(0, most)))
    except OSError:
        return  # not there, or not ours to read


def _sifting(wanted: Iterable[str]) -> Sift:
    """Into every folder but `.git`; what is noted has a name that the last part of a pattern may mean."""
    last = [name if "**" not in name else "*" + name.rpartition("**")[2] for name in wanted]
    plain = {_plain(name) for name in last if not places.is_wild(name)}
    wild = [places.name_pattern(name) for name in last if places.is_wild(name)]

    def sift(entries: Iterable[os.DirEntry[str]]) -> tuple[list[str], list[str]]:
        folders: list[str] = []
        names: list[str] = []
        for entry in entries:
            name = entry.name
            if name in plain or any(one.match(f"/{name}") for one in wild):
                names.append(name)
            if name != ".git" and entry.is_dir(follow_symlinks=False):
                folders.append(name)
        return folders, names

    return sift


def _plain(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)
