"""Workers: a session's hand on processes without a face; what starts and revives them is loaded when it is needed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError

if TYPE_CHECKING:
    from letta_code.agent.job import Job
    from letta_code.store.database import Store

log = logging.getLogger(__name__)


class Workers:
    """Starts workers for faces, off the event loop."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def keep(self, job: Job) -> None:
        """Keep what the next worker of a conversation is to be told; where it cannot be, there is no next one."""
        from letta_code.agent.background import keep

        try:
            keep(job, self._paths)
        except LettaError as error:
            log.warning("%s %s", error, error.hint)

    async def begin(self, job: Job) -> None:
        """Start one; see `start_worker`."""
        from letta_code.agent.background import start_worker

        await asyncio.to_thread(start_worker, job, self._paths)

    async def begin_kept(self, conversation_id: str) -> None:
        """Start one that is told what the conversation's last owner kept for it; raises as `kept_job` does, too."""
        from letta_code.agent.background import kept_job

        await self.begin(kept_job(conversation_id, self._paths))


async def revive_later(store: Store, paths: Paths, seconds: float) -> None:
    """Begin runs that were left alone in a quiet moment; being cancelled before that is no loss."""
    await asyncio.sleep(seconds)
    from letta_code.agent.background import revive

    try:
        await asyncio.to_thread(revive, store, paths, seconds=0.0)  # the end of this process waits for its threads
    except LettaError as error:
        log.warning("runs in the background were not looked for: %s", error)
