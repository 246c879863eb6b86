"""Programs: where one is taken from, never from the folder that is worked in: `PATH` may hold its `bin`, or `.`."""

from __future__ import annotations

import os
import sys

from letta_code.host.process import which


def outside(path: str, root: str) -> str:
    """A search path without the folders that lie in `root`, that lead there, or that are not absolute."""
    top = os.path.realpath(root)
    if top == os.sep:  # nothing would be left
        return path
    kept = [folder for folder in path.split(os.pathsep) if os.path.isabs(folder)]
    return os.pathsep.join(folder for folder in kept if not _within(os.path.realpath(folder), top))


def program_outside(name: str, path: str, root: str) -> str | None:
    """The absolute path of a program that the search path gives, none of the folder `root` and no link into it."""
    top = os.path.realpath(root)
    for folder in outside(path, root).split(os.pathsep):
        found = which(name, folder) if folder else None
        if found is not None and (top == os.sep or not _within(os.path.realpath(found), top)):
            return found
    return None


def installed_in(root: str) -> tuple[str, ...]:
    """The Python environment that letta-code itself runs from, where that lies in the folder `root`; else nothing.

    Who may write there decides what runs with all rights, outside a sandbox, when the next part of it is loaded.
    """
    top = os.path.realpath(root)
    found = [os.path.join(os.path.realpath(os.path.dirname(one)), os.path.basename(one)) for one in _environments()]
    return tuple(dict.fromkeys(one for one in found if one.startswith(f"{top}/")))


def _environments() -> tuple[str, str]:
    return sys.prefix, sys.base_prefix


def project_top(folder: str) -> str:
    """The nearest folder at or above `folder` with a `.git`, else `folder`: none of its programs is ours to run."""
    try:
        here = os.path.abspath(folder)
    except FileNotFoundError:  # the folder that we were started in was removed
        return os.devnull  # nothing lies below it
    top = here
    while not os.path.lexists(os.path.join(top, ".git")):
        parent = os.path.dirname(top)
        if parent == top:
            return here
        top = parent
    return top


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
