"""Opened: a repository that a command may write, looked at when it has ended: git must still find it, and only it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from letta_code.safety.sandboxes import beneath
from letta_code.safety.sandboxes.repositories import Repository
from letta_code.safety.terminal import visible

_HEAD = re.compile(rb"ref:\s*refs/.*|[0-9a-f]{40}(?:[0-9a-f]{24})?\s*", re.DOTALL)
_LONGEST = 4096  # bytes of a head


class Opened(NamedTuple):
    """A folder of a repository before the command; `head` is what its HEAD held, b"" where that was not one.

    `whole`: it holds objects and refs too, and is not the folder of a linked work tree.
    """

    path: str
    folder: beneath.Identity
    head: bytes
    whole: bool


def opened(known: Repository) -> list[Opened]:
    """The folders of a repository that is about to be opened; a linked work tree has one beside the common one."""
    found: list[Opened] = []
    for path in dict.fromkeys((known.common, known.folder)):
        with suppress(OSError), beneath.folder(path) as folder:
            found.append(Opened(path, beneath.identity(folder), _head(folder), path == known.common))
    return found


def looked_after(before: Opened) -> Iterator[str]:
    """Set right what would lead git elsewhere, all by descriptors; what is to be told."""
    shown = visible(before.path)
    try:
        with beneath.folder(before.path) as folder:
            if beneath.identity(folder) != before.folder:
                yield f"{shown} was replaced by another folder while the repository was open; look before you use git"
                return
            if before.whole:
                yield from _without_detour(folder, before.path)
            if before.head and not _head(folder):
                yield from _head_put_back(folder, before)
            parts = ("objects", "refs") if before.whole else ()
            lost = [name for name in parts if not os.access(name, os.X_OK, dir_fd=folder)]
        if lost:
            yield _lost(shown, ", ".join(lost))
    except OSError as error:
        yield _lost(shown, error.strerror or "")


def _lost(shown: str, what: str) -> str:
    return (
        f"{shown} is no repository any more ({what}): git would take another one, of a folder around it or one that "
        "was made to look so. Do not use git there before it is mended."
    )


def _without_detour(folder: int, path: str) -> Iterator[str]:
    """`commondir` in a main repository would make git take configuration and hooks from another folder."""
    if beneath.exists(folder, "commondir"):
        aside = beneath.set_aside(folder, "commondir")
        yield (
            f"{visible(path)}/commondir would lead git to other configuration; it was set aside as "
            f"{visible(f'{path}/{aside}')}"
        )


def _head_put_back(folder: int, before: Opened) -> Iterator[str]:
    """Without a head git takes no folder for a repository."""
    aside = beneath.set_aside(folder, "HEAD") if beneath.exists(folder, "HEAD") else ""
    written = os.open("HEAD", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
    with open(written, "wb") as file:
        file.write(before.head)
    rest = f"; what stood there is now {visible(f'{before.path}/{aside}')}" if aside else ""
    yield f"{visible(before.path)}/HEAD named no commit any more and was put back{rest}"


def _head(folder: int) -> bytes:
    """What git reads as the head of a repository, b"" where it would not."""
    try:
        descriptor = os.open("HEAD", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return _linked(folder)
    with open(descriptor, "rb") as file:
        try:
            text = file.read(_LONGEST)
        except OSError:  # a folder
            return b""
    return text if _HEAD.fullmatch(text) else b""


def _linked(folder: int) -> bytes:
    """A head that is a link, as git made them long ago."""
    try:
        target = os.readlink("HEAD", dir_fd=folder)
    except OSError:
        return b""
    return b"ref: " + os.fsencode(target) + b"\n" if target.startswith("refs/") else b""
