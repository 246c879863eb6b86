"""The index of the store of snapshots: files are added to it, left out of it with a reason, and trees made from it."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec

from letta_code.core.messages import Value
from letta_code.host.files import atomic_write, open_regular, read_bounded
from letta_code.host.snapshot_cover import Covered, Remembered
from letta_code.host.snapshot_extras import Extras, store_extras, usual_of
from letta_code.host.snapshot_restore import TEMPORARY
from letta_code.host.snapshot_store import EMPTY_TREE, SnapshotStore

_MANY = 300  # files from which a pack is quicker than single objects (five times with 20,000)
_TOLD = 1000  # files left out that are named one by one
_NO_INDEX = (0, 0, 0)
_LATELY = 2.0  # seconds
_LARGEST = 256 << 20  # bytes of what is remembered: about 100 for each file of the tree


class LeftOut(Value):
    """A file that a snapshot does not hold, and why; `size` in bytes (0 when it has none)."""

    path: str
    why: str
    size: int = 0


class LeavingOut:
    """Decides which files are held; `max_file` and `max_new` are bytes of one file and of all that is new."""

    def __init__(self, root: str, max_file: int, max_new: int) -> None:
        self._root = os.fsencode(root)
        self._limits = (max_file, max_new)
        self._left: dict[bytes, LeftOut] = {}
        self.modes: dict[bytes, int] = {}  # permission bits of the files that were looked at
        self.lately: set[bytes] = set()  # those of them that changed in the last seconds

    def fresh(self, odd: Iterable[tuple[bytes, str]]) -> LeavingOut:
        """The same limits with nothing left out yet but `odd`."""
        new = LeavingOut(os.fsdecode(self._root), *self._limits)
        for path, why in odd:
            new.leave(path, why)
        return new

    def leave(self, path: bytes, why: str, size: int = 0) -> None:
        """Tell that a path is not held."""
        self._left[path] = LeftOut(path=os.fsdecode(path), why=why, size=size)

    def left_out(self) -> tuple[LeftOut, ...]:
        """All of them by path; beyond a thousand only their count."""
        all_left = [self._left[path] for path in sorted(self._left)]
        rest = all_left[_TOLD:]
        if rest:
            more = LeftOut(path="", why=f"{len(rest)} more files", size=sum(item.size for item in rest))
            return (*all_left[:_TOLD], more)
        return tuple(all_left)

    def sort(self, changed: set[bytes], gone: set[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Paths to add and paths to take out of the index."""
        sizes: dict[bytes, int] = {}
        removing = set(gone)
        for path in changed:
            size = self._size(path)
            if size is None:
                removing.add(path)
            else:
                sizes[path] = size
        limit = self._limits[1]
        if sum(sizes.values()) > limit:
            for path in sorted(sizes, key=lambda path: (sizes[path], path)):
                limit -= sizes[path]
                if limit < 0:
                    self.leave(path, "too much is new: the snapshot is full", sizes[path])
                    removing.add(path)
        return sorted(sizes.keys() - removing), sorted(removing)

    def _size(self, path: bytes) -> int | None:
        """Bytes of a file that can be held, None for one that cannot (told) or is not there (not told)."""
        full = os.path.join(self._root, path)
        name = os.path.basename(path)
        try:
            status = os.lstat(full)
        except OSError:
            return None
        if TEMPORARY.fullmatch(name):
            os.unlink(full)  # of a restore that was killed: nobody restores now, as we hold the lock
        elif b".git" in path.lower().split(b"/") or (name == b".gitmodules" and stat.S_ISLNK(status.st_mode)):
            self.leave(path, "git refuses this name", status.st_size)
        elif stat.S_ISLNK(status.st_mode):
            return status.st_size
        elif stat.S_ISREG(status.st_mode):
            self._note(path, status)
            return self._file_size(path, full, status.st_size)
        elif not stat.S_ISDIR(status.st_mode):
            self.leave(path, "socket or device")
        return None

    def look_again(self, paths: Iterable[bytes]) -> None:
        """Look at the rights of files that git may not see change."""
        for path in paths:
            with suppress(OSError):
                status = os.lstat(os.path.join(self._root, path))
                if stat.S_ISREG(status.st_mode):
                    self._note(path, status)

    def _note(self, path: bytes, status: os.stat_result) -> None:
        self.modes[path] = stat.S_IMODE(status.st_mode) & 0o777
        if status.st_ctime > time.time() - _LATELY:
            self.lately.add(path)

    def _file_size(self, path: bytes, full: bytes, size: int) -> int | None:
        if size > self._limits[0]:
            self.leave(path, "too large", size)
        elif not os.access(full, os.R_OK):
            self.leave(path, "unreadable", size)
        else:
            return size
        return None


class SnapshotIndex:
    """The index and what is remembered beside it; the store must be locked."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._file = store.folder / "index"
        self._memory = store.folder / "remembered"

    def forget(self) -> None:
        """Begin with an empty index; objects stay."""
        for file in (self._file, self._memory):
            with suppress(FileNotFoundError):
                file.unlink()

    def remembered(self, top: str) -> Remembered:
        """What the last take left, nothing when it was of another repository or cannot be read."""
        new = Remembered(top=os.fsencode(top), root=os.fsencode(self._store.root))
        try:
            last = msgspec.msgpack.decode(read_bounded(self._memory, _LARGEST), type=Remembered)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            last = Remembered()
        if (last.top, last.root) == (new.top, new.root) and self._identity() != _NO_INDEX and any(last.usual):
            return last
        self.forget()
        return new

    def count(self) -> int:
        """Files in the index: its head says it."""
        with suppress(OSError), open_regular(self._file) as file:
            return int.from_bytes(file.read(12)[8:], "big")
        return 0

    def _identity(self) -> tuple[int, int, int]:
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return _NO_INDEX
        return status.st_ino, status.st_size, status.st_mtime_ns

    def update(self, top: str, last: Remembered, limits: LeavingOut, covered: Covered) -> tuple[str, int]:
        """Bring the index to what is wanted and write its tree; returns its name and the bytes that the store grew."""
        adding, removing = limits.sort(covered.changed, covered.gone)
        same = not adding and last.tree and last.index == self._identity()
        if same and not (removing and self._holds(top, removing)):
            tree, added = last.tree, 0
        else:
            tree, added = self._change(top, adding, removing)
        modes, usual = _modes(last, limits.modes, adding, removing)
        held = covered.forced.difference(removing)  # what is not in the index is looked for again each time
        now = msgspec.structs.replace(
            last, forced=tuple(sorted(held)), nested=covered.nested, tree=tree, index=self._identity()
        )
        now = msgspec.structs.replace(
            now, modes=modes, usual=usual, fresh=tuple(sorted(limits.lately.difference(removing)))
        )
        if now != last:
            atomic_write(self._memory, msgspec.msgpack.encode(now), durable=False, follow=False)
        return store_extras(self._store, tree, Extras(usual, modes, covered.empty)), added

    def _change(self, top: str, adding: list[bytes], removing: list[bytes]) -> tuple[str, int]:
        before = self._store.objects()
        try:
            self._feed(top, ("--force-remove",), removing)
            self._feed(top, ("--add", "--remove", "--replace"), adding)
            tree = self._tree(top)
        except BaseException:
            self.forget()  # it may name objects that are taken back: a full disk must not stay full of them
            for path in self._store.objects() - before:
                with suppress(OSError):
                    os.unlink(path)
            raise
        return tree, sum(_size(path) for path in self._store.objects() - before)

    def _holds(self, top: str, paths: list[bytes]) -> bool:
        """Whether the index has one of the paths (files that are left out every time are not in it)."""
        listed = self._store.git("ls-files", "-z", "-c", top=top).split(b"\0")
        return not set(paths).isdisjoint(listed)

    def _feed(self, top: str, how: tuple[str, ...], paths: list[bytes]) -> None:
        if not paths:
            return
        settings = ("core.bigFileThreshold=1",) if len(paths) >= _MANY else ()
        feed = b"\0".join(paths) + b"\0"
        self._store.git("update-index", "-z", *how, "--stdin", top=top, feed=feed, settings=settings)

    def _tree(self, top: str) -> str:
        if not self.count():
            return EMPTY_TREE
        below = os.path.relpath(self._store.root, top)
        prefix = () if below == "." else (f"--prefix={below}/",)
        return self._store.git("write-tree", *prefix, top=top).decode("ascii").strip()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _modes(
    last: Remembered, seen: Mapping[bytes, int], adding: list[bytes], removing: list[bytes]
) -> tuple[dict[bytes, int], tuple[int, int]]:
    """Permission bits of what is held where they are not the usual ones, and what is usual here."""
    usual = last.usual if any(last.usual) else usual_of(seen)
    modes = dict(last.modes)
    for path in (*removing, *adding, *seen):
        modes.pop(path, None)
    gone = set(removing)
    for path, bits in seen.items():
        if path not in gone and bits != usual[bool(bits & 0o100)]:
            modes[path] = bits
    return modes, usual
