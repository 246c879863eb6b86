"""Snapshots of a work tree: what a checkpoint can bring back, kept in an object store of our own beside no git."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from letta_code.core.errors import WorkspaceError
from letta_code.core.messages import Value
from letta_code.host.git_objects import Entry, Objects
from letta_code.host.snapshot_cover import Cover, described
from letta_code.host.snapshot_extras import Extras, extras_of, only_modes
from letta_code.host.snapshot_index import LeavingOut, LeftOut, SnapshotIndex
from letta_code.host.snapshot_kept import Kept
from letta_code.host.snapshot_restore import LINK, NOTHING, PLAIN, PROGRAM, Blobs, State, Step, Tree, steps_of
from letta_code.host.snapshot_store import EMPTY_TREE, GitFailed, SnapshotStore

PREVIEW = 1_000_000  # bytes of a content that is shown
MAX_FILE_BYTES = 20_000_000
MAX_NEW_BYTES = 1_000_000_000  # of file contents that one snapshot may add


__all__ = ["Change", "Cleaned", "LeftOut", "Restored", "Snapshot", "Snapshots"]


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
        self._store = SnapshotStore(store, root)
        self._kept = Kept(self._store)
        self._cover = Cover(self._store, [os.path.realpath(path) for path in (store, *without)])
        self._limits = LeavingOut(self._store.root, max_file_bytes, max_new_bytes)

    def stop(self) -> None:
        """End what goes on in other threads: it raises `WorkspaceError` there; nothing can be done here any more."""
        self._store.stop()

    def take(self) -> Snapshot:
        """The tree as it is now; its objects are safe from `clean` until the next take, and for ever once kept."""
        began = time.monotonic()
        with self._store.locked():
            index = SnapshotIndex(self._store)
            try:
                return self._take(index, began)
            except GitFailed:
                index.forget()  # damaged by a power loss, or a file changed while it was read: once more from nothing
                return self._take(index, began)

    def _take(self, index: SnapshotIndex, began: float) -> Snapshot:
        place = self._cover.place()
        last = index.remembered(place.top)
        covered = self._cover.look(place, last)
        limits = self._limits.fresh(covered.odd)
        limits.look_again(last.fresh)
        tree, added = index.update(place.top, last, limits, covered)
        return Snapshot(
            tree=tree,
            files=index.count(),
            new_bytes=added,
            left_out=limits.left_out(),
            ignored=described(covered.ignored),
            seconds=time.monotonic() - began,
        )

    def keep(self, name: str, tree: str, *, beside: str = "") -> None:
        """Give a tree a name (any text up to 60 bytes), so that its objects stay; an older meaning is replaced.

        With `beside` it goes no later than that other name when there is no room.
        """
        if tree != EMPTY_TREE and not self._objects().has(tree):
            raise WorkspaceError(f"There is no snapshot {tree[:12]}", hint="Take one first.")
        with self._store.locked():
            self._kept.keep(name, tree, beside)

    def names(self) -> dict[str, str]:
        """Kept names and their trees, oldest first."""
        return {name: tree for name, tree, _ in self._kept.all()}

    def drop(self, name: str) -> None:
        """Forget a name (nothing happens when it is unknown); `clean` frees its objects."""
        with self._store.locked():
            self._kept.drop([name])

    def changes(self, older: str, newer: str) -> tuple[Change, ...]:
        """What differs between two trees, sorted by path."""
        return tuple(Change(path=os.fsdecode(step.path), kind=_kind(step)) for step in self._steps(older, newer))

    def _steps(self, older: str, newer: str) -> list[Step]:
        if older == newer:
            return []
        arguments = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", older, newer)
        steps = steps_of(self._store.git(*arguments, top=self._store.root))
        objects = self._objects()
        (_, old), (tree, new) = extras_of(objects, older), extras_of(objects, newer)
        if old is None or new is None:
            return steps
        known = {step.path for step in steps}
        steps = [Step(path, _with(now, old, path), _with(then, new, path)) for path, now, then in steps]
        steps += [Step(path, *both) for path, both in only_modes(self._store, tree, old, new, known).items()]
        return sorted(steps)

    def diff(self, older: str, newer: str, path: str) -> tuple[bytes | None, bytes | None]:
        """Both contents of a path for a preview, each cut after 1 MB; None where the tree has no such file.

        A symbolic link's content is its target.
        """
        objects = self._objects()
        return _content(objects, older, path), _content(objects, newer, path)

    def _objects(self) -> Objects:
        return Objects(self._store.folder, self._store.folder)

    def restore(self, tree: str, *, now: str, only: Collection[str] | None = None) -> Restored:
        """Make the files those of `tree`; `now` is a snapshot just taken, only paths that differ from it are touched.

        A path that is no longer as `now` has it (changed since, or not covered: ignored, too large) is left alone and
        told in `failed`; one failing path does not stop the others.  No link is followed, ignored files stay.  With
        `only` other paths are not touched.
        """
        with self._store.locked():
            steps = [step for step in self._steps(now, tree) if only is None or os.fsdecode(step.path) in only]
            (_, old), (_, new) = extras_of(self._objects(), now), extras_of(self._objects(), tree)
            empty = (set(old.empty if old else ()), set(new.empty if new else ()))
            if not steps and empty[0] == empty[1]:
                return Restored()
            with self._store.process("cat-file", "--batch") as process:
                work = Tree(self._store.root, Blobs(process))
                try:
                    return _restore(work, steps, empty[1] - empty[0], empty[0] - empty[1] if only is None else set())
                finally:
                    work.close()

    def size(self) -> int:
        """Bytes of the store on disk; 0 when there is none yet."""
        return self._kept.size()

    def clean(self, *, max_age_days: float, max_bytes: int) -> Cleaned:
        """Drop names that are too old, then the oldest until the rest fits, then objects that nothing names.

        The newest name is kept whatever its size.  Objects younger than ten minutes stay until the next cleaning:
        somebody may be about to name them.
        """
        if not self._store.folder.exists():
            return Cleaned()
        with self._store.locked():
            before = self._kept.size()
            dropped = self._kept.clean(max_age_days * 86_400, max_bytes)
            after = self._kept.size()
        return Cleaned(dropped=tuple(dropped), freed=max(before - after, 0), size=after)


def _kind(step: Step) -> str:
    if step.now.mode == NOTHING:
        return "added"
    if step.then.mode == NOTHING:
        return "deleted"
    only_mode = step.now.blob == step.then.blob and LINK not in (step.now.mode, step.then.mode)
    return "mode" if only_mode else "changed"


def _content(objects: Objects, tree: str, path: str) -> bytes | None:
    entry = Entry(mode="40000", sha=extras_of(objects, tree)[0])
    for part in path.split("/"):
        if not entry.is_folder or entry.sha == EMPTY_TREE:
            return None
        found = objects.tree(entry.sha).get(part)
        if found is None:
            return None
        entry = found
    return objects.read(entry.sha, "blob")[:PREVIEW] if entry.mode in (PLAIN, PROGRAM, LINK) else None


def _with(state: State, extras: Extras, path: bytes) -> State:
    return state._replace(bits=extras.bits(path, state.mode))


def _restore(work: Tree, steps: list[Step], making: set[bytes], removing: set[bytes]) -> Restored:
    """Removals first: a file may have to make room for a folder, and the other way round.

    `making` and `removing` are folders with nothing in them.
    """
    written, removed, failed = list[str](), list[str](), list[tuple[str, str]]()
    needed = {above for step in steps if step.then.mode != NOTHING for above in _above(step.path)}
    for step in steps:
        if step.then.mode == NOTHING:
            _attempt(work.remove, step, removed, failed)
    emptied = {above for path in removed for above in _above(os.fsencode(path))}
    needed |= {above for path in making for above in (path, *_above(path))}
    removing = removing | {above for path in removing for above in _above(path)}
    work.remove_empty((emptied | removing) - needed)
    for step in steps:
        if step.then.mode != NOTHING:
            _attempt(work.write, step, written, failed)
    for path in sorted(making):
        with suppress(OSError):  # a file is there now
            work.make(path)
    return Restored(written=tuple(written), removed=tuple(removed), failed=tuple(failed))


def _attempt(act: Callable[[Step], bool], step: Step, done: list[str], failed: list[tuple[str, str]]) -> None:
    path = os.fsdecode(step.path)
    try:
        if act(step):
            done.append(path)
    except OSError as error:
        failed.append((path, error.strerror or str(error)))


def _above(path: bytes) -> list[bytes]:
    """The folders that a path is in, without the root."""
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]
