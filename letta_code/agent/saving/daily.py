"""Daily: a copy of the database a day, a few of them, never more than a share of the disk's room."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from letta_code.agent.saving.salvaging import copies
from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError
from letta_code.store.backing import copy_database

KEPT = 3
_SHARE = 0.1  # of the free room, for one copy
_MOST_TOGETHER = 4 << 30  # bytes of all copies; the newest stays whatever it has
KEPT_MIGRATION_COPIES = 2
_DAY = 86_400


def copy_of_the_day(paths: Paths) -> str:
    """Make today's copy unless it is there; why none was made, "" when all is well.  For a quiet moment.

    A damaged database is not copied, so that the good copies stay.
    """
    if not paths.database.is_file():
        return ""
    target = paths.backups / f"letta-{time.strftime('%Y%m%d', time.gmtime())}.db"
    if target.exists():
        return ""
    size = sum(one.stat().st_size for one in (paths.database, _log_of(paths.database)) if one.exists())
    try:
        paths.folder(paths.backups)
        free = shutil.disk_usage(paths.backups).free
        if size > free * _SHARE:
            return f"no daily copy of the database: it has {size:,} bytes and only {free:,} are free"
        temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
        try:
            copy_database(paths.database, temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        for path in surplus(paths):
            path.unlink(missing_ok=True)
    except (OSError, LettaError) as error:
        return f"no daily copy of the database: {error}"
    return ""


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def surplus(paths: Paths) -> list[Path]:
    """The daily copies and the old copies from before a migration that are more than what is kept."""
    daily = [path for path in copies(paths) if path.parent == paths.backups]
    migrations = [path for path in copies(paths) if path.parent == paths.home]
    left = daily[KEPT:]
    room = _MOST_TOGETHER
    for path in daily[:KEPT]:
        room -= path.stat().st_size
        if room < 0 and path != daily[0]:
            left.append(path)
    month = time.time() - 30 * _DAY
    return [*left, *(path for path in migrations[KEPT_MIGRATION_COPIES:] if path.stat().st_mtime < month)]
