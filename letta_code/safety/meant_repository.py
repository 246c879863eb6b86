"""Meant repository: whether git works with the work tree's own repository, or with one that lies within the tree."""

from __future__ import annotations

import os

from letta_code.safety import places
from letta_code.safety.git_commands import folder_meant, from_subcommand
from letta_code.safety.shell_values import Command


def is_of_the_tree(command: Command, root: str) -> bool:
    """Whether a git command works with the tree's own repository: what lies below may be made by anybody."""
    return repository_meant(command, root) == root


def repository_meant(command: Command, root: str) -> str:
    """The folder at or below `root` with the repository that a git command works with; "" where that is not known.

    It is `root` too where the repository is above it, or there is none.  Any entry `.git` or `HEAD` counts below it.
    """
    until = len(command.words) - len(from_subcommand(command.words)) + 1
    known = command.cwd_known and all(command.is_literal(at) for at in range(until + 1))
    folder = folder_meant(command.words, command.cwd or root) if known else ""
    return repository_around(folder, root) if folder else ""


def repository_around(folder: str, root: str) -> str:
    """As `repository_meant`, for git in a folder."""
    at = places.real(folder)
    if not places.is_within(at, root):
        return ""
    while at != root and not is_repository(at) and not os.path.lexists(f"{at}/HEAD"):
        at = os.path.dirname(at)
    return at


def is_repository(folder: str) -> bool:
    """Whether there is a `.git`; a bare repository has none, and is one by its files alone."""
    return os.path.lexists(f"{folder}/.git")
