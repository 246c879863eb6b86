"""The scenario that a failing disk meets: a run with every kind of effect, a resume, memory and settings by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from _disk_faults import DISK

from letta_code.agent.port import SessionOptions
from letta_code.agent.session import Session
from letta_code.agent.start import start_session
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings, save_setting
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.memory.edits import Append
from letta_code.memory.outcome import Outcome
from letta_code.memory.provenance import Provenance

T = TypeVar("T")

TRIES = 8  # a person tries a step again so often; by then there is room
PATIENCE = 20.0  # seconds for a run, of which it needs a tenth of one

NOTES = ("one\ntwo\n", "three\ntwo\n")
LONG = "A long line of a file that takes more than one page on the disk.\n" * 200
ENDING = "Everything is done."
# What each file may hold at the end: nothing else is a whole version of it.
ALLOWED: dict[str, tuple[str, ...]] = {
    "notes.txt": NOTES,
    "src/long.txt": (LONG,),
    "said.txt": ("hello\n",),
    "second.txt": ("second\n",),
}


def _turn(text: str, *calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"text": text, "tools": [{"name": name, "args": args} for name, args in calls]}


def script() -> str:
    """The model's part, as a file for `scripted:`."""
    turns = [
        _turn("I write.", ("Write", {"path": "notes.txt", "content": NOTES[0]})),
        _turn("I read.", ("Read", {"path": "notes.txt"})),
        _turn("I change.", ("Edit", {"path": "notes.txt", "old": "one", "new": "three"})),
        _turn("A long one.", ("Write", {"path": "src/long.txt", "content": LONG})),
        _turn("A command.", ("Bash", {"command": "echo hello > said.txt; seq 1 20000"})),
        _turn("A task.", ("Todo", {"items": [{"text": "fill the disk", "status": "done"}]})),
        _turn(
            "I remember.",
            ("memory", {"command": "insert", "label": "human", "insert_text": "- likes a full disk"}),
            ("archival_memory_insert", {"content": "The disk was full on a Saturday in November."}),
        ),
        {"text": ENDING},
        _turn("Once more.", ("Write", {"path": "second.txt", "content": "second\n"})),
        {"text": ENDING},
    ]
    return json.dumps({"turns": turns, "answers": [{"text": ENDING}]})


class Seen(NamedTuple):
    """What the scenario told while it ran.

    `told` are durable events as they were published, by conversation and seq; `said` is what a person was told that
    something is wrong; `broken` is what came out that is no answer to a person.
    """

    told: dict[tuple[str, int], ev.Durable]
    said: list[str]
    broken: list[str]
    reasons: list[str]


class Scenario:
    """One pass over the scenario; whenever somebody is told of the disk, room is made (in a moment, as people do)."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(home=root / "home")
        self.work = root / "work"
        self.script = root / "script.json"
        self.seen = Seen({}, [], [], [])
        self.conversation = ""

    async def play(self) -> None:
        """All of it; what goes wrong is in `seen`."""
        await self._step("settings", self._settings)
        await self._session("", "Do the task.")
        await self._step("settings again", self._settings_again)
        await self._session(self.conversation, "And another one.")

    def _tell(self, text: str) -> None:
        self.seen.said.append(text)
        DISK.make_room()

    async def _step(self, name: str, work: Callable[[], Awaitable[T]]) -> T | None:
        """A person's step, tried again after an error that is told; any other error is a finding."""
        for _ in range(TRIES):
            try:
                return await work()
            except LettaError as error:
                self._tell(f"{name}: {type(error).__name__}: {error}")
            except Exception as error:  # noqa: BLE001 - a traceback in a person's face is the finding
                self.seen.broken.append(f"{name}: {type(error).__name__}: {error}")
                DISK.make_room()
        self.seen.broken.append(f"{name}: did not work after {TRIES} tries")
        return None

    async def _settings(self) -> None:
        save_setting(self.paths, "max_turns", 90)

    async def _settings_again(self) -> None:
        save_setting(self.paths, "max_turns", 80)

    async def _session(self, conversation: str, words: str) -> None:
        async def opened() -> Session:
            settings = Settings(model=f"scripted:{self.script}", mode="full")
            options = SessionOptions(
                cwd=str(self.work), settings=settings, conversation=conversation, mode="full", interactive=False
            )
            return await start_session(options, paths=self.paths)

        session = await self._step("open", opened)
        if session is None:
            return
        self.conversation = session.conversation_id
        listening = asyncio.create_task(self._listen(session))
        try:
            await self._step("send", lambda: session.send(words, client_id=words))
            await self._ended(session)
            await self._step("memory", lambda: self._edit_memory(session))
        finally:
            await self._step("close", session.close)
            if not listening.done():
                await asyncio.wait([listening], timeout=PATIENCE)
            listening.cancel()

    async def _ended(self, session: Session) -> None:
        """Wait for the run; one that ended with an error is told so, and gone on with by hand."""
        for tried in range(TRIES):
            try:
                last = await asyncio.wait_for(session.idle(), PATIENCE)
            except TimeoutError:
                self.seen.broken.append("run: hangs")
                return
            except Exception as error:  # noqa: BLE001 - what a bug let through is the finding
                self.seen.broken.append(f"run: {type(error).__name__}: {error}")
                DISK.make_room()
                return
            if last is not None and last.reason == ev.StopReason.DONE:
                self.seen.reasons.append("by hand" if tried else "by itself")
                return
            self._tell(f"run: {last.reason if last else 'none'}: {last.error if last else ''}")
            if await self._step("resume", session.resume) is not True:
                return

    async def _edit_memory(self, session: Session) -> None:
        person = Provenance(source="user", conversation=session.conversation_id)
        blocks = session.memory.blocks

        def edit() -> Outcome:
            return blocks.apply(Append(label="persona", text="I ask for room."), person, approved=True)

        await asyncio.to_thread(edit)

    async def _listen(self, session: Session) -> None:
        async for event in session.events(session.status.last_seq):
            match event:
                case ev.Waiting(phase="storage"):
                    self._tell(f"waiting: {event.reason}")
                case ev.Notice(level="warning" | "error"):
                    self._tell(f"notice: {event.text}")
                case ev.ToolResult(status="error"):
                    self._tell(f"result of {event.name}: {event.content}")
                case _:
                    pass
            if isinstance(event, ev.Durable) and event.seq:
                self.seen.told[session.conversation_id, event.seq] = event
