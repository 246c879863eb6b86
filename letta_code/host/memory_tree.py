"""The working files of a memory repository: what we put there, and what somebody changed since by hand."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from letta_code.core.messages import Value
from letta_code.host import git_index
from letta_code.host.files import atomic_write, ensure_private_dir, read_bounded
from letta_code.host.git_index import Staged
from letta_code.host.git_objects import Entry, blob_name
from letta_code.host.memory_git import Repository
from letta_code.host.memory_paths import path_problem, printable

LARGEST_FILE = 1 << 20  # bytes of a working file that is taken into memory
_LARGEST_RECORD = 64 << 20
_SUFFIX = ".md"
# What every file would meet: the disk is full, broken, or cannot be written at all.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


class Seen(Value):
    """A working file as we last knew it: its blob, and the stat data that show whether it is still that."""

    sha: str
    size: int = 0
    modified_ns: int = 0
    changed_ns: int = 0
    inode: int = 0

    @classmethod
    def of(cls, sha: str, found: os.stat_result) -> Seen:
        """A file whose content has this name."""
        return cls(
            sha=sha, size=found.st_size, modified_ns=found.st_mtime_ns, changed_ns=found.st_ctime_ns, inode=found.st_ino
        )


class Record(msgspec.Struct):
    """What stands in the working folder.

    `commit` is the commit that it was last brought to; `behind` are paths that differ from it (a hand edit that is not
    taken in), `unindexed` those whose entry in git's index is old.
    """

    commit: str = ""
    files: dict[str, Seen] = {}
    behind: list[str] = []
    unindexed: list[str] = []

    def copy(self) -> Record:
        """One that can be changed without changing this."""
        return Record(self.commit, dict(self.files), list(self.behind), list(self.unindexed))


class HandEdits(Value):
    """What differs from the record: path → new content (None: removed), and path → why a file was left alone."""

    files: Mapping[str, bytes | None]
    problems: Mapping[str, str]
    kept: int = 0  # files of ours that are still there


class WorkTree:
    """The working files of a repository; what writes must be called while the repository's lock is held."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._root = repository.root
        self._path = repository.own_dir / "checkout.json"
        self._record = Record()
        self._record_stat: tuple[int, int] = (0, 0)

    def record(self, *, fresh: bool = False) -> Record:
        """The record on disk; an unreadable one is an empty one.

        `fresh` reads it whatever the file's times say: two processes can replace a file twice in one tick of the clock.
        """
        try:
            found = self._path.stat()
            mark = (found.st_mtime_ns, found.st_ino)
            if fresh or mark != self._record_stat:
                self._record = msgspec.json.decode(read_bounded(self._path, _LARGEST_RECORD), type=Record)
                self._record_stat = mark
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            self._record, self._record_stat = Record(), (0, 0)
        return self._record

    def save(self, record: Record) -> None:
        """Keep the record; not synced: written after the files it tells of, and an old one is understood."""
        atomic_write(self._path, msgspec.json.encode(record), durable=False, follow=False)
        found = self._path.stat()
        self._record, self._record_stat = record, (found.st_mtime_ns, found.st_ino)

    # ------------------------------------------------------------ hand edits

    def hand_edits(self, record: Record, folders: Sequence[str] = ("",)) -> HandEdits:
        """What was changed by hand below these folders ("" for all): new `.md` files, and any file of ours.

        Reads only files whose stat data changed.  Links are never followed.
        """
        files: dict[str, bytes | None] = {}
        problems: dict[str, str] = {}
        present: set[str] = set()
        for path, entry in self._walk(folders):
            present.add(path)
            known = record.files.get(path)
            if known is None and not path.endswith(_SUFFIX):
                continue
            if wrong := path_problem(path):
                problems[printable(path)] = f"was not read: {wrong}"
                continue
            try:
                if not stat.S_ISREG(entry.st_mode):
                    problems[path] = "is a link or no regular file, and was not read"
                elif known is None or Seen.of(known.sha, entry) != known:
                    data = read_bounded(self._root / path, LARGEST_FILE)
                    if known is None or blob_name(data) != known.sha:
                        files[path] = data
            except OSError as error:
                problems[path] = "is larger than 1 MB" if error.errno == errno.EFBIG else str(error.strerror)
        for path in {**record.files, **dict.fromkeys(record.behind)}:
            if (
                path in present
                or path_problem(path)
                or not any(not f or path.startswith(f"{f}/") or path == f for f in folders)
            ):
                continue
            if link := self._link_above(path):
                problems[path] = f"was left as it is: {link} is a link, which memory does not follow"
            elif path in record.files:
                files[path] = None
            elif why := self.blocked(path) or self._folder_at(path):
                problems[path] = f"was left as it is: {why}"
        return HandEdits(files=files, problems=problems, kept=len(present & record.files.keys()))

    def _walk(self, folders: Sequence[str]) -> Iterator[tuple[str, os.stat_result]]:
        for folder in folders:
            if not folder or (not self.blocked(folder) and not (self._root / folder).is_symlink()):
                yield from _below(self._root / folder, f"{folder}/" if folder else "")

    def blocked(self, path: str) -> str:
        """Why there can be no working file at a path, whatever stands there itself; "" when there can.

        Nothing that is blocked is read, written or removed.
        """
        if wrong := path_problem(path):
            return wrong
        folder = ""
        for name in path.split("/")[:-1]:
            folder = f"{folder}/{name}" if folder else name
            try:
                mode = (self._root / folder).stat(follow_symlinks=False).st_mode
            except OSError:
                return ""  # not there
            if stat.S_ISLNK(mode):
                return f"{folder} is a link, which memory does not follow"
            if not stat.S_ISDIR(mode):
                return f"{folder} is a file, no folder"
        return ""

    def _folder_at(self, path: str) -> str:
        return "a folder has that name" if (self._root / path).is_dir() else ""

    def _link_above(self, path: str) -> str:
        names = path.split("/")
        folders = ("/".join(names[:count]) for count in range(1, len(names)))
        return next((folder for folder in folders if (self._root / folder).is_symlink()), "")

    # ------------------------------------------------------------ writing

    def prepared(self, files: Mapping[str, bytes | None]) -> dict[str, Path]:
        """Names of scratch files for contents that will be put in place."""
        return {path: self._scratch_file() for path, data in files.items() if data is not None}

    def _scratch_file(self) -> Path:
        return self._repository.scratch / f"file-{os.urandom(8).hex()}"

    def place(self, files: Mapping[str, bytes | None], scratch: Mapping[str, Path], record: Record) -> None:
        """Bring working files to new contents (None removes), and the record with them.

        A file that is no longer what the record says was edited by hand just now: it is left alone and noted as
        behind, so that the next look finds the edit; so is one whose place is taken by something that is not ours.
        `scratch` holds contents that are on disk already.
        """
        for path, data in sorted(files.items(), key=lambda item: item[1] is not None):  # what goes makes room
            record.behind = [other for other in record.behind if other != path]
            record.unindexed = [*(other for other in record.unindexed if other != path), path]
            if self.blocked(path) or not self._is_as_recorded(path, record):
                record.behind.append(path)
                continue
            try:
                self._put(path, data, scratch, record)
            except OSError as error:
                if error.errno in _DISK:
                    raise
                record.behind.append(path)

    def _put(self, path: str, data: bytes | None, scratch: Mapping[str, Path], record: Record) -> None:
        target = self._root / path
        if data is None:
            target.unlink(missing_ok=True)
            record.files.pop(path, None)
            _remove_empty(target.parent, self._root)
            return
        ensure_private_dir(target.parent)
        ready = scratch.get(path)
        if ready is None:
            ready = self._scratch_file()
            atomic_write(ready, data, mode=0o600)
        os.replace(ready, target)
        record.files[path] = Seen.of(blob_name(data), target.stat(follow_symlinks=False))

    def _is_as_recorded(self, path: str, record: Record) -> bool:
        known = record.files.get(path)
        try:
            found = (self._root / path).stat(follow_symlinks=False)
        except OSError:
            return known is None
        if known is None:
            return False
        return stat.S_ISREG(found.st_mode) and Seen.of(known.sha, found) == known

    def recognise(self, paths: Iterable[str], commit: str, record: Record) -> None:
        """Note that working files are what stands in a commit already."""
        for path in paths:
            entry = self._repository.entry(commit, path)
            record.behind = [other for other in record.behind if other != path]
            if entry is None:
                record.files.pop(path, None)
            else:
                with contextlib.suppress(OSError):
                    record.files[path] = Seen.of(entry.sha, (self._root / path).stat(follow_symlinks=False))

    def note(self, path: str, data: bytes, record: Record) -> None:
        """Note that a working file has this content, if it has: then it may be replaced."""
        with contextlib.suppress(OSError):
            before = (self._root / path).stat(follow_symlinks=False)
            seen = Seen.of(blob_name(data), before)
            if self.read(path) == data and Seen.of(seen.sha, (self._root / path).stat(follow_symlinks=False)) == seen:
                record.files[path] = seen

    def read(self, path: str) -> bytes | None:
        """The content of a working file, None when there is none that may be read."""
        try:
            if self.blocked(path) or (self._root / path).is_symlink():
                return None
            return read_bounded(self._root / path, LARGEST_FILE)
        except OSError:
            return None

    def bring_index(self, commit: str, record: Record) -> None:
        """Bring git's index to a commit for the paths that are not, so that the person's `git status` tells the truth.

        While another git holds the index this waits for the next write.
        """
        changes: dict[str, Staged | None] = {}
        for path in record.unindexed:
            entry = self._repository.entry(commit, path)
            changes[path] = self._staged(path, entry, record) if entry and entry.is_file else None
        index = self._repository.git_dir / "index"
        try:
            content = git_index.patched(index, changes)
        except git_index.NotOurs:
            return
        if content is None:
            files = {path: self._repository.entry(commit, path) for path in self._repository.files(commit)}
            content = git_index.whole({path: self._staged(path, e, record) for path, e in files.items() if e})
        if not git_index.write(index, content, self._scratch_file()):
            self._repository.remove_if_stale(index.with_name("index.lock"))
            if not git_index.write(index, content, self._scratch_file()):
                return
        record.unindexed = []

    def _staged(self, path: str, entry: Entry, record: Record) -> Staged:
        found: os.stat_result | None = None
        with contextlib.suppress(OSError):
            found = (self._root / path).stat(follow_symlinks=False)
            if record.files.get(path) != Seen.of(entry.sha, found):
                found = None
        return Staged(sha=entry.sha, mode=entry.mode, found=found)


def _below(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):  # git's own folder, editors' swap files
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            with contextlib.suppress(OSError):  # gone in this moment
                yield f"{prefix}{entry.name}", entry.stat(follow_symlinks=False)


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
