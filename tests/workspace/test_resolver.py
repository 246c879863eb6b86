"""The path resolver against the kernel: on random forests of links both end at the same file, or both refuse."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import struct
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letta_code.core.errors import WorkspaceError
from letta_code.workspace.paths import resolve

NAMES = ("a", "b", "c", "sp ace")
OPENAT2 = 437
RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS = 0x08, 0x02

_part = st.sampled_from([*NAMES, ".", "..", "missing"])
_path = st.lists(_part, min_size=1, max_size=6).map("/".join)
_place = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
# What a link points to: within the forest relatively or absolutely (`@`), or out of it.
_target = st.one_of(_path, _path.map("@/".__add__), st.sampled_from(["/etc/passwd", "/", "../../outside", "@"]))
_forest = st.lists(
    st.tuples(_place, st.one_of(st.just("file"), st.just("folder"), _target.map("link:".__add__))), max_size=14
)


def plant(root: Path, forest: list[tuple[str, str]]) -> None:
    for place, what in forest:
        path = root / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if what == "file":
                path.write_text(place)
            elif what == "folder":
                path.mkdir()
            else:
                path.symlink_to(what.removeprefix("link:").replace("@", str(root), 1))
        except OSError:  # something is there already, or the way is a file or a loop
            continue


def kernel(path: str) -> tuple[str, int]:
    """The real path that the kernel ends at, or "" and its error."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        return "", error.errno or 0
    try:
        return os.readlink(f"/proc/self/fd/{fd}"), 0
    finally:
        os.close(fd)


def beneath(root: str, path: str) -> tuple[int, int] | None:
    """Device and inode that `openat2` reaches without ever leaving the root; None where it refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
        fd = libc.syscall(OPENAT2, top, os.fsencode(path), how, len(how))
        if fd < 0:
            return None
        status = os.fstat(fd)
        os.close(fd)
        return status.st_dev, status.st_ino
    finally:
        os.close(top)


@pytest.mark.skipif(sys.platform != "linux", reason="O_PATH, /proc and openat2 are Linux's")
@settings(max_examples=600, deadline=None)
@given(forest=_forest, asked=_path)
def test_the_resolver_equals_the_kernel(forest: list[tuple[str, str]], asked: str) -> None:
    folder = tempfile.mkdtemp(prefix="letta-forest-")
    try:
        root = Path(os.path.realpath(folder), "tree")
        root.mkdir()
        plant(root, forest)
        place, problem = kernel(f"{root}/{asked}")
        try:
            handle = resolve(asked, "read", root=str(root))
        except WorkspaceError:
            assert problem in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT), (asked, place, problem)
            return
        if place:
            assert handle.raw == place
            assert handle.kind != "missing"
            assert handle.inside == (place == str(root) or place.startswith(f"{root}/"))
        else:
            assert problem in (errno.ENOENT, errno.ENOTDIR)
            assert handle.kind == "missing"
        reached = beneath(str(root), asked)
        if reached is not None:  # what never left the tree is inside, and the same file
            assert handle.inside
            assert (handle.identity.device, handle.identity.inode) == reached
    finally:
        shutil.rmtree(folder)
