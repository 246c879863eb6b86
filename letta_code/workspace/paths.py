"""Paths: from what a model wrote to the real file that the policy judges, and back to text that can be shown."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from typing import NamedTuple

from letta_code.core.errors import WorkspaceError
from letta_code.workspace.workspace import FileKind, Identity, Intent

NAME_LIMIT = 4096
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PASS_FLAGS = _FOLDER_FLAGS | (os.O_PATH if sys.platform == "linux" else 0)  # O_PATH needs no read permission
_ESCAPED = re.compile(r"\\(x[0-9a-f]{2}|[ntr])")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


class LocalHandle(NamedTuple):
    """A resolved path here.

    No descriptor is held open: `path` has no symbolic link in it, and every use walks it again from the root without
    following any, then compares device and inode with those judged.  A link that was put in since makes the use fail.
    """

    given: str
    path: str
    kind: FileKind
    identity: Identity
    inside: bool
    raw: str  # the path as the system knows it; `path` has bytes that are no UTF-8 written as \xNN


def shown(name: str) -> str:
    """A file name as text that is safe to show and to store: control characters and bytes that are no UTF-8 escaped.

    `resolve` takes such names back.
    """
    if name.isascii() and name.isprintable():
        return name
    return _UNPRINTABLE.sub(_escape, name)


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    if char in _SHORT:
        return _SHORT[char]
    raw = os.fsencode(char) if "\udc80" <= char <= "\udcff" else char.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def unshown(name: str) -> str:
    """The file name that `shown` made this text from."""
    raw = b""
    for index, part in enumerate(_ESCAPED.split(name)):
        if index % 2 == 0:
            raw += os.fsencode(part)
        else:
            raw += {"n": b"\n", "t": b"\t", "r": b"\r"}.get(part) or bytes([int(part[1:], 16)])
    return os.fsdecode(raw)


def identity_of(status: os.stat_result) -> Identity:
    """The version of a file by its status."""
    return Identity(
        device=status.st_dev,
        inode=status.st_ino,
        size=status.st_size,
        modified_ns=status.st_mtime_ns,
        mode=status.st_mode,
    )


def kind_of(mode: int) -> FileKind:
    """File, directory or other (device, FIFO, socket, link)."""
    if stat.S_ISREG(mode):
        return "file"
    return "directory" if stat.S_ISDIR(mode) else "other"


def resolve(given: str, intent: Intent, *, root: str, base: str = "") -> LocalHandle:
    """The real file behind a path as the model wrote it; links are followed, but for `delete` not the last one."""
    full = _full(given, root, base)
    folder, name = os.path.split(full.rstrip("/"))
    if intent == "delete" and name not in ("", ".", ".."):
        real = os.path.join(_real(folder, given), name)
    else:
        real = _real(full, given)
    try:
        status = os.lstat(real)
    except (FileNotFoundError, NotADirectoryError):
        status = None
    except OSError as error:
        raise failed(error, given) from error
    if not _reached(full, given, intent) and status is not None:
        raise WorkspaceError(f"{given} does not exist: a part of it before `.` or `..` is missing, or is a file.")
    if status is None:
        kind, identity = "missing", Identity()
    elif stat.S_ISLNK(status.st_mode):
        if intent != "delete":  # what realpath could not follow: a loop, or a link that was changed just now
            raise WorkspaceError(f"{given} is a symbolic link that leads nowhere (a loop).")
        kind, identity = "file", identity_of(status)
    else:
        kind, identity = kind_of(status.st_mode), identity_of(status)
    inside = real == root or real.startswith(root.rstrip("/") + "/")
    return LocalHandle(given=given, path=shown(real), kind=kind, identity=identity, inside=inside, raw=real)


def _reached(full: str, given: str, intent: Intent) -> bool:
    """Whether the kernel finds a path, too: `missing/../x` and `file/.` it does not."""
    try:
        os.stat(full.rstrip("/") or "/", follow_symlinks=intent != "delete")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise WorkspaceError(f"{given} is a symbolic link that leads nowhere (a loop).") from error
        raise failed(error, given) from error
    return True


def _real(path: str, given: str) -> str:
    """The path with all links followed, whether or not something is there."""
    for _ in range(5):
        try:
            return os.path.realpath(path)
        except OSError:  # a link was changed while it was being read
            continue
    raise WorkspaceError(f"{given} is being changed by something else; make the call again.")


def _full(given: str, root: str, base: str) -> str:
    if not given:
        raise WorkspaceError("The path is empty.")
    if "\0" in given:
        raise WorkspaceError("The path has a NUL character in it.")
    if len(given) > NAME_LIMIT:
        raise WorkspaceError(f"The path is longer than {NAME_LIMIT} characters.")
    try:
        os.fsencode(given)
    except UnicodeEncodeError as error:
        raise WorkspaceError("The path is not valid Unicode.") from error
    path = os.path.expanduser(given) if given == "~" or given.startswith("~/") else given
    start = os.path.join(root, base) if base else root
    full = os.path.join(start, path)
    if "\\" in path and not os.path.lexists(full):
        unescaped = os.path.join(start, unshown(path))
        if os.path.lexists(unescaped):
            return unescaped
    return full


def open_folder(path: str, *, to_list: bool = False) -> int:
    """A descriptor of a folder by its real path, no link followed on the way; the caller closes it."""
    parts = [part for part in path.split("/") if part]
    fd = os.open("/", _FOLDER_FLAGS if to_list and not parts else PASS_FLAGS)
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        try:
            inner = os.open(part, _FOLDER_FLAGS if to_list and last else PASS_FLAGS, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def failed(error: OSError, given: str) -> WorkspaceError:
    """An error of the system in words that say what to do."""
    reasons = {
        errno.ENOENT: "does not exist",
        errno.ENOTDIR: "cannot be reached: a part of the path is a file, or became a link since it was judged",
        errno.ELOOP: "became a symbolic link since it was judged; make the call again",
        errno.EACCES: "may not be accessed (permission denied)",
        errno.EPERM: "may not be changed (operation not permitted)",
        errno.EROFS: "lies on a read-only file system",
        errno.ENOSPC: "could not be written: the disk is full; the old content stands",
        errno.EDQUOT: "could not be written: the disk quota is used up; the old content stands",
        errno.ENAMETOOLONG: "has a name that is too long for this file system",
        errno.EISDIR: "is a directory",
        errno.EEXIST: "exists already",
        errno.ENOTEMPTY: "is a directory that is not empty",
        errno.EXDEV: "lies on another file system: a rename cannot cross; write the new file and delete the old one",
    }
    reason = reasons.get(error.errno or 0)
    return WorkspaceError(f"{given} {reason}." if reason else f"{given}: {error.strerror or error}.")
