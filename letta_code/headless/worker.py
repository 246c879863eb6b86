"""Worker: a process without a face that goes on with the runs of one conversation until there is nothing left to do."""

from __future__ import annotations

import asyncio
import logging
import signal

from letta_code.agent.background import Job, forget
from letta_code.agent.folder_trust import mark_of, still
from letta_code.agent.port import SessionOptions
from letta_code.agent.session import Session
from letta_code.agent.start import start_session
from letta_code.config.paths import Paths
from letta_code.config.settings import load
from letta_code.core.errors import ConversationBusy, LettaError
from letta_code.headless.signals import Signals
from letta_code.host.detached import say_ready

log = logging.getLogger(__name__)


def run(job: Job) -> int:
    """Do it; the exit code.  Who started us is told when the conversation is ours, or why it is not."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGINT, signal.SIGTERM):  # whoever started us may have ignored them
        signal.signal(number, signal.SIG_DFL)
    return asyncio.run(_Worker(job, Paths.find()).run())


LOOKS = (0.05, 0.1, 0.2, 0.4)  # seconds between tries: watchers look often who has a conversation that was given away


def options_of(job: Job) -> SessionOptions:
    """How the worker opens its conversation."""
    flags = {
        name: value
        for name, value in (
            ("model", job.model),
            ("mode", job.mode),
            ("max_turns", job.max_turns),
            ("time_limit", job.time_limit),
        )
        if value
    }
    looked = still(job.trusted_as, job.cwd, Paths.find())
    return SessionOptions(
        cwd=job.cwd,
        settings=load(job.cwd, flags=flags, trusted=looked.trusted).settings,
        conversation=job.conversation,
        model=job.model,
        mode=job.mode,
        interactive=not job.unattended,
        background=True,
        face="worker",
        allow=job.allow,
        deny=job.deny,
        trusted=looked.trusted,
        trusted_as=mark_of(looked.pinned) if looked.trusted else "",
    )


class _Worker:
    def __init__(self, job: Job, paths: Paths) -> None:
        self._job = job
        self._paths = paths
        self._stop = asyncio.Event()

    async def run(self) -> int:
        signals = Signals(self._stop.set)
        try:
            session: Session | None = await self._open()
            while session is not None:
                session = await self._work(session)
        except ConversationBusy:
            say_ready()  # another process has it: it goes on, and that is what was wanted
        except LettaError as error:
            say_ready(f"{error} {error.hint}".strip())
            log.warning("%s: %s", self._job.conversation, error)
            return error.exit_code
        return signals.exit_code

    async def _open(self) -> Session:
        """The conversation; raises `ConversationBusy` when another process has it, and not only looks at it."""
        for pause in LOOKS:
            try:
                return await start_session(options_of(self._job), paths=self._paths)
            except ConversationBusy:
                await asyncio.sleep(pause)
        return await start_session(options_of(self._job), paths=self._paths)

    async def _work(self, session: Session) -> Session | None:
        """Work to the end; the conversation opened again where something was said at the very last moment."""
        try:
            if not session.running:
                await session.go_on()
            say_ready()
            await self._until_idle(session)
        finally:
            await session.close()
        history = session.history
        if session.handover.leaving or self._stop.is_set():
            return None
        if history.queued:
            return await self._open()
        if history.run is None:
            forget(self._job.conversation, self._paths)
        return None

    async def _until_idle(self, session: Session) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        try:
            while not self._stop.is_set() and not session.handover.leaving:
                idle = asyncio.create_task(session.idle())
                await asyncio.wait({idle, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not idle.done():
                    idle.cancel()
                    break
                idle.result()
                if session.handover.leaving or not await session.go_on():
                    break
        finally:
            stopping.cancel()
