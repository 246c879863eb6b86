"""Files of this machine: read, replace, remove, rename and list by handle, never past what was judged."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

from letta_code.core.errors import WorkspaceError
from letta_code.core.ids import new_id
from letta_code.workspace.paths import PASS_FLAGS, LocalHandle, failed, identity_of, kind_of, open_folder, shown
from letta_code.workspace.workspace import Entry, Identity

WHOLE_LIMIT = 256 * 1024 * 1024  # bytes that are read in one piece; more is read in parts
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EINVAL, errno.EACCES)


@contextmanager
def _folder_of(handle: LocalHandle) -> Generator[tuple[int, str]]:
    """The opened folder of a handle's file, and the file's name in it; errors of the system in our words."""
    folder, name = os.path.split(handle.raw)
    try:
        fd = open_folder(folder)
        try:
            yield fd, name
        finally:
            os.close(fd)
    except OSError as error:
        raise failed(error, handle.given) from error


def refuse_kind(handle: LocalHandle) -> None:
    """Only a regular file may pass."""
    if handle.kind == "missing":
        raise WorkspaceError(f"{handle.given} does not exist.")
    if handle.kind == "directory":
        raise WorkspaceError(f"{handle.given} is a directory.")
    if handle.kind == "other":
        raise WorkspaceError(f"{handle.given} is a device, FIFO or socket; such files are never opened.")


def read(handle: LocalHandle, offset: int, length: int | None) -> bytes:
    """Bytes of a regular file from `offset` on, at most `length`."""
    refuse_kind(handle)
    with _folder_of(handle) as (folder, name):
        fd = os.open(name, _READ_FLAGS, dir_fd=folder)
        try:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != (handle.identity.device, handle.identity.inode):
                raise WorkspaceError(f"{handle.given} was replaced by another file meanwhile; make the call again.")
            if not stat.S_ISREG(status.st_mode):
                raise WorkspaceError(f"{handle.given} is not a regular file any more.")
            if length is None and status.st_size - offset > WHOLE_LIMIT:
                raise WorkspaceError(
                    f"{handle.given} has {status.st_size:,} bytes: too much to read in one piece; read parts of it."
                )
            return _read_all(fd, offset, length)
        finally:
            os.close(fd)


def _read_all(fd: int, offset: int, length: int | None) -> bytes:
    """Read to the end even where the size says 0 (/proc), and not beyond the limit where a file grows meanwhile."""
    wanted = WHOLE_LIMIT if length is None else min(length, WHOLE_LIMIT)
    parts: list[bytes] = []
    while wanted > 0:
        part = os.pread(fd, min(wanted, 4_194_304), offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        wanted -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def replace(handle: LocalHandle, data: bytes, make_parents: bool) -> Identity:
    """New content by a temporary file in the same folder and a rename, so that a reader sees the old or the new.

    Mode bits, owner and extended attributes are kept.  A hard link is broken on purpose: the other names keep the old
    content, so that a link into the tree (a pnpm store, a file of somebody else) is not a way to write outside of it.
    Where a folder takes no new file, or the file is a mount of its own, the content is written in place.
    """
    if handle.kind not in ("file", "missing"):
        refuse_kind(handle)
    if handle.kind == "missing" and make_parents:
        _make_parents(handle)
    with _folder_of(handle) as (folder, name):
        _refuse_changed(handle, folder, name)
        temporary = f".{new_id('tmp')}~"
        try:
            fd = os.open(temporary, _NEW_FLAGS, 0o666, dir_fd=folder)
        except PermissionError:
            if handle.kind == "missing":
                raise
            return _write_in_place(handle, folder, name, data)
        try:
            try:
                _write_all(fd, data)
                if handle.kind == "file":
                    _keep_attributes(handle, folder, name, fd)
                os.fsync(fd)
                identity = identity_of(os.fstat(fd))
            finally:
                os.close(fd)
            _refuse_changed(handle, folder, name)
            if not _put(handle, folder, temporary, name):
                return _write_in_place(handle, folder, name, data)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
    return identity


def _put(handle: LocalHandle, folder: int, temporary: str, name: str) -> bool:
    """Give the temporary file its name; a new file never takes the place of one that came meanwhile."""
    if handle.kind == "missing":
        try:
            os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError as error:
            raise WorkspaceError(f"{handle.given} came into being meanwhile; read it first.") from error
        except OSError as error:  # a file system without hard links
            if error.errno not in _NO_LINKS:
                raise
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            return True
        os.unlink(temporary, dir_fd=folder)
        return True
    try:
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        if error.errno != errno.EBUSY:  # a file that is itself a mount (containers do that)
            raise
        os.unlink(temporary, dir_fd=folder)
        return False
    return True


def _refuse_changed(handle: LocalHandle, folder: int, name: str) -> None:
    try:
        now = identity_of(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError as error:
        if handle.kind == "missing":
            return
        raise WorkspaceError(f"{handle.given} was removed meanwhile.") from error
    if handle.kind == "missing":
        raise WorkspaceError(f"{handle.given} came into being meanwhile; read it first.")
    judged = handle.identity
    same = (now.device, now.inode, now.size, now.modified_ns) == (
        judged.device,
        judged.inode,
        judged.size,
        judged.modified_ns,
    )
    if not same:
        raise WorkspaceError(f"{handle.given} was changed by something else meanwhile; read it again.")


def _keep_attributes(handle: LocalHandle, folder: int, name: str, fd: int) -> None:
    """Owner, mode bits and extended attributes (ACLs, labels) of the old file, as far as we may."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    mode = stat.S_IMODE(status.st_mode)
    mine = os.fstat(fd)
    if (status.st_uid, status.st_gid) != (mine.st_uid, mine.st_gid):
        try:
            os.fchown(fd, status.st_uid, status.st_gid)
        except OSError:
            with suppress(OSError):
                os.fchown(fd, -1, status.st_gid)
            mode &= 0o777  # set-user-id must not pass to another owner
    os.fchmod(fd, mode)
    if sys.platform == "linux":
        with suppress(OSError):
            for attribute in os.listxattr(handle.raw, follow_symlinks=False):
                with suppress(OSError):
                    os.setxattr(fd, attribute, os.getxattr(handle.raw, attribute, follow_symlinks=False))


def _write_in_place(handle: LocalHandle, folder: int, name: str, data: bytes) -> Identity:
    fd = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != (handle.identity.device, handle.identity.inode):
            raise WorkspaceError(f"{handle.given} was replaced by another file meanwhile; make the call again.")
        _write_all(fd, data)
        os.ftruncate(fd, len(data))
        os.fsync(fd)
        return identity_of(os.fstat(fd))
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _make_parents(handle: LocalHandle) -> None:
    """Make the missing folders above a file, each below an opened one, following no link."""
    try:
        fd = open_folder("/")
        for part in [part for part in os.path.dirname(handle.raw).split("/") if part]:
            fd = _step_into(fd, part)
        os.close(fd)
    except OSError as error:
        raise failed(error, os.path.dirname(handle.given) or handle.given) from error


def _step_into(folder: int, name: str) -> int:
    """Open a folder in a folder, made if it is missing; the outer one is closed."""
    try:
        try:
            return os.open(name, PASS_FLAGS, dir_fd=folder)
        except FileNotFoundError:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
            return os.open(name, PASS_FLAGS, dir_fd=folder)
    finally:
        os.close(folder)


def remove(handle: LocalHandle) -> None:
    """Remove a file, or a link itself where the handle was resolved to delete."""
    refuse_kind(handle)
    with _folder_of(handle) as (folder, name):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if (status.st_dev, status.st_ino) != (handle.identity.device, handle.identity.inode):
            raise WorkspaceError(f"{handle.given} was replaced by another file meanwhile; make the call again.")
        os.unlink(name, dir_fd=folder)


def rename(source: LocalHandle, target: LocalHandle) -> None:
    """Rename a file; refuses to overwrite.  Folders above the new name are made."""
    refuse_kind(source)
    if target.kind != "missing":
        raise WorkspaceError(f"{target.given} exists already; remove it first or choose another name.")
    _make_parents(target)
    with _folder_of(source) as (old_folder, old_name), _folder_of(target) as (new_folder, new_name):
        status = os.stat(old_name, dir_fd=old_folder, follow_symlinks=False)
        if (status.st_dev, status.st_ino) != (source.identity.device, source.identity.inode):
            raise WorkspaceError(f"{source.given} was replaced by another file meanwhile; make the call again.")
        try:
            os.link(old_name, new_name, src_dir_fd=old_folder, dst_dir_fd=new_folder, follow_symlinks=False)
        except FileExistsError as error:
            raise WorkspaceError(f"{target.given} came into being meanwhile.") from error
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise
            os.rename(old_name, new_name, src_dir_fd=old_folder, dst_dir_fd=new_folder)
            return
        os.unlink(old_name, dir_fd=old_folder)


def entries(handle: LocalHandle) -> Sequence[Entry]:
    """What is in a folder, by name."""
    if handle.kind == "missing":
        raise WorkspaceError(f"{handle.given} does not exist.")
    if handle.kind != "directory":
        raise WorkspaceError(f"{handle.given} is not a directory.")
    try:
        fd = open_folder(handle.raw, to_list=True)
        try:
            with os.scandir(fd) as scan:
                found = [_entry(entry, fd) for entry in scan]
        finally:
            os.close(fd)
    except OSError as error:
        raise failed(error, handle.given) from error
    return sorted(found, key=lambda entry: entry.name)


def _entry(entry: os.DirEntry[str], folder: int) -> Entry:
    name = shown(entry.name)
    try:
        status = entry.stat(follow_symlinks=False)
        link = shown(os.readlink(entry.name, dir_fd=folder)) if stat.S_ISLNK(status.st_mode) else ""
    except OSError:  # gone meanwhile
        return Entry(name=name, kind="missing")
    return Entry(
        name=name, kind=kind_of(status.st_mode), size=status.st_size, modified_ns=status.st_mtime_ns, link=link
    )
