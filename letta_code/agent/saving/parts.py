"""Parts: what of a home is letta-code's own and belongs into a backup; other programs keep files in it too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError
from letta_code.host.locks import FileLock
from letta_code.store.marker import read_marker
from letta_code.store.mirror import is_mirror

CHECKPOINTS = "checkpoints"
LEFT_OUT = ("index", "cache", "logs", "run", "backups")
TOPS = ("config.yaml", "conversations", "agents", "shared", "skills", "prompts", "projects", CHECKPOINTS)


def together(paths: Paths) -> Iterator[Path]:
    """What belongs together but for the database: readable copies, our agents' folders, shared memory."""
    yield from (path for path in _entries(paths.conversations) if path.is_file() and is_mirror(path))
    yield from (path for path in _entries(paths.agents) if not path.is_symlink() and read_marker(path) is not None)
    if (paths.shared / "memory").is_dir():
        yield paths.shared / "memory"


def apart(paths: Paths, *, keys: bool, checkpoints: bool) -> Iterator[Path]:
    """What stands by itself: settings, skills, prompts, what was said for projects."""
    for path in (paths.config, *((paths.credentials,) if keys else ())):
        if path.is_file():
            yield path
    for folder in (paths.skills, paths.prompts, paths.projects):
        yield from _entries(folder)
    if checkpoints:
        yield from _entries(paths.home / CHECKPOINTS)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def unit_of(path: str) -> str:
    """The part that a file of a backup belongs to: `agents/agent-1/memory/x.md` is of `agents/agent-1`."""
    words = path.split("/")
    return words[0] if len(words) == 1 else "/".join(words[:2])


def locked_by_others(paths: Paths) -> list[str]:
    """The conversations (or other work) whose lock some process holds."""
    return [path.stem for path in _entries(paths.run) if path.suffix == ".lock" and FileLock(path).is_taken()]


def stamp() -> str:
    """The time now as part of a file's name: `20261121T081530`, with letters that keep two of one second apart."""
    import time

    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.urandom(2).hex()}"


class BackupError(LettaError):
    """A backup could not be made, read or put back; nothing was changed."""

    kind = "backup"
