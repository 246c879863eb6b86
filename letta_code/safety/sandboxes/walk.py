"""Walk: looking through a work tree again and again, at little cost while nothing changes."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

LATER = {"node_modules", ".venv", "venv", ".tox", "target", "vendor", "site-packages", "__pycache__"}
LIMIT = 20_000  # folders looked at in one round
_FRESH = 50_000_000  # ns; a folder that changed just now may change again within the same tick of its clock

# Of the entries of a folder: names of the folders to go into, and names to be noted.
Sift: TypeAlias = Callable[[Iterable[os.DirEntry[str]]], tuple[list[str], list[str]]]


class Walk:
    """A folder that has not changed costs one stat; `paths` are those noted so far that are still there."""

    def __init__(self, root: str, sift: Sift) -> None:
        self.complete = False  # whether every folder has been looked at, in one round or another
        self._root = root
        self._sift = sift
        self._seen: dict[str, tuple[int, list[str], list[str]]] = {}  # folder: when it changed, folders in it, names
        self._queue: deque[str] = deque()
        self._looked = 0
        self._names: dict[str, None] = {}
        self._left_out = False  # in this round

    def look(self, seconds: float, *, anew: bool = False) -> list[str]:
        """The noted paths; a look that takes longer is gone on with at the next call, the upper folders come first.

        `anew` begins at the top whatever is left of the last one.
        """
        if anew:
            self._queue.clear()
        if not self._queue:
            self._queue.append(self._root)
            self._looked = 0
            self._left_out = False
        end = time.monotonic() + seconds
        while self._queue and self._looked < LIMIT:
            folder = self._queue.popleft()
            self._looked += 1
            for name in self._entries(folder):
                path = f"{folder}/{name}"
                (self._queue.append if name not in LATER else self._later)(path)
            if not self._looked % 64 and time.monotonic() > end:
                break
        if self._looked >= LIMIT:
            self._left_out = self._left_out or bool(self._queue)
            self._queue.clear()
        self.complete = self.complete or not (self._queue or self._left_out)
        real: dict[str, bool] = {self._root: True}
        for path in [
            path for path in self._names if not (self._is_real(os.path.dirname(path), real) and os.path.lexists(path))
        ]:
            del self._names[path]
        return list(self._names)

    def _is_real(self, folder: str, known: dict[str, bool]) -> bool:
        """Whether a folder is one, and so is each above it: by a link its path leads to what is not of the tree."""
        unknown: list[str] = []
        while folder not in known:
            unknown.append(folder)
            folder = os.path.dirname(folder)
        real = known[folder]
        for one in reversed(unknown):
            real = known[one] = real and _changed(one) is not None
        return real

    def _later(self, path: str) -> None:
        if self._looked < LIMIT // 4:
            self._queue.append(path)
        else:
            self._left_out = True

    def _entries(self, folder: str) -> list[str]:
        """Names of the folders in a folder; what is to be noted is, on the way."""
        changed = _changed(folder)
        if changed is None:
            self._seen.pop(folder, None)
            return []
        seen = self._seen.get(folder)
        if seen is None or seen[0] != changed:
            seen = (changed, *self._list(folder))
            if time.time_ns() - changed > _FRESH:
                self._seen[folder] = seen
        for name in seen[2]:
            self._names[f"{folder}/{name}"] = None
        return seen[1]

    def _list(self, folder: str) -> tuple[list[str], list[str]]:
        try:
            with os.scandir(folder) as entries:
                return self._sift(entries)
        except OSError:  # not ours to read, or gone: nothing in it can be noted
            return [], []


def _changed(folder: str) -> int | None:
    """When a folder changed, as nobody can set it; None where it is none (any more), or a link."""
    try:
        found = os.lstat(folder)
    except OSError:
        return None
    return found.st_ctime_ns if stat.S_ISDIR(found.st_mode) else None
