"""Probing: what this machine can do, asked of small programs and the kernel, each with a time limit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_MOST = 64_000  # bytes of what a program says
_LANDLOCK_CREATE_RULESET = 444  # the same number on every architecture
_ASK_VERSION = 1


class Said(NamedTuple):
    """How a program ended (None: it did not in time) and what it said, both outputs together."""

    code: int | None
    text: str


def ask(
    argv: Sequence[str], *, seconds: float = 5.0, cwd: str | None = None, env: Mapping[str, str] | None = None
) -> Said | None:
    """Run a program that reads nothing; None where it cannot be started."""
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        return Said(None, (error.output or b"")[:_MOST].decode("utf-8", "replace"))
    except (OSError, ValueError):
        return None
    return Said(done.returncode, done.stdout[:_MOST].decode("utf-8", "replace"))


def landlock_version() -> int:
    """The version of the kernel's Landlock, 0 where it has none."""
    if sys.platform != "linux":
        return 0
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
    except (OSError, AttributeError):
        return 0
    call.restype = ctypes.c_long
    return max(0, int(call(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))))


def file_system(path: Path) -> str:
    """The type of the file system that a path is on (`ext4`, `nfs4` …); "" where the system does not tell."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    real, best, found = os.path.realpath(path), -1, ""
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        place = fields[4].encode().decode("unicode_escape", "replace")
        inside = real == place or real.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= best:
            best, found = len(place), right.split(" ")[0]
    return found


def size_of(path: Path, most: int = 200_000) -> tuple[int, int]:
    """Bytes and files of a folder or file; links are not followed, and after `most` entries it stops counting."""
    try:
        found = path.lstat()
    except OSError:
        return 0, 0
    if not path.is_dir() or path.is_symlink():
        return found.st_size, 1
    size = count = 0
    todo = [str(path)]
    while todo and count < most:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    else:
                        count += 1
                        size += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return size, count
