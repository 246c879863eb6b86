"""Background: the process without a face that goes on with a run: what it is told, how it is started, who is left."""

from __future__ import annotations

import logging
import os
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from letta_code.agent.job import Job
from letta_code.agent.workers import Workers
from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError
from letta_code.core.messages import Value
from letta_code.host.detached import READY_SECONDS, start_detached
from letta_code.host.files import atomic_write, read_bounded

if TYPE_CHECKING:
    from letta_code.store.database import Store

log = logging.getLogger(__name__)

LOG = "workers.log"
MOST_REVIVED = 8  # workers that one start brings back
REVIVED_SECONDS = 8.0  # that all of them together are waited for
_VERB = "worker"
_MOST_BYTES = 1 << 24


class Kept(Value):
    """A job as its file holds it; `crc` is that of the job's JSON: a rule that lost a letter would deny nothing."""

    job: Job
    crc: int


class Revived(Value):
    """Conversations whose runs go on again, and sentences about those whose runs were not begun."""

    begun: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def start_worker(job: Job, paths: Paths, *, seconds: float = READY_SECONDS) -> int:
    """Start a worker and wait until it has the conversation; its process id.  Blocks for about half a second.

    With `seconds` 0 only the start itself is waited for.

    Raises `LettaError` when it could not begin; the run is kept then, and the next start of letta-code takes it up.
    """
    Workers(paths).keep(job)
    path = paths.logs / LOG
    try:
        started = start_detached(
            [sys.executable, "-P", "-m", "letta_code", _VERB],
            said=msgspec.json.encode(job),
            cwd=job.cwd if os.path.isdir(job.cwd) else "/",
            log=path,
            seconds=seconds,
        )
    except OSError as error:
        raise LettaError(f"The run could not be begun in the background: {error}.", hint=_kept(job)) from error
    if started.error and seconds:
        raise LettaError(
            f"The run could not be begun in the background: {started.error} (more in {path}).", hint=_kept(job)
        )
    return started.pid


def _kept(job: Job) -> str:
    return f"Nothing is lost: letta-code --resume {job.conversation} goes on with it."


def _file(paths: Paths, conversation_id: str) -> Path:
    return paths.run / f"{conversation_id}.job"


def keep(job: Job, paths: Paths) -> None:
    """For whoever goes on after the worker died: what was denied stays denied.  Mode full was for its starter alone.

    Durable when it returns.  Raises `LettaError`: then nothing is kept, an older job neither.
    """
    kept = replace(job, mode="", trusted_as="") if job.mode == "full" else job  # full trusts without having asked
    data = msgspec.json.encode(Kept(job=kept, crc=_crc(kept)))
    path = _file(paths, job.conversation)
    try:
        if read_bounded(path, _MOST_BYTES) == data:
            return
    except OSError:
        pass
    try:
        paths.folder(paths.run)
        atomic_write(path, data, mode=0o600)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise LettaError(
            f"What the run in the background may do cannot be kept in {path}: {error.strerror or error}.",
            hint="Free some space there, or look at the rights of that folder; the run was not begun there.",
        ) from error


def _crc(job: Job) -> int:
    return zlib.crc32(msgspec.json.encode(job))


def forget(conversation_id: str, paths: Paths) -> None:
    """The worker's runs have ended."""
    _file(paths, conversation_id).unlink(missing_ok=True)


def kept_job(conversation_id: str, paths: Paths) -> Job:
    """What the last worker of a conversation was told.

    Raises `LettaError` where that is not known any more: nobody may go on without a face then, since what was denied
    would be allowed.
    """
    path = _file(paths, conversation_id)
    try:
        kept = msgspec.json.decode(read_bounded(path, _MOST_BYTES), type=Kept)
    except FileNotFoundError as error:
        raise _unknown_rules(conversation_id, f"{path} is missing") from error
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unknown_rules(conversation_id, f"{path} is damaged") from error
    if kept.job.conversation != conversation_id or kept.crc != _crc(kept.job):
        raise _unknown_rules(conversation_id, f"{path} is damaged")
    return kept.job


def _unknown_rules(conversation_id: str, why: str) -> LettaError:
    return LettaError(
        f"The run of {conversation_id} in the background was not begun again: {why}, so what it was allowed and denied "
        "is not known.",
        hint=f"Go on with it yourself, with its --allow and --deny rules: letta-code --resume {conversation_id}; "
        f"or end it: letta-code runs stop {conversation_id}",
    )


def left_alone(store: Store) -> list[str]:
    """Conversations with a run in the background that no process goes on with, oldest first."""
    waiting = dict.fromkeys(run.conversation_id for run in store.runs.open() if run.background)
    return [conversation_id for conversation_id in waiting if store.runs.writer(conversation_id) is None]


def revive_one(store: Store, paths: Paths, conversation_id: str) -> None:
    """Start a worker for the run of a conversation, if it was left alone.  Blocks until it has it.

    Raises `LettaError` where none can be started: its folder or its rules are gone, or the worker does not begin.
    """
    if store.read_only or conversation_id not in left_alone(store):
        return
    job = kept_job(conversation_id, paths)
    if not os.path.isdir(job.cwd):
        raise LettaError(
            f"The run was not begun again: its folder {job.cwd} is gone.",
            hint=f"Make it again, or end the run: letta-code runs stop {conversation_id}",
        )
    _start_again(job, paths, READY_SECONDS)


def revive(store: Store, paths: Paths, *, seconds: float = REVIVED_SECONDS) -> Revived:
    """Start a worker for each run that was left alone, side by side; those that were tried last come last.

    Blocks up to `seconds`.  A run whose folder is gone is left as it is.
    """
    if store.read_only:
        return Revived()
    jobs, refused = list[Job](), list[str]()
    for conversation_id in left_alone(store):
        conversation = store.conversations.get(conversation_id)
        if conversation is None or not os.path.isdir(conversation.cwd):
            continue
        try:
            jobs.append(kept_job(conversation_id, paths))
        except LettaError as error:
            refused.append(f"{error} {error.hint}")
    jobs.sort(key=lambda job: _tried(paths, job))
    begun: list[str] = []
    for job, failed in _side_by_side(lambda job: _start_again(job, paths, seconds), jobs[:MOST_REVIVED]):
        if failed is None:
            begun.append(job.conversation)
        else:
            refused.append(f"{job.conversation}: {failed} {failed.hint}")
    for sentence in refused:
        log.warning("%s", sentence)
    return Revived(begun=tuple(begun), refused=tuple(refused))


def _start_again(job: Job, paths: Paths, seconds: float) -> None:
    with suppress(OSError):
        os.utime(_file(paths, job.conversation))  # see `_tried`
    start_worker(job, paths, seconds=seconds)


def _tried(paths: Paths, job: Job) -> float:
    """When a worker was last begun for it: one that never begins must not keep the others waiting for good."""
    try:
        return _file(paths, job.conversation).stat().st_mtime
    except OSError:
        return 0.0


def _side_by_side(start: Callable[[Job], None], jobs: list[Job]) -> list[tuple[Job, LettaError | None]]:
    if not jobs:
        return []
    from concurrent.futures import ThreadPoolExecutor

    def one(job: Job) -> tuple[Job, LettaError | None]:
        try:
            start(job)
        except LettaError as error:
            return job, error
        return job, None

    with ThreadPoolExecutor(len(jobs), thread_name_prefix="revive") as threads:
        return list(threads.map(one, jobs))
