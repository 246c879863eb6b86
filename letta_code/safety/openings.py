"""Openings: what of the disk a yes opens to a command: a file, the folder it is made in, a secret that is hidden."""

from __future__ import annotations

import os
from collections.abc import Iterator

from letta_code.safety import places
from letta_code.safety.containment import Grant
from letta_code.safety.named_paths import Where
from letta_code.safety.sandboxes import hidden

_MOST_FOLDERS = 300  # that are looked through for repositories; one with more is not opened


def to_write(path: str, where: Where) -> Grant:
    """What lets a command write a real path: the file, or the folder where it is to be made, or no sandbox at all.

    A folder is opened with all that it holds: never a home, one with keys, or one with a repository, whose hooks would
    run later.
    """
    if places.is_within(path, "/dev"):
        return Grant()  # a sandbox has devices of its own
    if os.path.lexists(path) and not os.path.isdir(path):
        return Grant(writes=(path,))
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    if folder != path and folder.count("/") < 2:  # nobody named all of /opt
        return Grant(outside=True)
    return Grant(writes=(folder,)) if os.path.isdir(folder) and _is_plain(folder, where) else Grant(outside=True)


def to_read(path: str, where: Where) -> Grant:
    """What lets a command read a real path that a sandbox hides with a person's secrets; nothing for any other."""
    if not os.path.exists(path) or not any(places.is_within(path, one) for one in _secrets(where)):
        return Grant()
    return Grant(reads=(path,))


def _is_plain(folder: str, where: Where) -> bool:
    if places.is_within(where.home, folder) or places.is_secret(folder):
        return False
    kept = [one for one in (where.own, *_secrets(where)) if one]
    if any(places.is_within(folder, one) or places.is_within(one, folder) for one in kept):
        return False
    return not _holds_repository(folder)


def _secrets(where: Where) -> Iterator[str]:
    return hidden.secrets(where.home, Grant())


def _holds_repository(folder: str) -> bool:
    """Whether git keeps something in it or below, or it lies in what git keeps; too many folders count as yes."""
    if ".git" in folder.split("/"):
        return True
    waiting, seen = [folder], 0
    while waiting:
        seen += 1
        if seen > _MOST_FOLDERS:
            return True
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name == ".git":
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            return True
    return False
