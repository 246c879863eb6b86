"""What goes on in a home, seen from outside: whose a conversation is, what is stored of it, and who follows it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from _kill_processes import process

from letta_code.agent.background import Job
from letta_code.agent.history import History
from letta_code.agent.live.opening import attach
from letta_code.agent.port import SessionOptions
from letta_code.agent.workers import Workers
from letta_code.config.paths import Paths
from letta_code.config.settings import load
from letta_code.core.errors import LettaError
from letta_code.core.events import Durable, Event, LiveEvent
from letta_code.core.requests import Answer
from letta_code.host.locks import FileLock
from letta_code.safety.vault import Secrets
from letta_code.store.database import Store
from letta_code.store.runs import Run

LOOK_SECONDS = 0.015


class Watch:
    """One home; used by one thread."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.paths = Paths.find({"LETTA_HOME": str(home)})
        self.store = Store.open(home / "letta.db", run_dir=home / "run", redactor=Secrets())

    def conversation_in(self, folder: Path) -> str:
        """The newest conversation of a folder, "" where there is none."""
        found = self.store.conversations.latest_for(str(folder))
        return found.id if found else ""

    def run_of(self, conversation: str) -> Run | None:
        """The conversation's newest run."""
        return next(iter(self.store.runs.list(conversation_id=conversation, limit=1)), None)

    def owner(self, conversation: str) -> int:
        """The living process that has a conversation, 0 for none.  The lock itself is not touched: it is not ours."""
        signed = FileLock(self.home / "run" / f"{conversation}.lock").owner()
        found = process(signed.pid) if signed else None
        if not signed or not found or found.started != signed.started or signed.pid == os.getpid():
            return 0  # a face of ours, too, signs it when it looks whether it is free
        return signed.pid

    def events(self, conversation: str) -> list[Event]:
        """What is stored."""
        return [stored.event for stored in self.store.read(conversation)]

    def history(self, conversation: str) -> History:
        """What that adds up to."""
        history = History()
        history.extend(self.events(conversation))
        return history

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until it holds; False when it does not in time."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def options(self, conversation: str, folder: Path) -> SessionOptions:
        """How a face opens a conversation."""
        settings = load(folder, paths=self.paths, env={}).settings
        return SessionOptions(cwd=str(folder), settings=settings, conversation=conversation, face="torture")

    def answer(self, conversation: str, folder: Path, request_id: str, answer: Answer) -> bool:
        """Answer a request as a face does, through the process that has the conversation; False when it died."""

        async def give() -> bool:
            attached = await attach(self.options(conversation, folder), self.paths)
            if attached is None:
                return False
            try:
                async with asyncio.timeout(30):
                    await attached.answer(request_id, answer, "torture")
                return True
            except (LettaError, TimeoutError):
                return False
            finally:
                await attached.close()

        return asyncio.run(give())

    def move(self, conversation: str, folder: Path, *, dies: bool) -> str:
        """Move a run to the background, as a face does that follows it; with `dies` the face dies before the worker
        is started.  The run's id, "" when the owner died before it gave the run away."""

        async def give() -> str:
            attached = await attach(self.options(conversation, folder), self.paths)
            if attached is None:
                return ""
            if dies:
                attached._workers = _NoWorkers(self.paths)
            try:
                async with asyncio.timeout(30):
                    return await attached.to_background("torture")
            except (LettaError, TimeoutError):
                return ""
            finally:
                await attached.close()

        return asyncio.run(give())


class _NoWorkers(Workers):
    """Of a face that died before it could start a worker."""

    async def begin(self, job: Job) -> None:
        """Nothing happens."""


class Follower(threading.Thread):
    """A face that follows a conversation from owner to owner; `heard` are the durable events with their seq."""

    def __init__(self, watch: Watch, conversation: str, folder: Path, *, late: float) -> None:
        super().__init__(name=f"follow {conversation}", daemon=True)
        self.heard: list[tuple[int, Durable]] = []
        self.error = ""
        self._options = watch.options(conversation, folder)
        self._paths = watch.paths
        self._late = late
        self._enough = threading.Event()

    def stop(self) -> None:
        """Hear no more."""
        self._enough.set()
        self.join(20)

    def run(self) -> None:
        """Follow until it is enough."""
        self._enough.wait(self._late)
        try:
            asyncio.run(self._follow())
        except Exception as error:  # noqa: BLE001 - told as a finding: a face that breaks is what is looked for
            self.error = repr(error)

    async def _follow(self) -> None:
        while not self._enough.is_set():
            attached = await attach(self._options, self._paths)
            if attached is None:
                await asyncio.sleep(0.02)
                continue
            hearing = asyncio.create_task(self._hear(attached.events(self.heard[-1][0] if self.heard else 0)))
            while not hearing.done() and not self._enough.is_set():
                await asyncio.wait([hearing], timeout=0.05)
            if hearing.done():
                hearing.result()
            hearing.cancel()
            await asyncio.wait([hearing])
            await attached.close()

    async def _hear(self, events: AsyncIterator[Event | LiveEvent]) -> None:
        async for event in events:
            if isinstance(event, Durable) and event.seq:
                self.heard.append((event.seq, event))
