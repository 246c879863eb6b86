"""Names for trees in the store of snapshots, so that their objects stay; and the cleaning of what has none."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from urllib.parse import quote, unquote

from letta_code.core.errors import WorkspaceError
from letta_code.host.files import atomic_write, read_bounded, sync_dir
from letta_code.host.snapshot_store import NoRoom, SnapshotStore

_LARGEST = 4096  # bytes of a file that names a tree
_LONGEST = 60  # bytes of a name: each may become three
_GRACE = "10.minutes.ago"


class Kept:
    """One file for each name below refs/kept: `MILLISECONDS-NAME` holding the tree, so that git sees it as a ref."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._folder = store.folder / "refs" / "kept"

    def all(self) -> list[tuple[str, str, float]]:
        """Name, tree and time in seconds since 1970; oldest first."""
        found: dict[str, tuple[int, str]] = {}
        try:
            files = os.listdir(self._folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        for file in files:
            moment, dash, name = file.partition("-")
            tree = self._tree(file) if dash and moment.isdigit() else ""
            if tree:  # a crash may leave an older meaning of the name beside the new one
                name = unquote(name)
                found[name] = max(found.get(name, (0, "")), (int(moment), tree))
        rows = sorted((moment, name, tree) for name, (moment, tree) in found.items())
        return [(name, tree, moment / 1000) for moment, name, tree in rows]

    def _tree(self, file: str) -> str:
        with suppress(OSError, UnicodeDecodeError):
            text = read_bounded(self._folder / file, _LARGEST).decode("ascii").strip()
            return text if len(text) == 40 else ""
        return ""

    def keep(self, name: str, tree: str, beside: str = "") -> None:
        """Give a tree a name, as old as (a moment older than) the name `beside` if there; the store must be locked."""
        if not name or len(name.encode("utf-8", "surrogatepass")) > _LONGEST:
            raise WorkspaceError(
                f"A checkpoint's name has 1 to {_LONGEST} bytes, this one has not", hint="Choose a shorter one."
            )
        times = {known: round(moment * 1000) for known, _, moment in self.all()}
        moment = max(
            time.time_ns() // 1_000_000, max(times.values(), default=0) + 1
        )  # also when the clock was set back
        moment = times[beside] - 1 if beside in times else moment
        file = f"{moment}-{_quoted(name)}"
        atomic_write(self._folder / file, tree.encode("ascii") + b"\n")
        self._remove(name, but=file)

    def drop(self, names: list[str]) -> None:
        """Forget names; the store must be locked."""
        for name in names:
            self._remove(name)
        if names and self._folder.is_dir():
            sync_dir(self._folder)

    def _remove(self, name: str, but: str = "") -> None:
        for file in os.listdir(self._folder):
            if file != but and file.partition("-")[2] == _quoted(name):
                with suppress(FileNotFoundError):
                    (self._folder / file).unlink()

    def size(self) -> int:
        """Bytes on disk."""
        total = 0
        for folder, _, files in os.walk(self._store.folder):
            for file in files:
                with suppress(OSError):
                    total += os.lstat(os.path.join(folder, file)).st_blocks * 512
        return total

    def clean(self, max_age: float, max_bytes: int) -> list[str]:
        """Drop names older than `max_age` seconds and those for which there is no room, then unnamed objects."""
        rows = self.all()
        old = [name for name, _, moment in rows[:-1] if moment < time.time() - max_age]
        self.drop(old)
        self._pack()
        left = self.all()
        first = self._first_that_fits(left, max_bytes) if self.size() > max_bytes else 0
        crowded = [name for name, _, _ in left[:first]]
        if crowded:
            self.drop(crowded)
            self._pack()
        return old + crowded

    def _first_that_fits(self, rows: list[tuple[str, str, float]], max_bytes: int) -> int:
        """How many of the oldest have to go, by halving; the newest stays."""
        low, high = 0, max(len(rows) - 1, 0)
        while low < high:
            middle = (low + high) // 2
            trees = [tree for _, tree, _ in rows[middle:]]
            if self._bytes_of(trees) <= max_bytes:
                high = middle
            else:
                low = middle + 1
        return low

    def _bytes_of(self, trees: list[str]) -> int:
        feed = "\n".join([*trees, ""]).encode()
        arguments = ("rev-list", "--objects", "--indexed-objects", "--disk-usage", "--stdin")
        return int(self._store.git(*arguments, top=self._store.root, feed=feed) or b"0")

    def _pack(self) -> None:
        """One pack of all that has a name or is in the index; the rest goes when it is older than ten minutes."""
        self._store.sweep()
        if not self._store.objects():
            return
        top = self._store.root
        self._store.git("prune", f"--expire={_GRACE}", top=top)
        try:
            self._store.git("repack", "-q", "-A", "-d", f"--unpack-unreachable={_GRACE}", top=top)
        except NoRoom:  # for a pack beside the old ones: what needed no room is done
            self._store.sweep()


def _quoted(name: str) -> str:
    """A name as git takes it in a ref: letters, digits, `_` and `%`."""
    text = quote(name.encode("utf-8", "surrogatepass"), safe="")
    return text.replace(".", "%2E").replace("~", "%7E").replace("-", "%2D")
