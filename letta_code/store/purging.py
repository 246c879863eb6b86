"""Purging: a deleted agent is removed for good, first its rows, then its files; what was cut off is finished later."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from letta_code.core.messages import Value
from letta_code.host.files import atomic_write, read_bounded
from letta_code.store.dialect import Database
from letta_code.store.marker import MARKER

_LEFT = ".letta-code-purge"  # in the folder of an agent that is being removed: its other files, a line each


class Left(Value):
    """A file or folder of a removed agent that could not be removed, and why."""

    path: str
    why: str


def purge(
    database: Database, agent_id: str, before: str, folder: Path | None, mirrors: Path | None
) -> tuple[Left, ...] | None:
    """Remove an agent that was deleted before a time; None when it lives (again), else what stays on the disk.

    A writer's job.  `folder` is the agent's own, `mirrors` that of the readable copies.  Raises `StoreError`.
    """
    with database.transaction():
        if not database.query(
            "SELECT id FROM agents WHERE id = ? AND deleted_at <> '' AND deleted_at < ?", [agent_id, before]
        ):
            return None
        names = [str(row[0]) for row in database.query("SELECT id FROM conversations WHERE agent_id = ?", [agent_id])]
        copies = [path for name in names for path in mirrors.glob(f"{name}.*")] if mirrors is not None else []
        copies = [path for path in copies if path.is_symlink() or path.is_file()]  # no folder there is ours
        if folder is not None:
            _note(folder, copies)
        own = "(SELECT id FROM conversations WHERE agent_id = ?)"
        for table in ("events", "event_keys", "runs"):
            database.query(f"DELETE FROM {table} WHERE conversation_id IN {own}", [agent_id])
        for table in ("conversations", "passages"):
            database.query(f"DELETE FROM {table} WHERE agent_id = ?", [agent_id])
        database.query("DELETE FROM agents WHERE id = ?", [agent_id])
    return tuple(_removed(copies, folder))


def finish(database: Database, directory: Path) -> tuple[Left, ...]:
    """Remove the files of agents whose rows are gone since a purge that was cut off; what stays.  A writer's job."""
    left: list[Left] = []
    for note in sorted(directory.glob(f"*/{_LEFT}")):
        folder = note.parent
        gone = not database.query("SELECT id FROM agents WHERE id = ?", [folder.name])
        if gone and (folder / MARKER).is_file() and not folder.is_symlink():
            left += _removed(_noted(note, directory.parent), folder)
    return tuple(left)


def _note(folder: Path, copies: Iterable[Path]) -> None:
    try:
        lines = "".join(f"{path}\n" for path in copies)
        atomic_write(folder / _LEFT, lines.encode(), mode=0o600, follow=False)
    except OSError:
        return  # then a purge that is cut off leaves them; this one goes on


def noted_copies(directory: Path) -> set[Path]:
    """The readable copies that a purge has still to remove; `directory` is that of the agents' folders."""
    return {path for note in directory.glob(f"*/{_LEFT}") for path in _noted(note, directory.parent)}


def _noted(note: Path, home: Path) -> Iterator[Path]:
    try:
        lines = read_bounded(note, 64 << 20).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        path = Path(line)
        # Only readable copies beside the agents: the file might be changed.
        if path.parent.parent == home and path.parent != note.parent.parent and path.name.startswith("conv-"):
            yield path


def _removed(copies: Iterable[Path], folder: Path | None) -> Iterator[Left]:
    failed = False
    for path in copies:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            failed = True
            yield Left(path=str(path), why=error.strerror or str(error))
    if folder is None or folder.is_symlink() or failed:  # the note in the folder says what is still to be removed
        return
    try:
        for entry in folder.iterdir():
            if entry.name not in (MARKER, _LEFT):  # they go last: while they are there, the next purge goes on
                _remove(entry)
        shutil.rmtree(folder)
    except OSError as error:
        yield Left(path=str(error.filename or folder), why=error.strerror or str(error))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
