"""letta-code with a planted fault, so that the torture can show that it finds it: `_planted.py FAULT ARGUMENTS…`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Sequence

from letta_code.core.events import KnownEvent, ToolResult


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
    from letta_code.agent.session import Session

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


PLANTS: dict[str, Callable[[], None]] = {
    "told-first": _told_first,
    "no-recovery": _no_recovery,
    "kept-twice": _kept_twice,
    "bit-rot": _bit_rot,
}


if __name__ == "__main__":
    PLANTS[sys.argv[1]]()
    sys.argv[1:] = sys.argv[2:]
    from letta_code.__main__ import main

    sys.exit(main())
