"""What tests of memory on the screen share: a stage whose session has a real memory in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from textual.pilot import Pilot

from letta_code.core import events as ev
from letta_code.core.errors import StoreError
from letta_code.core.messages import TextPart
from letta_code.memory.blocks import Blocks
from letta_code.memory.desk import Desk
from letta_code.memory.edits import Append
from letta_code.memory.provenance import Provenance
from letta_code.store.journal import StoredEvent
from letta_code.tui.screens.memory import MemoryScreen
from letta_code.tui.widgets.memory_rows import Rows
from tests.fakes.session import FakeSession, Script, echo
from tests.tui.screen import Stage, ready, screen_text, until

ELSEWHERE = Provenance(source="agent", conversation="conv-9", seq=44)
PERSON = Provenance(source="user", conversation="conv-9")


class Conversations:
    """The store's conversations, of which one has a title."""

    def get(self, name: str) -> Any:
        return type("Titled", (), {"title": "Invoices are off by a cent"})() if name == "conv-1" else None


class Store:
    """Two events of conv-1: what the person said, and the event that the agent's edits name."""

    conversations = Conversations()

    def read(self, conversation: str, after: int = 0, limit: int | None = None) -> list[StoredEvent]:
        if conversation != "conv-1":
            return []
        said = TextPart(text="Invoices are off by a cent. And remember: I am Ada, from Zürich.")
        events: list[ev.Durable] = [
            ev.UserMessage(seq=6, at="2026-11-20T10:00:00Z", message_id="m-6", content=(said,)),
            ev.AssistantMessage(seq=7, at="2026-11-20T10:00:09Z", message_id="m-7", model="x", text="I note that."),
        ]
        found = [StoredEvent(seq=e.seq, event=e, raw=b"") for e in events if e.seq > after]  # type: ignore[arg-type]
        return found[:limit]


def no_search() -> NoReturn:
    """The index of a home that has no database."""
    raise StoreError("There is nothing to search here.")


def blocks_in(home: Path, conversation: str = "conv-1") -> Blocks:
    """The agent's blocks as a conversation sees them."""
    return Blocks(home, "agent-1", "billing-1", conversation)


def memory_stage(home: Path, script: Script = echo, **more: Any) -> Stage:
    """A stage over that memory."""
    desk = Desk(blocks_in(home), "conv-1", open_archive=no_search, open_recall=no_search)
    session = FakeSession(script, desk=desk, store=Store())  # type: ignore[arg-type]  # what the screen asks of it
    return Stage(session, **more)


def append(home: Path, label: str, text: str, by: Provenance = ELSEWHERE) -> None:
    """An edit by another process."""
    blocks_in(home, "conv-9").apply(Append(label=label, text=text), by, approved=True)


async def open_memory(pilot: Pilot[int], stage: Stage) -> MemoryScreen:
    """Press the key, and wait for the tree."""
    await ready(pilot, stage)
    await pilot.press("f2")
    await until(pilot, lambda: isinstance(stage.app.screen, MemoryScreen))
    screen = stage.app.screen
    assert isinstance(screen, MemoryScreen)
    await until(pilot, lambda: screen.query_one("#memory-tree", Rows).rows, "memory never came")
    await until(pilot, lambda: screen.view is not None)
    return screen


async def go_to(pilot: Pilot[int], screen: MemoryScreen, label: str) -> None:
    """Highlight a block, and wait until it is shown."""
    assert screen.point_at(label) is not None
    await until(pilot, lambda: label in str(screen.query_one(".memory-title").render()))


async def sees(pilot: Pilot[int], stage: Stage, text: str) -> None:
    """Wait until a text stands on the screen."""
    await until(pilot, lambda: text in screen_text(stage.app), f"never saw {text!r}")
