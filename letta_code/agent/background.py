"""Background: the process without a face that goes on with a run: what it is told, how it is started, who is left."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError
from letta_code.core.messages import Value
from letta_code.host.detached import READY_SECONDS, start_detached
from letta_code.host.files import atomic_write, read_bounded

if TYPE_CHECKING:
    from letta_code.agent.port import SessionOptions
    from letta_code.store.database import Store

log = logging.getLogger(__name__)

LOG = "workers.log"
MOST_REVIVED = 8  # workers that one start brings back
_VERB = "worker"


class Job(Value):
    """What a worker is told on its stdin: the conversation, and what its starter was allowed.

    `mode` may be full: that holds for this process only and is never kept.  `unattended`: nobody will answer.
    """

    conversation: str
    cwd: str
    mode: str = ""
    model: str = ""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    max_turns: int = 0
    time_limit: float = 0.0
    unattended: bool = False


def job_of(options: SessionOptions, conversation_id: str, *, mode: str, model: str) -> Job:
    """What a worker is told that goes on with a conversation which was opened so."""
    return Job(
        conversation=conversation_id,
        cwd=options.cwd,
        mode=mode,
        model=model,
        allow=options.allow,
        deny=options.deny,
        max_turns=options.settings.max_turns,
        time_limit=options.settings.time_limit,
        unattended=not options.interactive,
    )


def start_worker(job: Job, paths: Paths, *, waits: bool = True) -> int:
    """Start a worker and wait until it has the conversation; its process id.  Blocks for about half a second.

    Without `waits` only the start itself is waited for.

    Raises `LettaError` when it could not begin; the run is kept then, and the next start of letta-code takes it up.
    """
    _keep(job, paths)
    path = paths.logs / LOG
    try:
        started = start_detached(
            [sys.executable, "-P", "-m", "letta_code", _VERB],
            said=msgspec.json.encode(job),
            cwd=job.cwd if os.path.isdir(job.cwd) else "/",
            log=path,
            seconds=READY_SECONDS if waits else 0.0,
        )
    except OSError as error:
        raise LettaError(f"The run could not be begun in the background: {error}.", hint=_kept(job)) from error
    if started.error and waits:
        raise LettaError(
            f"The run could not be begun in the background: {started.error} (more in {path}).", hint=_kept(job)
        )
    return started.pid


class Workers:
    """Starts workers for faces, off the event loop."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def keep(self, job: Job) -> None:
        """Keep what the next worker of a conversation is to be told."""
        _keep(job, self._paths)

    async def begin(self, job: Job) -> None:
        """Start one; see `start_worker`."""
        await asyncio.to_thread(start_worker, job, self._paths)

    async def begin_kept(self, conversation_id: str, cwd: str) -> None:
        """Start one that is told what the conversation's last owner kept for it."""
        await self.begin(kept_job(conversation_id, cwd, self._paths))


def _kept(job: Job) -> str:
    return f"Nothing is lost: letta-code --resume {job.conversation} goes on with it."


def _file(paths: Paths, conversation_id: str) -> Path:
    return paths.run / f"{conversation_id}.job"


def _keep(job: Job, paths: Paths) -> None:
    """For whoever goes on after the worker died: what was denied stays denied.  Mode full was for its starter alone."""
    kept = replace(job, mode="" if job.mode == "full" else job.mode)
    try:
        path = _file(paths, job.conversation)
        paths.folder(paths.run)
        atomic_write(path, msgspec.json.encode(kept), mode=0o600, durable=False)
    except (OSError, LettaError) as error:
        log.warning("%s cannot be kept: %s", job.conversation, error)


def forget(conversation_id: str, paths: Paths) -> None:
    """The worker's runs have ended."""
    _file(paths, conversation_id).unlink(missing_ok=True)


def kept_job(conversation_id: str, cwd: str, paths: Paths) -> Job:
    """What the last worker of a conversation was told, the least where that is not known any more."""
    try:
        job = msgspec.json.decode(read_bounded(_file(paths, conversation_id), 1 << 24), type=Job)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return Job(conversation=conversation_id, cwd=cwd)
    return job if job.conversation == conversation_id else Job(conversation=conversation_id, cwd=cwd)


def left_alone(store: Store) -> list[str]:
    """Conversations with a run in the background that no process goes on with, oldest first."""
    waiting = dict.fromkeys(run.conversation_id for run in store.runs.open() if run.background)
    return [conversation_id for conversation_id in waiting if store.runs.writer(conversation_id) is None]


def revive(store: Store, paths: Paths, *, waits: bool = True) -> list[str]:
    """Start a worker for each run that was left alone; their conversations.  Blocks; what goes wrong is logged."""
    revived: list[str] = []
    if store.read_only:
        return revived
    for conversation_id in left_alone(store)[:MOST_REVIVED]:
        conversation = store.conversations.get(conversation_id)
        if conversation is None or not os.path.isdir(conversation.cwd):
            continue
        try:
            start_worker(kept_job(conversation_id, conversation.cwd, paths), paths, waits=waits)
            revived.append(conversation_id)
        except LettaError as error:
            log.warning("%s: %s", conversation_id, error)
    return revived


async def revive_later(store: Store, paths: Paths, seconds: float) -> None:
    """Do it in a quiet moment; being cancelled before that is no loss."""
    await asyncio.sleep(seconds)
    try:
        await asyncio.to_thread(revive, store, paths, waits=False)  # the end of this process waits for its threads
    except LettaError as error:
        log.warning("runs in the background were not looked for: %s", error)
