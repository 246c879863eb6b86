"""Repositories: the `.git` entries and other protected names of a work tree, and the folders git keeps behind them."""

from __future__ import annotations

import os
import re
import time
from collections import deque

from letta_code.core.messages import Value
from letta_code.safety.places import is_within

PROTECTED = (".letta", ".mcp.json", ".envrc")  # besides `.git`; AGENTS.md and the like stay writable
LATER = {"node_modules", ".venv", "venv", ".tox", "target", "vendor", "site-packages", "__pycache__"}
LIMIT = 20_000  # folders looked at in one round
_BARE = "/HEAD"
_FRESH = 50_000_000  # ns; a folder that changed just now may change again within the same tick of its clock
_WORKTREE = re.compile(r"^\s*worktree\s*=\s*\"?([^\"\n]+?)\"?\s*$", re.MULTILINE)


class Found(Value):
    """Paths of a work tree as far as it was looked at: `.git` entries, and protected names below the root."""

    gits: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()  # folders that git would take for a repository as they are
    complete: bool = False  # whether every folder has been looked at, in one round or another


class Tree:
    """Looks through a work tree again and again; a folder that has not changed costs one stat."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._seen: dict[str, tuple[int, list[str], list[str]]] = {}  # folder: when it changed, folders in it, names
        self._queue: deque[str] = deque()
        self._looked = 0
        self._names: dict[str, None] = {}
        self._left_out = False  # in this round
        self._complete = False

    def look(self, seconds: float) -> Found:
        """What there is; a look that takes longer is gone on with at the next call, the upper folders come first."""
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
        self._complete = self._complete or not (self._queue or self._left_out)
        return self._found()

    def _later(self, path: str) -> None:
        if self._looked < LIMIT // 4:
            self._queue.append(path)
        else:
            self._left_out = True

    def _entries(self, folder: str) -> list[str]:
        """Names of the folders in a folder; protected names are noted on the way."""
        try:
            changed = os.stat(folder, follow_symlinks=False).st_mtime_ns
        except OSError:
            self._seen.pop(folder, None)
            return []
        seen = self._seen.get(folder)
        if seen is None or seen[0] != changed:
            seen = (changed, *_list(folder))
            if time.time_ns() - changed > _FRESH:
                self._seen[folder] = seen
        for name in seen[2]:
            self._names[f"{folder}/{name}"] = None
        return seen[1]

    def _found(self) -> Found:
        for path in [path for path in self._names if not os.path.lexists(path)]:
            del self._names[path]
        return Found(
            gits=tuple(path for path in self._names if path.endswith("/.git")),
            others=tuple(path for path in self._names if not path.endswith(("/.git", _BARE))),
            bare=tuple(path.removesuffix(_BARE) for path in self._names if path.endswith(_BARE)),
            complete=self._complete,
        )


def _list(folder: str) -> tuple[list[str], list[str]]:
    folders: list[str] = []
    names: list[str] = []
    head: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name == ".git" or name in PROTECTED:
                    names.append(name)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                elif name == "HEAD":
                    head = [_BARE[1:]]
    except OSError:
        pass  # not ours to read, or gone: nothing in it can be protected
    return folders, names + (head if {"objects", "refs"} <= set(folders) else [])


class Repository(Value):
    """What is behind a `.git` entry: real paths; `common` holds config and hooks (the same folder but for worktrees).

    `sound` says that it is a repository of this work tree and may be opened for writing: a `.git` file may name any
    folder of the disk.
    """

    entry: str
    folder: str
    common: str
    sound: bool


def repository(entry: str) -> Repository | None:
    """The repository behind a `.git` entry that exists; None where there is none."""
    folder = os.path.realpath(entry)
    named = os.path.isfile(folder)
    if named:
        text = read(folder).strip()
        if not text.startswith("gitdir:"):
            return None
        folder = os.path.realpath(os.path.join(os.path.dirname(entry), text[len("gitdir:") :].strip()))
    if not os.path.isdir(folder):
        return None
    common = read(f"{folder}/commondir").strip()
    common = os.path.realpath(os.path.join(folder, common)) if common else folder
    inside = not named and folder == entry and folder == common
    is_one = all(os.path.lexists(f"{path}") for path in (f"{folder}/HEAD", f"{common}/objects", f"{common}/refs"))
    ours = is_one and os.stat(folder).st_uid == os.geteuid()
    return Repository(entry=entry, folder=folder, common=common, sound=ours and (inside or _points_back(entry, folder)))


def _points_back(entry: str, folder: str) -> bool:
    """Whether a repository kept elsewhere knows that its work tree is here (a linked worktree, a submodule)."""
    back = read(f"{folder}/gitdir").strip()
    if back:
        return os.path.realpath(os.path.join(folder, back)) == os.path.realpath(entry)
    work = _WORKTREE.search(read(f"{folder}/config"))
    return work is not None and os.path.realpath(os.path.join(folder, work[1])) == os.path.realpath(
        os.path.dirname(entry)
    )


def enclosing(root: str) -> str:
    """The `.git` entry of the repository that a work tree lies in, "" without one; its own is not meant."""
    folder = os.path.dirname(root)
    while folder != os.path.dirname(folder):
        if os.path.lexists(f"{folder}/.git"):
            return f"{folder}/.git"
        folder = os.path.dirname(folder)
    return ""


def nearest(cwd: str, root: str) -> str:
    """The `.git` entry of the repository that git would work with in a folder of the work tree, "" without one."""
    folder = os.path.realpath(cwd)
    while is_within(folder, root):
        known = repository(f"{folder}/.git")
        if known is not None and os.path.lexists(f"{known.folder}/HEAD"):
            return known.entry
        if folder == root:
            return enclosing(root)
        folder = os.path.dirname(folder)
    return ""


def read(path: str) -> str:
    """The text of a small regular file, "" for anything else; no link is followed in the last name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(descriptor, encoding="utf-8", errors="surrogateescape") as file:
        try:
            return file.read(64_000)
        except OSError:
            return ""
