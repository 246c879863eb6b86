"""Beneath: real paths of the work tree by descriptors: what a command puts on the way to one cannot lead elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

Identity: TypeAlias = tuple[int, int]  # device and inode
PASS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PASS |= os.O_PATH if sys.platform == "linux" else 0  # which needs no right to read


@contextmanager
def folder(path: str) -> Iterator[int]:
    """A descriptor of a folder, to be used as `dir_fd`; an `OSError` where any part of its path is a link."""
    descriptor = os.open("/", PASS)
    try:
        for name in path.split("/"):
            if name:
                inner = os.open(name, PASS, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def parent(path: str) -> Iterator[tuple[int, str]]:
    """A descriptor of the folder that a path lies in, and its last name."""
    above, name = os.path.split(path)
    with folder(above) as descriptor:
        yield descriptor, name


def identity(descriptor: int) -> Identity:
    """What tells a folder from another one that took its name."""
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def exists(descriptor: int, name: str) -> bool:
    """Whether there is anything by a name in a folder, be it a link to nowhere."""
    try:
        os.lstat(name, dir_fd=descriptor)
    except OSError:
        return False
    return True


def set_aside(descriptor: int, name: str) -> str:
    """Give what has a name in a folder another one, which comes back."""
    count, aside = 1, f"{name}.set-aside"
    while exists(descriptor, aside):
        count, aside = count + 1, f"{name}.set-aside-{count}"
    os.rename(name, aside, src_dir_fd=descriptor, dst_dir_fd=descriptor)
    return aside
