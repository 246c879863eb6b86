"""Faults that are planted into every process of letta-code, so that the torture can show that it finds them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from letta_code.core.events import Event, KnownEvent, LiveEvent, ToolResult

if TYPE_CHECKING:
    from letta_code.agent.session import Session
    from letta_code.core.requests import Answer, Request
    from letta_code.llm.model import ChatRequest


def _told_first() -> None:
    """Events are acknowledged before their commit: four of five appends only join an open transaction."""
    from letta_code.store.dialect import Database

    appends = 0
    close = Database.close

    @contextlib.contextmanager
    def later(self: Database) -> Generator[None]:
        nonlocal appends
        appends += 1
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        yield
        if appends % 5 == 0:
            self._connection.execute("COMMIT")

    def commit_and_close(self: Database) -> None:
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")
        close(self)

    Database.transaction = later
    Database.close = commit_and_close


def _no_recovery() -> None:
    """The run of a dead process is ended, and its calls stay open: they get no result."""
    from letta_code.agent import recovery

    async def none(session: Session) -> recovery.Left:
        return recovery.Left()

    recovery._left = none


def _kept_twice() -> None:
    """Results are kept twice, as a retry without ids would."""
    from letta_code.agent.start import StoredConversation

    append = StoredConversation.append

    async def twice(self: StoredConversation, events: Sequence[KnownEvent]) -> Sequence[KnownEvent]:
        kept = await append(self, events)
        if any(isinstance(event, ToolResult) for event in events):
            return [*kept, *await append(self, events)]
        return kept

    StoredConversation.append = twice


def _bit_rot() -> None:
    """A byte of every second event is written wrong."""
    from letta_code.store import append as module

    crc32 = module.zlib.crc32

    class Zlib:
        @staticmethod
        def crc32(body: bytes) -> int:
            return crc32(body) ^ (len(body) % 2)

    module.zlib = Zlib


def _run_again() -> None:
    """What a dead process left under way is run again, without a word."""
    from letta_code.agent import recovery

    async def again(session: Session) -> recovery.Left:
        return recovery.Left(not_begun=tuple(session.history.open_calls.values()), waiting=True)

    recovery._left = again


def _never_resumed() -> None:
    """Nobody goes on with runs whose worker died."""
    from letta_code.agent import background

    background.left_alone = lambda store: []


def _unasked() -> None:
    """A call that waited for a person's yes is taken as allowed when its process died."""
    from letta_code.agent.asking import Asking
    from letta_code.core.requests import Approve

    async def yes(self: Asking, request: Request) -> Answer:
        return Approve()

    ask = Asking.ask

    async def asked(self: Asking, request: Request) -> Answer:
        return await (yes if self._ledger.history.run_attempts else ask)(self, request)

    Asking.ask = asked


def _left_over() -> None:
    """The process that owns the commands does not stop them when its owner died."""
    from letta_code.host import process

    spawn = process.Launcher.spawn

    async def kept(self: process.Launcher, argv: Sequence[str], **more: Any) -> process.Child:
        return await spawn(self, argv, **{**more, "keep": True})

    process.Launcher.spawn = kept


def _dated() -> None:
    """Each process writes the time of its start into what the model is told first."""
    from msgspec.structs import replace

    from letta_code.agent.context import Context

    request, began = Context.request, time.time_ns()

    def dated(self: Context, **more: Any) -> ChatRequest:
        made = request(self, **more)
        return replace(made, system=f"{made.system}\nIt is {began}.")

    Context.request = dated


def _deaf() -> None:
    """A follower does not hear every tenth event."""
    from letta_code.agent.live.following import Following

    publish = Following._publish

    def some(self: Following, event: Event | LiveEvent) -> None:
        if getattr(event, "seq", 0) % 10 != 9:
            publish(self, event)

    Following._publish = some


class Plant(NamedTuple):
    """A fault, and where a kill meets it: in a conversation of such a `kind`, when a command left a line of `aims`.

    The nth kill waits for the nth line (their commands still run then); without aims any moment will do.  A run may
    stand still for `patience` seconds.  A fault of followers is planted `here`: the torture itself follows.
    """

    fault: Callable[[], None]
    kind: str = "foreground"
    aims: tuple[str, ...] = ("a", "c", "f")
    patience: float = 60.0
    here: bool = False


PLANTS = {
    "told-first": Plant(_told_first),
    "no-recovery": Plant(_no_recovery),
    "kept-twice": Plant(_kept_twice),
    "bit-rot": Plant(_bit_rot),
    "run-again": Plant(_run_again, "background"),
    "never-resumed": Plant(_never_resumed, "background", patience=5.0),
    "unasked": Plant(_unasked, "asking", aims=()),
    "left-over": Plant(_left_over, aims=("s",)),
    "dated": Plant(_dated, "foreground http"),
    "deaf": Plant(_deaf, "followed", here=True),
}

SITE = """import os, sys
if (plant := os.environ.get({name!r})) and sys.argv[:1] == ["-m"]:
    sys.path.append({folder!r})
    from _planted import PLANTS
    PLANTS[plant].fault()
    sys.path.remove({folder!r})
"""


def plant_everywhere(folder: Path, name: str) -> None:
    """Make a `sitecustomize` that plants the fault named in the environment variable `name`; `folder` is to be in
    PYTHONPATH."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITE.format(name=name, folder=str(Path(__file__).resolve().parent)))
