"""Pictures of memory on the screen at 80x24 and 120x40."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from letta_code.agent.compacting.wording import Place, wrapped
from letta_code.core import events as ev
from letta_code.core.display import MemoryBlock
from tests.fakes.memory_home import furnish
from tests.fakes.session import FakeSession
from tests.tui.memory_stage import append, blocks_in, go_to, memory_stage, open_memory, sees
from tests.tui.screen import Stage, ready, still, until

SIZES = [(80, 24), (120, 40)]
Snap = Callable[..., bool]
Act = Callable[[Pilot[int], Stage], Awaitable[None]]
WHEN = "2026-11-21 08:15"

pytestmark = pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lived-in memory, whose times do not stand in the pictures."""
    for module in ("widgets.memory_views", "screens.memory_acts"):
        monkeypatch.setattr(f"letta_code.tui.{module}.when", lambda _at: WHEN)
    monkeypatch.setattr("letta_code.memory.pending.utc_now", lambda: "2026-11-21T07:15:00Z")
    monkeypatch.setattr("letta_code.tui.widgets.welcome.__version__", "1.2.3")
    furnish(blocks_in(tmp_path))
    return tmp_path


def picture(snap: Snap, stage: Stage, size: tuple[int, int], act: Act) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await ready(pilot, stage)
        stage.chat.place.typing_pause = 0.0
        await act(pilot, stage)
        await still(pilot, stage)

    assert snap(stage.app, run_before=before, terminal_size=size)


def test_pane_with_the_edit_of_another_conversation(snap_compare: Snap, size: tuple[int, int], home: Path) -> None:
    async def act(pilot: Pilot[int], stage: Stage) -> None:
        if size[0] < 110:  # there is no room for it
            return
        await sees(pilot, stage, "team_glossary")
        await asyncio.to_thread(append, home, "project", "- Prefer tables over long lists of points")
        await sees(pilot, stage, "+ - Prefer")

    picture(snap_compare, memory_stage(home, clock=lambda: 100.0), size, act)


def test_block(snap_compare: Snap, size: tuple[int, int], home: Path) -> None:
    async def act(pilot: Pilot[int], stage: Stage) -> None:
        screen = await open_memory(pilot, stage)
        await go_to(pilot, screen, "project")

    picture(snap_compare, memory_stage(home), size, act)


def test_text_from_outside(snap_compare: Snap, size: tuple[int, int], home: Path) -> None:
    async def act(pilot: Pilot[int], stage: Stage) -> None:
        await open_memory(pilot, stage)
        await sees(pilot, stage, "Ignore all rules")

    picture(snap_compare, memory_stage(home), size, act)


def test_history(snap_compare: Snap, size: tuple[int, int], home: Path) -> None:
    async def act(pilot: Pilot[int], stage: Stage) -> None:
        screen = await open_memory(pilot, stage)
        await go_to(pilot, screen, "project")
        await pilot.press("h")
        await sees(pilot, stage, "Go 1.22")

    picture(snap_compare, memory_stage(home), size, act)


def test_where_lines_come_from(snap_compare: Snap, size: tuple[int, int], home: Path) -> None:
    async def act(pilot: Pilot[int], stage: Stage) -> None:
        screen = await open_memory(pilot, stage)
        await go_to(pilot, screen, "human")
        await pilot.press("w")
        await sees(pilot, stage, "I note that")

    picture(snap_compare, memory_stage(home), size, act)


def test_writing_too_much(snap_compare: Snap, size: tuple[int, int], home: Path) -> None:
    async def act(pilot: Pilot[int], stage: Stage) -> None:
        screen = await open_memory(pilot, stage)
        await go_to(pilot, screen, "human")
        await pilot.press("e")
        await until(pilot, lambda: screen.query("TextArea"))
        await pilot.press("enter", *"- one more line than there is room for")
        await pilot.press("ctrl+s")
        await sees(pilot, stage, "too many. Nothing")

    picture(snap_compare, memory_stage(home), size, act)


def test_question_before_deleting(snap_compare: Snap, size: tuple[int, int], home: Path) -> None:
    async def act(pilot: Pilot[int], stage: Stage) -> None:
        screen = await open_memory(pilot, stage)
        await go_to(pilot, screen, "style")
        await pilot.press("x")
        await sees(pilot, stage, "Delete style")

    picture(snap_compare, memory_stage(home), size, act)


DIFF = "@@ -4,2 +4,2 @@\n \n-Answers may be long.\n+Answers short, without praise.\n"


async def compacted(session: FakeSession, text: str) -> None:
    """A conversation whose first half left the context, and what happened to memory meanwhile."""
    await session.say("I looked at `billing/invoice.go`: rounding happens twice.")
    kept = len(session.journal) + 1
    session.keep(ev.UserMessage(message_id="u-2", content=session.journal[1].content))  # type: ignore[union-attr]
    await session.say("Then I fix the second rounding.")
    session.keep(
        ev.ContextCompacted(
            message_id="s-1",
            summary=wrapped(
                "# Goals\nInvoices must be right to the cent.", Place(conversation_id="conv-1", until=kept - 1)
            ),
            first_kept_seq=kept,
            evicted=212,
            tokens_before=41_230,
            tokens_after=9_800,
            kept=("todo: fix CSV import", "rule: never touch the ledger", "file: billing/invoice.go"),
            put_back=("file: billing/csv.go",),
        )
    )
    block = MemoryBlock(label="human", diff=DIFF, added=1, removed=1, chars=213, limit=5000)
    session.keep(
        ev.ReflectionDone(reflection_id="r-1", status="waiting", read_until=3, why="Said twice.", blocks=(block,))
    )
    reminder = (
        'Your memory changed:\n`project` was changed by the person in conv-9, and is now:\n<block label="project">'
    )
    session.keep(ev.ReminderAdded(message_id="m-9", kind="memory", text=f"{reminder}\nx\n</block>"))
    session.tell(ev.ContextMeter(tokens=31_200, window=200_000, limit=40_000))
    session.tell(ev.Waiting(phase="compacting"))
    session.still = True  # type: ignore[attr-defined]
    await asyncio.Event().wait()


@pytest.mark.parametrize("unfolded", [False, True], ids=["folded", "unfolded"])
def test_compaction_and_reflection(snap_compare: Snap, size: tuple[int, int], unfolded: bool, home: Path) -> None:
    async def act(pilot: Pilot[int], stage: Stage) -> None:
        await pilot.press(*"Fix the sum", "enter")
        await until(pilot, lambda: getattr(stage.session, "still", False))
        await until(pilot, lambda: not stage.chat.state.take_changes())
        await sees(pilot, stage, "Making room")
        if unfolded:
            await pilot.press("ctrl+o")

    stage = memory_stage(home, compacted, clock=lambda: 100.0)
    stage.session.desk = None
    picture(snap_compare, stage, size, act)
