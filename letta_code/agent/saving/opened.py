"""Opened: an archive as somebody handed it to us, every byte of it checked, and unpacked where nothing stands yet."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import msgspec

from letta_code.agent.saving.archive import DATABASE, FORMAT, MANIFEST, ROOT, Entry, Manifest
from letta_code.agent.saving.parts import TOPS, BackupError
from letta_code.host.files import ensure_private_dir, write_all

_LARGEST_MANIFEST = 256 << 20
_MOST_MEMBERS = 1_000_000
_LARGEST = 1 << 40  # bytes of all files together
_CHUNK = 1 << 18
_LARGEST_READ = 1 << 20
_DAMAGE = (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile, ValueError, OverflowError)


class _Unzipped(gzip.GzipFile):
    """Refuses to make much of little: a header that claims gigabytes would be read whole."""

    def read(self, size: int | None = -1) -> bytes:
        """As a file's, for a bounded size."""
        if size is None or not 0 <= size <= _LARGEST_READ:
            raise ValueError("a header of it is too long")
        return super().read(size)


def read_archive(path: Path) -> Manifest:
    """Check every byte of an archive and return what it holds.  Raises `BackupError` that says what is wrong."""
    with _explained(path):
        return _read(path)


def _read(path: Path) -> Manifest:
    found: dict[str, Entry] = {}
    manifest: Manifest | None = None
    for name, member, file in _members(path):
        if manifest is not None:
            raise _bad(path, "something stands behind its list of files")
        if name == MANIFEST:
            manifest = _manifest(path, file, member.size)
        elif name:
            sha, size = hashlib.sha256(), 0
            while data := file.read(_CHUNK):
                sha.update(data)
                size += len(data)
            if name in found:
                raise _bad(path, f"it holds {name!r} twice")
            found[name] = Entry(size=size, sha256=sha.hexdigest(), runnable=bool(member.mode & 0o100))
    if manifest is None:
        raise _bad(path, "its end is missing, or it is none of letta-code's")
    if found != manifest.files:
        differing = sorted(
            name for name in found.keys() | manifest.files.keys() if found.get(name) != manifest.files.get(name)
        )
        raise _bad(path, f"{differing[0]!r} is not what its list of files says")
    for folder in manifest.folders:
        _checked_name(path, f"{ROOT}/{folder}")
    for name in (*found, *manifest.folders):
        above = (str(one) for one in (PurePosixPath(name), *PurePosixPath(name).parents))
        if both := next((one for one in above if one in found and (one != name or name in manifest.folders)), ""):
            raise _bad(path, f"{both!r} is a file in it and a folder as well")
    return manifest


def read_some(path: Path, names: Sequence[str], most: int) -> dict[str, bytes]:
    """Some files of a checked archive, each of at most so many bytes; longer ones are left out."""
    found: dict[str, bytes] = {}
    if not names:
        return found
    with _explained(path):
        for name, member, file in _members(path):
            if name in names and member.size <= most:
                parts: list[bytes] = []
                while data := file.read(_CHUNK):
                    parts.append(data)
                found[name] = b"".join(parts)
    return found


def unpack(path: Path, manifest: Manifest, target: Path) -> None:
    """Unpack a checked archive into a folder that does not exist yet; raises `BackupError`, `OSError`."""
    with _explained(path):
        _unpack(path, manifest, target)
    os.sync()  # thousands of small files: once is quicker than each


def _unpack(path: Path, manifest: Manifest, target: Path) -> None:
    target.mkdir(mode=0o700)
    for folder in manifest.folders:
        ensure_private_dir(target / folder)
    for name, _, file in _members(path):
        if not name or name == MANIFEST:
            continue
        entry = manifest.files.get(name)
        if entry is None:
            raise _bad(path, "it changed while it was read")
        place = target / name
        ensure_private_dir(place.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(place, flags, 0o700 if entry.runnable else 0o600)
        sha = hashlib.sha256()
        try:
            while data := file.read(_CHUNK):
                sha.update(data)
                write_all(descriptor, data)
        finally:
            os.close(descriptor)
        if sha.hexdigest() != entry.sha256:
            raise _bad(path, "it changed while it was read")


def _members(path: Path) -> Iterator[tuple[str, tarfile.TarInfo, IO[bytes]]]:
    """Every file's checked name in the home, its header and its bytes, in the archive's order."""
    total = count = 0
    if not path.is_file():
        raise BackupError(f"{path} is no file." if os.path.lexists(path) else f"There is no file {path}.")
    with _Unzipped(path, "rb") as data, tarfile.open(fileobj=cast("Any", data), mode="r:") as tar:
        while (member := tar.next()) is not None:
            count += 1
            total += member.size
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
                raise _bad(path, f"{member.name[:80]!r} is a link, a device or another thing that no backup holds")
            if count > _MOST_MEMBERS or total > _LARGEST or member.size < 0:
                raise _bad(path, "it is too large to be one")
            name = MANIFEST if member.name == MANIFEST else _checked_name(path, member.name)
            file = tar.extractfile(member)
            if file is not None:
                yield name, member, file
        if len(data.read(_CHUNK)) == _CHUNK:  # zeros to a round size, then the end with the checksum
            raise _bad(path, "something stands behind its end")


@contextlib.contextmanager
def _explained(path: Path) -> Generator[None]:
    """Whatever a spoiled or hostile archive makes the libraries raise is told as what it is."""
    try:
        yield
    except _DAMAGE as error:
        raise _bad(path, str(error) or type(error).__name__) from error
    except RecursionError as error:
        raise _bad(path, "its headers are nested") from error
    except OSError as error:
        if error.filename is not None and str(error.filename) != str(path):
            raise
        raise BackupError(f"{path} cannot be read: {error.strerror or error}") from error


def _checked_name(path: Path, name: str) -> str:
    root, _, inner = name.partition("/")
    words = inner.split("/")
    strange = any(word in ("", ".", "..") or not word.isprintable() or "\\" in word for word in words)
    if root != ROOT or strange or len(inner) > 4000:
        raise _bad(path, f"{name[:80]!r} is no name in a home")
    if words[0] not in (DATABASE, "credentials.yaml", *TOPS):
        raise _bad(path, f"{name[:80]!r} is nothing that a backup holds")
    return inner


def _manifest(path: Path, file: IO[bytes], size: int) -> Manifest:
    if size > _LARGEST_MANIFEST:
        raise _bad(path, "its list of files is too long")
    parts: list[bytes] = []
    while data := file.read(_CHUNK):
        parts.append(data)
    try:
        manifest = msgspec.json.decode(b"".join(parts), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad(path, f"its list of files cannot be read ({error})") from error
    if manifest.format > FORMAT:
        raise BackupError(
            f"{path} was made by a newer letta-code ({manifest.version}).", hint="Update letta-code to restore it."
        )
    return manifest


def _bad(path: Path, why: str) -> BackupError:
    return BackupError(f"{path} is no sound backup: {why}. Nothing was changed.", hint="Use another backup.")
