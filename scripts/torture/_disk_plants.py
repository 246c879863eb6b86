"""Faults of letta-code's own, so that the torture of the disk can show that it finds them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


def _in_place() -> None:
    """Files are written in place, as `open(path, "w")` does."""
    from letta_code.config import files
    from letta_code.workspace import files as work

    def written(path: Path, text: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def put(handle: work.LocalHandle, data: bytes, make_parents: bool) -> work.Identity:
        path = Path(handle.path)
        if make_parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        written(path, data.decode())
        return work.identity_of(path.stat())

    files._write = written
    work.replace = put


def _gives_up() -> None:
    """A full store ends the run, instead of waiting for room."""
    from letta_code.agent import ledger

    class Never(Exception):
        pass

    ledger.StoreFull = Never


def _swallowed() -> None:
    """An event that could not be kept is told as if it were."""
    from msgspec.structs import replace

    from letta_code.agent.start import StoredConversation
    from letta_code.core.errors import StoreFull

    append = StoredConversation.append

    async def told(self, events):
        try:
            return await append(self, events)
        except StoreFull:
            last = self.store.last_seq(self.conversation_id)
            return [replace(event, seq=last + number) for number, event in enumerate(events, start=1)]

    StoredConversation.append = told


def _forgets() -> None:
    """A readable copy never gets what could not be written to it at once."""
    from letta_code.store.mirror import Mirror

    record = Mirror.record

    class Only:
        def __init__(self, rows):
            self.rows = rows

        def last_seq(self):
            return self.rows[-1].seq

        def rows_after(self, seq):
            return self.rows

    def once(self, conversation_id, rows, source):
        record(self, conversation_id, rows, Only(rows))
        self.behind.discard(conversation_id)

    Mirror.record = once


class Plant(NamedTuple):
    """A fault, and the writes whose failing shows it: those with `where` in their path, failing as `kind`."""

    fault: Callable[[], None]
    where: str
    kind: str


PLANTS = {
    "in-place": Plant(_in_place, "work/", "short"),
    "gives-up": Plant(_gives_up, "letta.db-wal", "full"),
    "forgets": Plant(_forgets, "conversations/", "eio"),
    "swallowed": Plant(_swallowed, "letta.db-wal", "full"),
}
