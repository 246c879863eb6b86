"""Lost: memory that the database knows of and that is not there, and which backup or record brings it back."""

from __future__ import annotations

import hashlib
import os
import shlex
from pathlib import Path

import msgspec

from letta_code.agent.doctor.base import Look
from letta_code.agent.saving.archive import Manifest
from letta_code.agent.saving.opened import read_archive
from letta_code.core.errors import LettaError, StoreError
from letta_code.core.messages import Value
from letta_code.host.files import read_bounded
from letta_code.host.git_objects import GitDamage
from letta_code.host.memory_git import Repository
from letta_code.host.memory_tree import WorkTree
from letta_code.store import checking

_MOST_ARCHIVES = 5  # the newest are looked into
_LARGEST = 64 << 20
_EVENTS = ("context_pinned", "checkpoint_made")  # those that name a state of memory


class Known(Value, frozen=True):
    """An agent as the database has it; `wrote` says that a conversation of it knows a state of memory."""

    id: str
    name: str
    wrote: bool

    @property
    def named(self) -> str:
        """For the person."""
        return f"{self.name} ({self.id})" if self.name else self.id


class _Pinned(Value):
    memory: str = ""


def known_agents(look: Look) -> list[Known]:
    """The agents that the database has and that were not deleted; none where it cannot be read (the store's check)."""
    if not os.path.lexists(look.paths.database):
        return []
    try:
        database = checking.look_into(look.paths.database, look.seconds)
    except StoreError:
        return []
    try:
        deleted = "deleted_at" in [str(row[1]) for row in database.query("PRAGMA table_info(agents)")]
        alive = " WHERE deleted_at = ''" if deleted else ""
        agents = database.query(f"SELECT id, name FROM agents{alive} ORDER BY id")
        sql = (
            "SELECT c.agent_id, e.body FROM events e JOIN conversations c ON c.id = e.conversation_id "
            "WHERE e.type IN (?, ?)"
        )
        wrote = {str(row[0]) for row in database.query(sql, list(_EVENTS)) if _names_memory(row[1])}
    except StoreError:
        return []
    finally:
        database.close()
    return [Known(id=str(row[0]), name=str(row[1]), wrote=str(row[0]) in wrote) for row in agents]


def _names_memory(body: object) -> bool:
    try:
        return isinstance(body, bytes | str) and bool(msgspec.json.decode(body, type=_Pinned).memory)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def branch_in_record(repository: Repository) -> str:
    """The commit that the branch stood on, from our own record of the working files; "" unless all of it is there."""
    try:
        sha = WorkTree(repository).record().commit
        if not sha:
            return ""
        for blob in repository.files(sha).values():
            repository.blob(blob)
        for _ in repository.commits(sha):
            pass
    except (GitDamage, OSError, ValueError):
        return ""
    return sha


def has_objects(repository: Repository) -> bool:
    """Whether there is a history, whatever became of its branch."""
    return any(path.is_file() for path in (repository.git_dir / "objects").glob("*/*"))


def backup_of(look: Look, root: Path) -> Path | None:
    """The newest backup in its usual folder that has something of a memory's history which is not there now."""
    inner = root.relative_to(look.paths.home).as_posix()
    found = sorted(look.paths.backups.glob("letta-code-*.tar.gz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[:_MOST_ARCHIVES]:
        try:
            manifest = read_archive(path)
        except LettaError:
            continue
        if f"{inner}/.git/HEAD" in manifest.files and _has_more(look.paths.home, inner, manifest):
            return path
    return None


def _has_more(home: Path, inner: str, manifest: Manifest) -> bool:
    """Objects never change: one that differs is damaged here, and the backup was made before that."""
    names = [name for name in manifest.files if name.startswith(f"{inner}/.git/objects/")]
    return any(_differs(home / name, manifest.files[name].sha256) for name in (*names, f"{inner}/.git/HEAD"))


def _differs(path: Path, sha: str) -> bool:
    try:
        return hashlib.sha256(read_bounded(path, _LARGEST)).hexdigest() != sha
    except OSError:
        return True


def restoring(look: Look, root: Path) -> tuple[str, str]:
    """A sentence on the backup that has a memory, and the command; without one, what brings it back from elsewhere."""
    backup = backup_of(look, root)
    if backup is None:
        return (
            f"No backup in {look.paths.backups} has it: one from elsewhere brings it back.",
            "letta-code restore FILE",
        )
    says = f"The backup {backup.name} has it; all goes back to how it was then, and what is there is moved aside."
    return says, f"letta-code restore {shlex.quote(str(backup))}"
