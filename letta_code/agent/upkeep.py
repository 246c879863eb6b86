"""Upkeep: once a day, in a quiet moment of a session: the database is copied, what was deleted long ago removed."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from letta_code.agent.roster import purge_agents
from letta_code.config.paths import Paths
from letta_code.config.settings import CheckpointSettings
from letta_code.core.errors import LettaError
from letta_code.core.ids import utc_now
from letta_code.host.files import atomic_write, read_bounded
from letta_code.store.database import Store

log = logging.getLogger(__name__)
_MARK = "purged"  # in the cache folder: the day of the last time


async def keep_up(store: Store, paths: Paths, checkpoints: CheckpointSettings | None = None) -> None:
    """Do it, unless it was done today; what goes wrong is logged, and nothing waits for it."""
    try:
        if not store.read_only and await asyncio.to_thread(_is_due, paths):
            if why := await asyncio.to_thread(_copied, paths):
                log.warning("%s", why)
            for sentence in await purge_agents(store, paths):
                log.warning("%s", sentence)
            for sentence in await asyncio.to_thread(clean_checkpoints, paths, checkpoints or CheckpointSettings()):
                log.info("%s", sentence)
    except (LettaError, OSError) as error:
        log.warning("the daily work could not be done: %s", error)


def clean_checkpoints(paths: Paths, settings: CheckpointSettings) -> list[str]:
    """Let go of the files of checkpoints that are too old or too many; a sentence for each project."""
    from letta_code.core.counts import many, size
    from letta_code.host.snapshots import Snapshots

    said: list[str] = []
    for folder in sorted(paths.checkpoints.iterdir()) if paths.checkpoints.is_dir() else ():
        try:  # the tree itself may be gone: cleaning asks nothing of it
            done = Snapshots(folder, paths.home).clean(max_age_days=settings.max_days, max_bytes=settings.max_bytes)
        except LettaError as error:
            said.append(f"The checkpoints in {folder} could not be cleaned: {error}")
            continue
        if done.dropped:
            said.append(f"{many(len(done.dropped), 'checkpoint')} in {folder} went, {size(done.freed)} were freed.")
    return said


def _copied(paths: Paths) -> str:
    from letta_code.agent.saving.daily import copy_of_the_day

    return copy_of_the_day(paths)


def _is_due(paths: Paths) -> bool:
    """Whether nobody did it today; says at once that it is done."""
    mark, today = paths.cache / _MARK, utc_now()[:10]
    with contextlib.suppress(OSError):  # none yet, or nothing that can be read: it is made anew
        if read_bounded(mark, 100).decode("utf-8", "replace").strip() == today:
            return False
    paths.folder(paths.cache)
    atomic_write(mark, f"{today}\n".encode(), durable=False, follow=False)
    return True
