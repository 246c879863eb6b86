"""Kept: what protected entries of a work tree hold, to see whether commands that ran together changed it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from letta_code.safety.sandboxes import beneath

MOST = 500  # entries that are looked at; each costs some 0.1 ms
_LONGEST = 64_000  # bytes of a file that are compared; of a longer one it is its time
_MOST_NAMES = 1000  # in one folder
_READ_BY_GIT = ("commondir", "config", "config.worktree", "hooks")  # what decides what git runs

State: TypeAlias = tuple[object, ...]


class Held(NamedTuple):
    """An entry and what it holds."""

    identity: beneath.Identity
    state: State


def held(paths: Iterable[str]) -> dict[str, Held]:
    """Of each entry that is there; all by descriptors, no link is followed."""
    found: dict[str, Held] = {}
    for path in list(paths)[:MOST]:
        try:
            with beneath.parent(path) as (folder, name):
                at = os.lstat(name, dir_fd=folder)
                names = _READ_BY_GIT if name == ".git" else None
                found[path] = Held((at.st_dev, at.st_ino), _state(folder, name, 2, names))
        except OSError:
            continue
    return found


def _state(folder: int, name: str, depth: int, names: Iterable[str] | None = None) -> State:
    """What an entry of a folder holds; of a folder what its entries do, as deep as is said."""
    try:
        found = os.lstat(name, dir_fd=folder)
        if stat.S_ISLNK(found.st_mode):
            return ("link", os.readlink(name, dir_fd=folder))
        if stat.S_ISDIR(found.st_mode) and depth:
            return _entries(folder, name, depth, names)
        text = _text(folder, name) if stat.S_ISREG(found.st_mode) and found.st_size <= _LONGEST else None
        if text is not None:
            return ("file", found.st_mode & 0o111, text)
    except FileNotFoundError:
        return ()
    except OSError as error:
        return ("unread", error.errno)
    return ("other", found.st_ino, found.st_ctime_ns)


def _entries(folder: int, name: str, depth: int, names: Iterable[str] | None) -> State:
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        listed = names or sorted(one for one in os.listdir(inner) if not one.endswith((".sample", ".set-aside")))
        listed = list(listed)[:_MOST_NAMES]
        return ("folder", *((one, _state(inner, one, depth - 1)) for one in listed))
    finally:
        os.close(inner)


def _text(folder: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with open(descriptor, "rb") as file:
        return file.read(_LONGEST + 1)
