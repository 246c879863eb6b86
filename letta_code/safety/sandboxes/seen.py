"""Seen: what tells a repository from another one that took its name, and from itself before it changed."""

from __future__ import annotations

import os
from contextlib import suppress

from letta_code.safety.sandboxes.beneath import Identity
from letta_code.safety.sandboxes.repositories import Found, Repository


def identity(path: str) -> Identity | None:
    """What tells an entry from another one that took its name; None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def identities_of(known: Repository) -> tuple[Identity | None, ...]:
    """Those of its entry and its folders."""
    return identity(known.entry), identity(known.folder), identity(known.common)


def identities(found: Found) -> dict[str, Identity]:
    """Of each `.git`; of a bare repository, which is not closed, that of its configuration as it is now."""
    known = {path: one for path in found.gits if (one := identity(path)) is not None}
    for path in found.bare:
        files: list[os.stat_result] = []
        for name in ("commondir", "config", "config.worktree"):
            with suppress(OSError):
                files.append(os.lstat(f"{path}/{name}"))
        known[path] = (sum(one.st_ino for one in files), max((one.st_ctime_ns for one in files), default=0))
    return known


def changed(path: str) -> int:
    """When an entry changed, in ns, as nobody can set it; 0 where there is none."""
    try:
        return os.lstat(path).st_ctime_ns
    except OSError:
        return 0
