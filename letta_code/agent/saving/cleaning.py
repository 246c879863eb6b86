"""Cleaning: what of a home could go, how large it is and why; conversations and memory are never among it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from letta_code.agent.saving.daily import surplus
from letta_code.agent.saving.restoring import BEFORE, STAGED, read_note
from letta_code.agent.saving.salvaging import DAMAGED, copies
from letta_code.config.paths import Paths
from letta_code.core.messages import Value
from letta_code.host.locks import FileLock
from letta_code.host.probe import size_of
from letta_code.store.summary import is_conversation_id

_DAY = 86_400


class Limits(Value, frozen=True):
    """Older than so many days; logs are kept up to so many bytes whatever their age."""

    days: float = 30.0
    log_bytes: int = 10_000_000


class Leftover(Value, frozen=True):
    """Something that can go: `kind` in a word, `path` from the root, bytes, days since it changed, why it can go."""

    kind: str
    path: str
    size: int
    days: int
    why: str


def leftovers(paths: Paths, conversations: Iterable[str] | None, limits: Limits | None = None) -> list[Leftover]:
    """What can go, by these limits.

    `conversations` are those that the store has: locks of others go (None: it could not be read, so no lock does).
    """
    limits = limits or Limits()
    found = [
        *_logs(paths, limits),
        *_cache(paths, limits),
        *(_one("copy", path, "more copies of the database than are kept") for path in surplus(paths)),
        *_aside(paths, limits),
        *_temporary(paths),
        *_spools(limits),
    ]
    if conversations is not None:
        found += _locks(paths, set(conversations))
    return sorted(dict.fromkeys(found), key=lambda one: (one.kind, -one.size, one.path))


def remove(one: Leftover) -> str:
    """Remove it; why it could not be, "" when it is gone."""
    path = Path(one.path)
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        return f"{error.filename or path}: {error.strerror or error}"
    return ""


def _one(kind: str, path: Path, why: str) -> Leftover:
    return Leftover(kind=kind, path=str(path), size=size_of(path)[0], days=int(_age(path)), why=why)


def _age(path: Path) -> float:
    """Days since it was last changed; a time to come is now."""
    try:
        return max(0.0, (time.time() - path.lstat().st_mtime) / _DAY)
    except OSError:
        return 0.0


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _logs(paths: Paths, limits: Limits) -> Iterator[Leftover]:
    for path in _listed(paths.logs):
        if path.is_file() and (_age(path) > limits.days or path.stat().st_size > limits.log_bytes):
            yield _one("log", path, "an old or a large log")


def _cache(paths: Paths, limits: Limits) -> Iterator[Leftover]:
    for path in _listed(paths.cache):
        if path.is_file() and path.stat().st_size > 1000 and _age(path) > limits.days:
            yield _one("cache", path, "made again when it is needed")


def _aside(paths: Paths, limits: Limits) -> Iterator[Leftover]:
    """What restores and salvages moved aside, once it is old; one that was cut off is still needed."""
    whole = bool(copies(paths))
    for path in _listed(paths.home):
        if path.name.startswith(BEFORE) and path.is_dir() and _age(path) > limits.days:
            note = read_note(path)
            if note is not None and note.state == "done":
                yield _one("before-restore", path, "what an earlier restore moved aside")
        elif path.name.startswith(DAMAGED) and path.is_dir() and _age(path) > limits.days and whole:
            yield _one("damaged", path, "a damaged database that was built anew; a good copy is there")


def _temporary(paths: Paths) -> Iterator[Leftover]:
    """Files that somebody who was killed was just writing."""
    wanted = {read.staged for path in paths.home.glob(f"{BEFORE}*") if (read := read_note(path)) and read.staged}
    for folder in (paths.home, paths.backups, paths.conversations, paths.cache, paths.run):
        for path in _listed(folder):
            if path.name.startswith(".") and path.name.endswith((".tmp", ".tmp.db")) and _age(path) > 1:
                yield _one("unfinished", path, "left by a process that was killed")
            elif path.name.startswith(STAGED) and path.name not in wanted and _age(path) > 1:
                yield _one("unfinished", path, "left by a restore that was killed")


def _spools(limits: Limits) -> Iterator[Leftover]:
    """Outputs of commands in the temporary folder of this person."""
    folder = Path(tempfile.gettempdir(), f"letta-code-{os.getuid()}")
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return
    except OSError:
        return
    for path in _listed(folder):
        ours = path.name.startswith(("output-", "script-", "background-", "cwd-"))
        if ours and path.is_file() and not path.is_symlink() and _age(path) > min(limits.days, 7):
            yield _one("output", path, "what a command printed, more than a week ago")


def _locks(paths: Paths, known: set[str]) -> Iterator[Leftover]:
    for path in _listed(paths.run):
        named = path.suffix == ".lock" and path.stem.startswith("conv-") and is_conversation_id(path.stem)
        # A new conversation has its lock before it has its first event.
        if named and path.stem not in known and _age(path) > 1 and not FileLock(path).is_taken():
            yield _one("lock", path, "of a conversation that is not there")
