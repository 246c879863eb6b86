"""Restoring: a backup takes the place of what is there, which is moved aside whole and can be put back."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Generator, Iterable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from letta_code.agent.saving.acting import left_out, loosened, make_plain, other_git
from letta_code.agent.saving.archive import DATABASE, Manifest
from letta_code.agent.saving.opened import read_archive, unpack
from letta_code.agent.saving.parts import BackupError, locked_by_others, stamp, together, unit_of
from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError, StoreError
from letta_code.core.messages import Value
from letta_code.host.files import atomic_write, ensure_private_dir, read_bounded, sync_dir
from letta_code.host.locks import FileLock
from letta_code.store import text_index
from letta_code.store.backing import SIDE_FILES, Contents, nobody_else, verified
from letta_code.store.migrations import newest

BEFORE = "before-restore-"
STAGED = ".restore-"
NOTE = "restore.json"
_SHARED = "-shm"  # the log's index: only of use to those who have the database open, and nobody has
_ROOM_LEFT = 32 << 20  # bytes that a restore leaves free
_LARGEST_NOTE = 64 << 20

State: TypeAlias = Literal["moving", "done"]


class Note(Value, frozen=True):
    """What a restore did, beside what it moved aside: parts by their path in the home, `staged` where new ones wait."""

    state: State
    aside: tuple[str, ...]
    brought: tuple[str, ...]
    staged: str = ""
    source: str = ""


class Plan(Value, frozen=True):
    """What a restore would do: what comes, what is there now and is moved aside."""

    source: str
    created_at: str
    version: str
    files: int
    size: int
    comes: Contents | None
    brought: tuple[str, ...]
    there: Contents | None
    aside: tuple[str, ...]
    trouble: str = ""  # why what is there now cannot be counted
    # Parts that would let the agent do more → how, in words.
    loosened: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict[str, tuple[str, ...]])
    plain: tuple[str, ...] = ()  # git's settings and hooks in it that are not taken over
    acting: tuple[str, ...] = ()  # those of other repositories, which are


def plan(paths: Paths, source: Path) -> tuple[Plan, Manifest | None]:
    """Read a backup, or a folder that an earlier restore moved things to; raises `BackupError`.  Changes nothing."""
    manifest = None if source.is_dir() else read_archive(source)
    if manifest is None:
        brought = _units_in(source)
        comes, _ = _contents(source / DATABASE)
        created, version, files, size = source.name.removeprefix(BEFORE), "", len(brought), 0
    else:
        brought = tuple(sorted({unit_of(name) for name in manifest.files} | _folder_units(manifest)))
        comes, created, version = manifest.database, manifest.created_at, manifest.version
        files, size = len(manifest.files), manifest.size
    if comes is not None and comes.version > newest():
        raise BackupError(
            f"{source} was made by a newer letta-code (its store's version {comes.version}, ours {newest()}).",
            hint="Update letta-code to restore it.",
        )
    there, trouble = _contents(paths.database)
    return Plan(
        source=str(source),
        created_at=created,
        version=version,
        files=files,
        size=size,
        comes=comes,
        brought=brought,
        there=there,
        aside=_aside(paths, brought),
        trouble=trouble,
        loosened=loosened(paths, source, manifest) if manifest else {},
        plain=tuple(left_out(manifest)) if manifest else (),
        acting=tuple(other_git(manifest)) if manifest else (),
    ), manifest


def _folder_units(manifest: Manifest) -> set[str]:
    return {unit_of(name) for name in manifest.folders if "/" in name}


def _contents(database: Path) -> tuple[Contents | None, str]:
    if not os.path.lexists(database):
        return None, ""
    try:
        return verified(database, shared=True), ""
    except LettaError as error:
        return None, str(error)


def _units_in(folder: Path) -> tuple[str, ...]:
    """The parts in a folder of things that were moved aside."""
    note = read_note(folder)
    if note is None:
        raise BackupError(f"{folder} is no folder of an earlier restore.", hint=f"They are called {BEFORE}….")
    return tuple(name for name in note.aside if os.path.lexists(folder / name))


def read_note(folder: Path) -> Note | None:
    """What an earlier restore noted in the folder of what it moved aside; None where there is none."""
    try:
        return msgspec.json.decode(read_bounded(folder / NOTE, _LARGEST_NOTE), type=Note)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _aside(paths: Paths, brought: Iterable[str]) -> tuple[str, ...]:
    """What has to make room: all that belongs together, and whatever stands where something comes."""
    database = [f"{DATABASE}{end}" for end in SIDE_FILES if end != _SHARED]
    whole = [path.relative_to(paths.home).as_posix() for path in together(paths)]
    names = dict.fromkeys((*database, *whole, *brought))
    return tuple(name for name in names if os.path.lexists(paths.home / name))


def restore(paths: Paths, source: Path, manifest: Manifest | None, without: Collection[str] = ()) -> Path | None:
    """Put a backup but for some parts in the place of what is there; where that is now (None: there was nothing).

    The caller has shown the plan.  Raises `BackupError`, `StoreBusy` while another process uses the home; whatever goes
    wrong, what was there before is there again.
    """
    paths.ensure()
    with alone(paths):
        if manifest is None:
            return _undone(paths, source)
        staged = paths.home / f"{STAGED}{stamp()}"
        try:
            _check_room(paths, manifest)
            unpack(source, manifest, staged)
            _check_staged(staged)
            make_plain(staged)
            brought = sorted(({unit_of(name) for name in manifest.files} | _folder_units(manifest)) - {*without})
            return _exchanged(paths, staged, brought, str(source))
        except OSError as error:
            raise BackupError(
                f"The restore stopped: {error.strerror or error} ({error.filename or paths.home}). All is as it was.",
                hint="Make room on the disk, or check the rights of the folder.",
            ) from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)


@contextlib.contextmanager
def alone(paths: Paths) -> Generator[None]:
    """Hold the home, so that no other letta-code uses its store; raises `StoreBusy`, `BackupError`."""
    busy = locked_by_others(paths)
    if busy:
        raise BackupError(
            f"Another letta-code uses {paths.home} ({', '.join(busy[:3])}). Nothing was changed.",
            hint="End it (every window and background run) first.",
        )
    lock = FileLock(paths.run / "store.lock", what="restoring")
    try:
        taken = lock.try_lock()
    except OSError as error:
        raise BackupError(f"{lock.path} cannot be locked: {error.strerror}. Nothing was changed.") from error
    if not taken:
        raise BackupError("Another letta-code is making or restoring the store.", hint="Try again later.")
    try:
        with nobody_else(paths.database):
            yield
    finally:
        lock.release()


def _check_room(paths: Paths, manifest: Manifest) -> None:
    free = shutil.disk_usage(paths.home).free
    if manifest.size + _ROOM_LEFT > free:
        raise BackupError(
            f"The backup needs {manifest.size:,} bytes and {paths.home} has {free:,} free. Nothing was changed.",
            hint="Make room: letta-code clean",
        )


def _check_staged(staged: Path) -> None:
    if not (staged / DATABASE).exists():
        return
    try:
        verified(staged / DATABASE)
    except StoreError as error:
        raise BackupError(f"The backup's database is damaged: {error}. Nothing was changed.") from error


def _exchanged(paths: Paths, staged: Path, brought: list[str], source: str) -> Path | None:
    """Move what is there aside and the new in its place; by renaming only, so that nothing is copied half."""
    aside = _aside(paths, brought)
    folder = paths.home / f"{BEFORE}{stamp()}"
    folder.mkdir(mode=0o700)
    note = Note(state="moving", aside=aside, brought=tuple(brought), staged=staged.name, source=source)
    _write_note(folder, note)
    moved: list[tuple[Path, Path]] = []
    try:
        _without_index(paths.home)
        for name in aside:
            _move(paths.home / name, folder / name, moved)
        for name in brought:
            _move(staged / name, paths.home / name, moved)
        _forget_indexes(paths)
        _write_note(folder, msgspec.structs.replace(note, state="done", staged=""))
    except BaseException:
        for origin, target in reversed(moved):
            os.rename(target, origin)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    sync_dir(paths.home)
    if aside:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _without_index(folder: Path) -> None:
    (folder / f"{DATABASE}{_SHARED}").unlink(missing_ok=True)


def _move(origin: Path, target: Path, moved: list[tuple[Path, Path]]) -> None:
    ensure_private_dir(target.parent)
    if os.path.lexists(target):
        raise FileExistsError(17, "something stands there already", str(target))
    os.rename(origin, target)
    moved.append((origin, target))


def _write_note(folder: Path, note: Note) -> None:
    atomic_write(folder / NOTE, msgspec.json.encode(note))


def _forget_indexes(paths: Paths) -> None:
    """The search index knows another store: it is made anew when something is searched."""
    text_index.throw_away(paths.index)


# ---------------------------------------------------------------- back to what was before


def _undone(paths: Paths, folder: Path) -> Path | None:
    """Put back what an earlier restore moved aside, also one that was killed in the middle."""
    note = read_note(folder)
    if note is None or folder.resolve().parent != paths.home.resolve():
        raise BackupError(f"{folder} is no folder of an earlier restore in {paths.home}.")
    try:
        _without_index(folder)
        if note.state == "done":
            brought = list(_units_in(folder))
            gone = [name for name in note.brought if name not in brought and os.path.lexists(paths.home / name)]
            after = _exchanged(paths, folder, brought, str(folder)) if brought else None
            if after is not None:
                _put_aside(paths, gone, after)
        else:
            after = _finish_backwards(paths, folder, note)
    except OSError as error:
        raise BackupError(
            f"Not all could be put back: {error.strerror or error} ({error.filename}).",
            hint=f"Look into {folder}, then run the same command again.",
        ) from error
    shutil.rmtree(folder, ignore_errors=True)
    return after


def _put_aside(paths: Paths, names: list[str], folder: Path) -> None:
    """What the restore had brought and nothing took the place of."""
    note = read_note(folder)
    left = [name for name in names if os.path.lexists(paths.home / name)]
    if note is None or not left:
        return
    _write_note(folder, msgspec.structs.replace(note, aside=tuple(dict.fromkeys((*note.aside, *left)))))
    for name in left:
        _move(paths.home / name, folder / name, [])


def _finish_backwards(paths: Paths, folder: Path, note: Note) -> None:
    """A restore was cut off: what it had moved goes back, what it had brought is in the backup still."""
    _without_index(paths.home)
    staged = paths.home / note.staged if note.staged.startswith(STAGED) else None
    for name in note.brought:
        came = staged is None or not os.path.lexists(staged / name)
        was_moved = name not in note.aside or os.path.lexists(folder / name)
        if came and was_moved and os.path.lexists(paths.home / name):
            _remove(paths.home / name)
    for name in note.aside:
        if os.path.lexists(folder / name):
            _move(folder / name, paths.home / name, [])
    if staged is not None:
        shutil.rmtree(staged, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
