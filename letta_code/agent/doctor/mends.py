"""Mends: what `letta-code doctor --fix` does by itself, because nothing can be lost by it."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from letta_code.agent.doctor.base import Look, Mend
from letta_code.agent.doctor.lost import branch_in_record
from letta_code.core.errors import LettaError
from letta_code.core.ids import utc_now
from letta_code.host.files import atomic_write, ensure_private_dir
from letta_code.host.git_objects import GitDamage
from letta_code.host.locks import FileLock
from letta_code.host.memory_git import BRANCH, Repository
from letta_code.store.backing import write_copy
from letta_code.store.checking import copies, look_into
from letta_code.store.marker import MARKER, Marker, write_marker

_LOCK_SECONDS = 5.0


def told(mend: Mend) -> str:
    """What is about to be done."""
    return {
        "private": f"take the rights of others from {mend.path}",
        "git_lock": f"remove {mend.path} if no git runs there",
        "index": f"delete {mend.path}; it is made anew at the next search",
        "copy": f"write {mend.path} anew; what is there is kept as .old",
        "copies": f"write all copies in {mend.path} anew that are not whole; what is there is kept as .old",
        "branch": f"give {mend.path} its branch back, at the commit that its files are of",
        "mark": f"mark {mend.path} as letta-code's again",
    }.get(mend.kind, mend.kind)


def do(mend: Mend, look: Look) -> str:
    """Do it; why it was not done, "" when it was."""
    deed = MENDS.get(mend.kind)
    if deed is None:
        return f"there is no mend {mend.kind!r}"
    try:
        return deed(Path(mend.path), look)
    except (OSError, LettaError) as error:
        return str(error)


def _private(path: Path, _look: Look) -> str:
    path.chmod(0o700 if path.is_dir() else 0o600)
    return ""


def _git_lock(path: Path, _look: Look) -> str:
    root = next((one.parent for one in path.parents if one.name == ".git"), None)
    if root is None:
        return "it is in no repository"
    repository = Repository(root)
    repository.lock.acquire(_LOCK_SECONDS)
    try:
        time.sleep(0.01)
        repository.remove_if_stale(path)
    finally:
        repository.lock.release()
    return "a git runs in that folder, or the lock is too young to be a dead one's" if path.exists() else ""


def _branch(root: Path, _look: Look) -> str:
    repository = Repository(root)
    repository.lock.acquire(_LOCK_SECONDS)
    try:
        with contextlib.suppress(GitDamage):
            if repository.exists and repository.head():
                return ""  # somebody mended it meanwhile
        sha = branch_in_record(repository)
        if not sha:
            return "its newest commit is not known, or not all of it is there"
        ref = repository.git_dir / BRANCH
        ensure_private_dir(ref.parent)
        if ref.is_dir() and not ref.is_symlink():
            return f"{ref} is a folder"
        atomic_write(ref, f"{sha}\n".encode())
        atomic_write(repository.git_dir / "HEAD", f"ref: {BRANCH}\n".encode())
        repository.initialise()
    finally:
        repository.lock.release()
    return ""


def _index(path: Path, _look: Look) -> str:
    for end in ("", "-wal", "-shm"):
        one = path.with_name(path.name + end)
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        else:
            one.unlink(missing_ok=True)
    return ""


def _copy(path: Path, look: Look) -> str:
    lock = FileLock(look.paths.run / f"{path.stem}.lock", what="doctor")
    if not lock.try_lock():
        return "the conversation is in use; its next message mends the copy"
    try:
        write_copy(look.paths.database, path.parent, path.stem)
    finally:
        lock.release()
    return ""


def _copies(directory: Path, look: Look) -> str:
    database = look_into(look.paths.database, look.seconds)
    try:
        found, _, _ = copies(database, directory, look.seconds)
    finally:
        database.close()
    left = [
        why for one in found if one.state != "ahead" and (why := _copy(directory / f"{one.conversation}.jsonl", look))
    ]
    return left[0] if left else ""


def _mark(folder: Path, look: Look) -> str:
    from letta_code.store.database import Store

    agent = None
    if look.paths.database.is_file():
        with Store.open(look.paths.database, run_dir=look.paths.run, read_only=True) as store:
            agent = store.agents.get(folder.name)
    if (folder / MARKER).exists():
        return ""
    name, about = (agent.name, agent.description) if agent else ("", "")
    made, deleted = (agent.created_at, agent.deleted_at) if agent else (utc_now(), "")
    write_marker(folder, Marker(id=folder.name, name=name, description=about, created_at=made, deleted_at=deleted))
    return ""


MENDS: dict[str, Callable[[Path, Look], str]] = {
    "private": _private,
    "git_lock": _git_lock,
    "index": _index,
    "copy": _copy,
    "copies": _copies,
    "branch": _branch,
    "mark": _mark,
}
