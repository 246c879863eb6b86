"""Faults that are planted into every process of letta-code, so that the torture can show that it finds them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letta_code.core.events import KnownEvent, ToolResult

if TYPE_CHECKING:
    from letta_code.agent.session import Session
    from letta_code.core.requests import Answer, Request


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
    """What a dead process left open is not closed on resume."""
    from letta_code.agent import start

    async def nothing(session: Session) -> bool:
        return False

    start.recover = nothing


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


PLANTS: dict[str, Callable[[], None]] = {
    "told-first": _told_first,
    "no-recovery": _no_recovery,
    "kept-twice": _kept_twice,
    "bit-rot": _bit_rot,
    "run-again": _run_again,
    "never-resumed": _never_resumed,
    "unasked": _unasked,
    "left-over": _left_over,
}

SITE = """import os, sys
if (plant := os.environ.get({name!r})) and sys.argv[:1] == ["-m"]:
    sys.path.append({folder!r})
    from _planted import PLANTS
    PLANTS[plant]()
    sys.path.remove({folder!r})
"""


def plant_everywhere(folder: Path, name: str) -> None:
    """Make a `sitecustomize` that plants the fault named in the environment variable `name`; `folder` is to be in
    PYTHONPATH."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITE.format(name=name, folder=str(Path(__file__).resolve().parent)))
