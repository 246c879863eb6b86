"""A conversation with an owner and followers: scripted models, sessions of this process and real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from letta_code.agent.live.attached import AttachedSession
from letta_code.agent.live.opening import attach
from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings
from letta_code.core import events as ev
from letta_code.store.database import Store
from tests.fakes.redaction import NoSecrets

ROOT = Path(__file__).resolve().parents[3]


def write_script(folder: Path, *turns: dict[str, Any]) -> Path:
    path = folder / "script.yaml"
    path.write_text(json.dumps({"turns": turns}), encoding="utf-8")
    return path


def long_answer(words: int = 120, delay: float = 0.01) -> dict[str, Any]:
    return {"text": "".join(f"word{n} ö " for n in range(words)), "pieces": 9, "delay": delay}


def options(folder: Path, conversation: str = "", mode: str = "full", face: str = "test") -> SessionOptions:
    settings = Settings(model=f"scripted:{folder / 'script.yaml'}", sandbox="off")  # so that commands are asked about
    return SessionOptions(
        trusted=True, cwd=str(folder), settings=settings, conversation=conversation, mode=mode, face=face
    )


async def follower(folder: Path, conversation: str) -> AttachedSession:
    attached = await attach(options(folder, conversation, face="follower"), Paths.find())
    assert attached is not None, "nobody runs it"
    return attached


class Heard:
    """Everything that a session tells, as a face would keep it."""

    def __init__(self, session: SessionPort, after: int = 0) -> None:
        self.events: list[ev.Event | ev.LiveEvent] = []
        self._grew = asyncio.Event()
        self.task = asyncio.create_task(self._listen(session, after))

    async def _listen(self, session: SessionPort, after: int) -> None:
        async for event in session.events(after):
            self.events.append(event)
            self._grew.set()
        self._grew.set()

    async def until(self, seen: Callable[[ev.Event | ev.LiveEvent], bool], seconds: float = 30) -> Any:
        """The first event that is meant; waits for it."""
        at = 0
        async with asyncio.timeout(seconds):
            while True:
                while at < len(self.events):
                    if seen(self.events[at]):
                        return self.events[at]
                    at += 1
                assert not self.task.done(), f"it ended without: {[type(e).__name__ for e in self.events]}"
                self._grew.clear()
                await self._grew.wait()

    async def of(self, kind: type[Any], seconds: float = 30) -> Any:
        return await self.until(lambda event: isinstance(event, kind), seconds)

    async def end(self, seconds: float = 30) -> None:
        await asyncio.wait_for(self.task, seconds)

    @property
    def durable(self) -> list[bytes]:
        return [ev.encode(event) for event in self.events if getattr(event, "seq", 0)]

    def texts(self) -> dict[str, list[str]]:
        """For each message the text as it grew on the screen, placed by offset."""
        found: dict[str, list[str]] = {}
        now: dict[str, str] = {}
        for event in self.events:
            if isinstance(event, ev.DraftDropped):
                now.pop(event.message_id, None)
            if isinstance(event, ev.TextDelta):
                text = now.get(event.message_id, "")
                assert event.offset <= len(text), f"a hole in the text at {len(text)}: the piece is for {event.offset}"
                now[event.message_id] = text[: event.offset] + event.text
                found.setdefault(event.message_id, []).append(now[event.message_id])
        return found

    def check(self, after: int, conversation: str) -> None:
        """The durable events are the store's, none missing and none twice; all text is the beginning of its message."""
        with open_store() as store:
            stored = [one.raw for one in store.read(conversation, after)]
        assert self.durable == stored
        final = {event.message_id: event.text for event in self.events if isinstance(event, ev.AssistantMessage)}
        for message_id, texts in self.texts().items():
            if message_id in final:
                wrong = [text for text in texts if not final[message_id].startswith(text)]
                assert not wrong, (final[message_id], wrong[0])
        over: set[str] = set()
        for event in self.events:
            if isinstance(event, ev.AssistantMessage):
                over.add(event.message_id)
            assert not (isinstance(event, ev.TextDelta) and event.message_id in over), "text behind its message"


def open_store() -> Store:
    paths = Paths.find()
    return Store.open(paths.database, conversations_dir=paths.conversations, run_dir=paths.run, redactor=NoSecrets())


class OwnerProcess:
    """A real process that runs the conversation (tests/agent/live/owner.py)."""

    def __init__(self, process: asyncio.subprocess.Process, conversation: str) -> None:
        self.process = process
        self.conversation = conversation

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def gone(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


async def owner_process(folder: Path, mode: str = "full") -> OwnerProcess:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.agent.live.owner",
        str(folder),
        mode,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    return OwnerProcess(process, line.decode().strip())
