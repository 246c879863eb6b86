"""Changed files: what in a folder is newer than a moment, looked for within a bounded time."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection

from letta_code.core.messages import Value
from letta_code.safety.terminal import visible

MOST = 20  # files that are named
SECONDS = 1.0
_PASSED_BY = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".tox", ".mypy_cache"})


class Changed(Value):
    """Paths relative to the folder, newest first; `whole` is false where there was no time to look at everything."""

    paths: tuple[str, ...] = ()
    more: int = 0
    whole: bool = True

    def described(self) -> str:
        """As the model is told it, "" when nothing was found."""
        part = "" if self.whole else " (the folder is too large to have been searched whole)"
        if not self.paths:
            return ""
        names = [f"  {visible(path)[:300]}" for path in self.paths]
        more = [f"  … and {self.more} more"] if self.more else []
        return "\n".join([f"Files that changed since it began{part}:", *names, *more])


def changed_since(folder: str, since: float, explained: Collection[str] = (), seconds: float = SECONDS) -> Changed:
    """Files below `folder` whose content or state changed at or after `since` (seconds of the epoch).

    `explained` are absolute paths to be left out.  Links are not followed; what cannot be read is passed by.
    """
    end = time.monotonic() + seconds
    found: list[tuple[float, str]] = []
    folders = [folder]
    while folders:
        if time.monotonic() > end:
            return _shown(found, folder, whole=False)
        here = folders.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if time.monotonic() > end:
                        return _shown(found, folder, whole=False)
                    _look(entry, since, explained, folders, found)
        except OSError:
            continue
    return _shown(found, folder, whole=True)


def _look(
    entry: os.DirEntry[str],
    since: float,
    explained: Collection[str],
    folders: list[str],
    found: list[tuple[float, str]],
) -> None:
    try:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _PASSED_BY:
                folders.append(entry.path)
            return
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return
    # ctime too: `mv` and `touch -d` leave an old mtime.
    changed = max(status.st_mtime, status.st_ctime)
    regular = stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
    if regular and changed >= since and entry.path not in explained:
        found.append((changed, entry.path))


def _shown(found: list[tuple[float, str]], folder: str, *, whole: bool) -> Changed:
    found.sort(reverse=True)
    paths = tuple(os.path.relpath(path, folder) for _, path in found[:MOST])
    return Changed(paths=paths, more=max(0, len(found) - MOST), whole=whole)
