"""Upkeep: once a day, in a quiet moment of a session: the database is copied, what was deleted long ago removed."""

from __future__ import annotations

import asyncio
import logging

from letta_code.agent.roster import purge_agents
from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError
from letta_code.core.ids import utc_now
from letta_code.host.files import atomic_write
from letta_code.store.database import Store

log = logging.getLogger(__name__)
_MARK = "purged"  # in the cache folder: the day of the last time


async def keep_up(store: Store, paths: Paths) -> None:
    """Do it, unless it was done today; what goes wrong is logged, and nothing waits for it."""
    try:
        if not store.read_only and await asyncio.to_thread(_is_due, paths):
            if why := await asyncio.to_thread(_copied, paths):
                log.warning("%s", why)
            for sentence in await purge_agents(store, paths):
                log.warning("%s", sentence)
    except (LettaError, OSError) as error:
        log.warning("the daily work could not be done: %s", error)


def _copied(paths: Paths) -> str:
    from letta_code.agent.saving.daily import copy_of_the_day

    return copy_of_the_day(paths)


def _is_due(paths: Paths) -> bool:
    """Whether nobody did it today; says at once that it is done."""
    mark, today = paths.cache / _MARK, utc_now()[:10]
    if mark.exists() and mark.read_text("utf-8", "replace").strip() == today:
        return False
    atomic_write(paths.folder(paths.cache) / _MARK, f"{today}\n".encode(), durable=False)
    return True
