"""Repositories: the `.git` entries and other protected names of a work tree, and the folders git keeps behind them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from letta_code.core.messages import Value
from letta_code.safety.places import is_within
from letta_code.safety.sandboxes.walk import Walk

PROTECTED = (".letta", ".mcp.json", ".envrc")  # besides `.git`; AGENTS.md and the like stay writable
_BARE = "/HEAD"
_PARTS = {"HEAD", "commondir", "objects", "refs"}
_WORKTREE = re.compile(r"^\s*worktree\s*=\s*\"?([^\"\n]+?)\"?\s*$", re.MULTILINE)


class Found(Value):
    """Paths of a work tree as far as it was looked at: `.git` entries, and protected names below the root."""

    gits: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()  # folders that git would take for a repository as they are
    complete: bool = False  # whether every folder has been looked at, in one round or another


class Tree:
    """The repositories and protected names of a work tree, looked for again and again."""

    def __init__(self, root: str) -> None:
        self._walk = Walk(root, _sifted)

    def look(self, seconds: float, *, anew: bool = False) -> Found:
        """What there is, as far as `Walk.look` comes."""
        paths = self._walk.look(seconds, anew=anew)
        return Found(
            gits=tuple(path for path in paths if path.endswith("/.git")),
            others=tuple(path for path in paths if not path.endswith(("/.git", _BARE))),
            bare=tuple(path.removesuffix(_BARE) for path in paths if path.endswith(_BARE)),
            complete=self._walk.complete,
        )


def _sifted(entries: Iterable[os.DirEntry[str]]) -> tuple[list[str], list[str]]:
    folders: list[str] = []
    names: list[str] = []
    parts: set[str] = set()
    for entry in entries:
        name = entry.name
        if name in _PARTS:  # each may be a link
            parts.add(name)
        if name == ".git" or name in PROTECTED:
            names.append(name)
        elif entry.is_dir(follow_symlinks=False):
            folders.append(name)
    if "HEAD" in parts and ("commondir" in parts or {"objects", "refs"} <= parts):
        names.append(_BARE[1:])
    return folders, names


class Repository(Value):
    """What is behind a `.git` entry: real paths; `common` holds config and hooks (the same folder but for worktrees).

    `sound` says that it is a repository of this work tree, as git makes them: a `.git` file may name any folder of the
    disk, and `commondir` another one.  Where the folders lie is for who opens them to judge: commands write them.
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
    ours = is_one(folder, common) and os.stat(folder).st_uid == os.geteuid()
    linked = folder == common or os.path.dirname(folder) == f"{common}/worktrees"
    sound = ours and linked and (inside or _points_back(entry, folder))
    return Repository(entry=entry, folder=folder, common=common, sound=sound)


def is_one(folder: str, common: str) -> bool:
    """Whether git may take a folder for a repository, with what it shares with other work trees in another."""
    return all(os.path.lexists(path) for path in (f"{folder}/HEAD", f"{common}/objects", f"{common}/refs"))


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
