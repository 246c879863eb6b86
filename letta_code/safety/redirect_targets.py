"""Targets of redirections beside git: what is written there must not be the repository that git has open meanwhile."""

from __future__ import annotations

import os

from letta_code.safety import places
from letta_code.safety.shell_values import Redirect

_PARTS = ("HEAD", "commondir", "objects", "refs")


def is_plain_target(redirect: Redirect, root: str) -> bool:
    """Whether a redirection writes an ordinary file of the work tree, known for certain and reached by no link.

    What lies elsewhere is not judged here: a sandbox has a `/tmp` of its own, with links that nobody sees from outside.
    """
    target = redirect.target
    if not redirect.literal or target.startswith("~"):
        return False
    if places.is_sink(target):
        return True
    path = os.path.join(redirect.cwd or root, target)
    if not redirect.cwd_known or ".." in target.split("/") or places.real(path) != os.path.normpath(path):
        return False
    path = os.path.normpath(path)
    return places.is_within(path, root) and _names(path) <= 1 and not is_of_a_repository(path, root)


def _names(path: str) -> int:
    """How many names a file has: by another one it may lie in a repository."""
    try:
        return os.lstat(path).st_nlink
    except OSError:
        return 0


def is_of_a_repository(path: str, root: str) -> bool:
    """Whether it is a `.git`, or git would take a folder above it in the work tree for one (`gitdir:` may name any)."""
    if ".git" in os.path.relpath(path, root).lower().split("/"):
        return True
    folder = os.path.dirname(path)
    while places.is_within(folder, root):
        names = {name for name in _PARTS if os.path.lexists(f"{folder}/{name}")}
        if {"HEAD", "commondir"} <= names or {"HEAD", "objects", "refs"} <= names:
            return True
        folder = os.path.dirname(folder)
    return False
