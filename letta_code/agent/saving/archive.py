"""Archive: one file with all that a home holds, written whole or not at all, and read back before it counts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tarfile
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO

import msgspec

from letta_code import __version__
from letta_code.agent.saving.parts import CHECKPOINTS, LEFT_OUT, BackupError, apart, stamp, together
from letta_code.config.paths import Paths
from letta_code.core.ids import utc_now
from letta_code.core.messages import Value
from letta_code.host.files import PRIVATE_FILE, ensure_private_dir, sync_dir
from letta_code.host.memory_git import Repository
from letta_code.store.backing import Contents, copy_database

ROOT = "letta-code-backup"
MANIFEST = f"{ROOT}/manifest.json"
DATABASE = "letta.db"
FORMAT = 1
_LOCK_SECONDS = 30.0
_IN_MEMORY = 8 << 20
_CHUNK = 1 << 18
_COMPRESSION = 3


class Entry(Value, frozen=True):
    """A file of an archive: bytes, SHA-256 in hexadecimal digits, whether its owner may run it."""

    size: int
    sha256: str
    runnable: bool = False


class Manifest(Value, frozen=True):
    """What an archive says it holds; `files` by their path in the home, `folders` those that may be empty."""

    format: int
    version: str
    created_at: str
    home: str
    database: Contents | None
    files: dict[str, Entry]
    folders: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files.values())


class Made(Value, frozen=True):
    """A backup that was written and read back."""

    path: str
    size: int
    manifest: Manifest


def back_up(paths: Paths, target: Path, *, keys: bool = False, checkpoints: bool = False) -> Made:
    """Write a backup of a home into a new file (0600), while others go on writing.

    Raises `StoreDamaged` where the database holds damage, `BackupError` otherwise, with nothing left behind.
    """
    if not paths.home.is_dir():
        raise BackupError(f"There is no {paths.home} to back up.")
    if target.is_dir():
        target = target / f"letta-code-{stamp()}.tar.gz"
    if os.path.lexists(target):
        raise BackupError(f"{target} is there already; nothing was written.", hint="Give another name.")
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        ensure_private_dir(target.parent)
        made = _Writing(paths, keys, checkpoints).write(temporary)
        _read_back(temporary, made)
        os.link(temporary, target)
        sync_dir(target.parent)
    except OSError as error:
        raise BackupError(
            f"The backup {target} could not be written: {error.strerror or error}. Nothing of it was kept.",
            hint="Make room on that disk, or name a file on another one.",
        ) from error
    finally:
        for leftover in temporary.parent.glob(f"{temporary.name}*"):
            leftover.unlink(missing_ok=True)
    return Made(path=str(target), size=target.stat().st_size, manifest=made)


def _read_back(path: Path, made: Manifest) -> None:
    from letta_code.agent.saving.opened import read_archive

    if read_archive(path) != made:
        raise BackupError(f"{path} is not what was written.", hint="The disk may be failing: use another one.")


class _Writing:
    """One archive while it is written."""

    def __init__(self, paths: Paths, keys: bool, checkpoints: bool) -> None:
        self._paths = paths
        self._keys = keys
        self._checkpoints = checkpoints
        self._files: dict[str, Entry] = {}
        self._folders: list[str] = []
        self._left_out: list[str] = [*LEFT_OUT]
        self._left_out += [] if keys or not paths.credentials.exists() else ["credentials.yaml (keys)"]
        self._left_out += [] if checkpoints else [CHECKPOINTS]

    def write(self, path: Path) -> Manifest:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
        with open(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=_COMPRESSION, format=tarfile.PAX_FORMAT) as tar:
                # The copies first: one behind the database is caught up, one ahead of it would look like another story.
                for part in together(self._paths):
                    self._add_part(tar, part)
                for part in apart(self._paths, keys=self._keys, checkpoints=self._checkpoints):
                    self._add_tree(tar, part)
                contents = self._add_database(tar, path)
                manifest = self._manifest(contents)
                data = msgspec.json.encode(manifest)
                with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(path.parent)) as text:
                    text.write(data)
                    text.seek(0)
                    self._member(tar, MANIFEST, text, len(data), runnable=False)
            file.flush()
            os.fsync(file.fileno())
        return manifest

    def _manifest(self, contents: Contents | None) -> Manifest:
        return Manifest(
            format=FORMAT,
            version=__version__,
            created_at=utc_now(),
            home=str(self._paths.home),
            database=contents,
            files=self._files,
            folders=tuple(self._folders),
            left_out=tuple(self._left_out),
        )

    def _add_database(self, tar: tarfile.TarFile, path: Path) -> Contents | None:
        if not os.path.lexists(self._paths.database):
            return None
        copy = path.with_name(f"{path.name}.db")
        contents = copy_database(self._paths.database, copy)
        self._add_file(tar, copy, DATABASE)
        copy.unlink()
        return contents

    def _add_part(self, tar: tarfile.TarFile, part: Path) -> None:
        """A part that others may be writing: a repository is taken under the lock of its writers."""
        memory = part if part.name == "memory" else part / "memory"
        with _still(memory if part.is_dir() else None):
            self._add_tree(tar, part)

    def _add_tree(self, tar: tarfile.TarFile, top: Path) -> None:
        name = top.relative_to(self._paths.home).as_posix()
        top = Path(os.path.realpath(top)) if top == self._paths.config else top
        for path, inner in _walk(top):
            where = f"{name}/{inner}" if inner else name
            if path.name == "memory.lock" or "/.git/letta/scratch/" in f"/{where}/":
                continue
            found = path.lstat() if os.path.lexists(path) else None
            if found is None:
                continue  # it was removed meanwhile
            if stat.S_ISDIR(found.st_mode):
                self._folders.append(where)
            elif stat.S_ISREG(found.st_mode):
                self._add_file(tar, path, where)
            else:
                self._left_out.append(f"{where} (a link or no regular file)")

    def _add_file(self, tar: tarfile.TarFile, path: Path, name: str) -> None:
        if not name.isprintable() or name.encode("utf-8", "replace").decode() != name:
            self._left_out.append(f"{name!r} (its name)")
            return
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except PermissionError:
            self._left_out.append(f"{name} (no right to read it)")
            return
        # A file may grow while it is read, and its size stands before its bytes: so it is copied first.
        with open(descriptor, "rb") as file, tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=tar_dir(tar)) as copy:
            sha, size = hashlib.sha256(), 0
            while data := file.read(_CHUNK):
                sha.update(data)
                size += len(data)
                copy.write(data)
            copy.seek(0)
            runnable = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
            self._member(tar, f"{ROOT}/{name}", copy, size, runnable=runnable)
        self._files[name] = Entry(size=size, sha256=sha.hexdigest(), runnable=runnable)

    def _member(self, tar: tarfile.TarFile, name: str, file: IO[bytes], size: int, *, runnable: bool) -> None:
        member = tarfile.TarInfo(name)
        member.size = size
        member.mode = 0o700 if runnable else 0o600
        tar.addfile(member, file)


def tar_dir(tar: tarfile.TarFile) -> str | None:
    """The folder of an archive: what is too long for memory waits on the disk that it will need anyway."""
    name = getattr(tar.fileobj, "name", None) or getattr(tar, "name", None)
    return os.path.dirname(name) if isinstance(name, str) and name else None


def _walk(top: Path) -> Iterator[tuple[Path, str]]:
    """A file, or a folder with all below it, folders before what is in them; links are not followed."""
    yield top, ""
    if top.is_symlink() or not top.is_dir():
        return
    for folder, folders, files in os.walk(top):
        folders.sort()
        for name in (*folders, *sorted(files)):
            path = Path(folder, name)
            yield path, path.relative_to(top).as_posix()


@contextlib.contextmanager
def _still(memory: Path | None) -> Generator[None]:
    """Hold the lock of a memory repository where there is one; a home that cannot be written has no writers."""
    if memory is None or not (memory / ".git").is_dir():
        yield
        return
    lock = Repository(memory).lock
    try:
        lock.acquire(_LOCK_SECONDS)
    except BlockingIOError as error:  # `LockTimeout` is one, by its number
        raise BackupError(
            f"{memory} is being written by another process for too long; no backup was made.", hint="Try again."
        ) from error
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        lock.release()
