"""Snapshots of a work tree: what a checkpoint can bring back, kept in an object store of our own beside no git."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from letta_code.core.messages import Value

MAX_FILE_BYTES = 20_000_000
MAX_NEW_BYTES = 1_000_000_000  # of file contents that one snapshot may add


class LeftOut(Value):
    """A file that a snapshot does not hold, and why; `size` in bytes (0 when it has none)."""

    path: str
    why: str
    size: int = 0


class Snapshot(Value):
    """The tree as it was: `tree` is its object id (the same for the same files), `files` how many it holds.

    `new_bytes` were added to the store on disk; `ignored` says in words what the ignore rules keep out ("" for
    nothing); paths are relative to the root, bytes that are no UTF-8 as surrogates (`os.fsencode` gives them back).
    """

    tree: str
    files: int
    new_bytes: int = 0
    left_out: tuple[LeftOut, ...] = ()
    ignored: str = ""
    seconds: float = 0.0


class Change(Value):
    """One path that differs, seen from the older tree: `kind` is added, changed (content or type), deleted or mode."""

    path: str
    kind: str


class Restored(Value):
    """What a restore did: paths written, paths removed, and those that it left alone with the reason of each."""

    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


class Cleaned(Value):
    """What cleaning did: the names that were dropped (oldest first), bytes freed, and bytes that the store has now."""

    dropped: tuple[str, ...] = ()
    freed: int = 0
    size: int = 0


class Snapshots:
    """Snapshots of the files below `root`, kept in `store` (made 0700 when first needed; one store for one root).

    Synchronous and slow (0.1 s to seconds): call it in a worker thread.  Several processes may share a store.  Every
    method raises `WorkspaceError` with a hint: no git, folder gone, disk full, no permission, another process held
    the lock for a minute; nothing is half written then.  The person's repository is only read.
    """

    def __init__(
        self,
        store: Path,
        root: Path,
        *,
        without: Sequence[Path] = (),
        max_file_bytes: int = MAX_FILE_BYTES,
        max_new_bytes: int = MAX_NEW_BYTES,
    ) -> None:
        """`without` are folders that are never covered (LETTA_HOME); the store itself never is."""
        raise NotImplementedError

    def take(self) -> Snapshot:
        """The tree as it is now; its objects are safe from `clean` until the next take, and for ever once kept."""
        raise NotImplementedError

    def keep(self, name: str, tree: str) -> None:
        """Give a tree a name (any text up to 100 characters), so that its objects stay; an older meaning is replaced."""
        raise NotImplementedError

    def names(self) -> dict[str, str]:
        """Kept names and their trees, oldest first."""
        raise NotImplementedError

    def drop(self, name: str) -> None:
        """Forget a name (nothing happens when it is unknown); `clean` frees its objects."""
        raise NotImplementedError

    def changes(self, older: str, newer: str) -> tuple[Change, ...]:
        """What differs between two trees, sorted by path."""
        raise NotImplementedError

    def diff(self, older: str, newer: str, path: str) -> tuple[bytes | None, bytes | None]:
        """Both contents of a path for a preview, each cut after 1 MB; None where the tree has no such file.

        A symbolic link's content is its target.
        """
        raise NotImplementedError

    def restore(self, tree: str, *, now: str) -> Restored:
        """Make the files those of `tree`; `now` is a snapshot just taken, only paths that differ from it are touched.

        A path that is no longer as `now` has it (changed since, or not covered: ignored, too large) is left alone and
        told in `failed`; one failing path does not stop the others.  No link is followed, ignored files stay.
        """
        raise NotImplementedError

    def size(self) -> int:
        """Bytes of the store on disk; 0 when there is none yet."""
        raise NotImplementedError

    def clean(self, *, max_age_days: float, max_bytes: int) -> Cleaned:
        """Drop names that are too old, then the oldest until the rest fits, then objects that nothing names.

        The newest name is kept whatever its size.  Objects younger than ten minutes stay until the next cleaning:
        somebody may be about to name them.
        """
        raise NotImplementedError
