"""The memory screen over a real session: its search index, and what a person decides about reflections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.agent.start import start_session
from letta_code.config.settings import Settings
from letta_code.core import events as ev
from letta_code.memory.archival import FoundPassage
from letta_code.memory.blocks import Blocks
from letta_code.memory.proposals import Proposal, proposal_id
from letta_code.memory.provenance import REFLECTION, Provenance
from letta_code.memory.recall import Found
from letta_code.tui.app import LettaApp
from letta_code.tui.cards import ReflectionCard
from letta_code.tui.ports import Ports
from letta_code.tui.screens.memory import MemoryScreen
from letta_code.tui.widgets.memory_rows import Rows
from letta_code.tui.widgets.memory_search import SearchView
from tests.fakes import memory_home
from tests.tui.screen import screen_text, until

PATCH = "*** Update Block: persona\n@@\n-{0}\n+{0} Answers are short."


@pytest.fixture
async def app(letta_home: Path, tmp_path: Path) -> AsyncIterator[LettaApp]:
    """The screen on a home where a real agent has blocks, an archive and two conversations."""
    await memory_home.main(letta_home, tmp_path / "billing")
    settings = Settings(model=f"scripted:{letta_home / 'script.yaml'}")
    options = SessionOptions(cwd=str(tmp_path / "billing"), settings=settings, conversation="last")
    yield LettaApp(options, start_session, Ports())


async def opened(pilot: Pilot[int], app: LettaApp) -> MemoryScreen:
    await until(pilot, lambda: app.chat.state.conversation_id, "the session never opened", 30)
    await pilot.press("f2")
    await until(pilot, lambda: isinstance(app.screen, MemoryScreen))
    screen = app.screen
    assert isinstance(screen, MemoryScreen)
    await until(pilot, lambda: screen.query_one("#memory-tree", Rows).rows and screen.view is not None)
    return screen


async def search(pilot: Pilot[int], screen: MemoryScreen, words: str) -> SearchView:
    view = screen.view
    assert isinstance(view, SearchView)
    view.query_one(Input).value = words
    view.query_one(Input).focus()
    await pilot.press("enter")
    await until(pilot, lambda: view.list.empty != "Searching…", "the search never ended")
    return view


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
async def test_search_finds_passages_and_messages_and_forgets(app: LettaApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(screen.view, SearchView) and screen.view.is_attached)
        view = await search(pilot, screen, "staging database")
        found = view.current
        assert isinstance(found, FoundPassage) and "restored from production" in found.passage.content
        assert "restored from production" in screen_text(app) and "#ops" in screen_text(app)

        await pilot.press("x")
        await until(pilot, lambda: "Forget this passage?" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: not screen.ask.asking and screen.focused is view.list)
        await pilot.press("x", "y")
        await until(pilot, lambda: "Forgotten." in screen.said)
        await until(pilot, lambda: not isinstance(view.current, FoundPassage) or view.current.passage != found.passage)

        view = await search(pilot, screen, "CSV import")
        await until(pilot, lambda: "archival memory" in screen_text(app) and "past messages" in screen_text(app))
        view.list.move(100)
        await until(pilot, lambda: isinstance(view.current, Found))
        await until(pilot, lambda: "What does the CSV import do?" in screen_text(app))
        before = app.chat.state.conversation_id
        await pilot.press("o")  # the other conversation
        await until(pilot, lambda: app.screen is app.chat and app.chat.state.conversation_id not in ("", before))


@pytest.mark.parametrize(("key", "verdict"), [("y", "merged"), ("n", "rejected")])
async def test_a_decision_about_a_reflection_changes_its_card_too(app: LettaApp, key: str, verdict: str) -> None:
    async def propose(session: SessionPort) -> tuple[Blocks, str, str]:
        blocks = session.memory.blocks
        name, line = proposal_id(), blocks.view().find("persona").value.split("\n")[0]
        by = Provenance(source=REFLECTION, conversation=session.status.conversation_id, seq=2, reason="She said so.")
        made = Proposal(
            id=name,
            patch=PATCH.format(line),
            base=blocks.pin(),
            place=blocks.place,
            by=by,
            why="She said so.",
            asks=("x",),
        )
        blocks.proposals.put(made)
        done = ev.ReflectionDone(
            reflection_id=name, status="waiting", read_until=2, why="She said so.", patch=made.patch
        )
        await session.commit(done)  # type: ignore[attr-defined]  # as the reflection itself does
        return blocks, name, line

    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.chat.state.conversation_id, "the session never opened", 30)
        blocks, name, line = await app.chat.core.call(propose)
        await until(pilot, lambda: name in app.chat.state.cards)
        card = app.chat.state.cards[name]
        assert isinstance(card, ReflectionCard) and not card.verdict
        screen = await opened(pilot, app)
        await until(pilot, lambda: screen.query_one("#memory-tree", Rows).point_at(f"reflection:{name}"))
        await until(pilot, lambda: "A reflection proposes this" in screen_text(app))
        assert "She said so." in screen_text(app)
        await pilot.press(key)
        await until(pilot, lambda: not screen.look.proposed, "it waits still")
        await until(pilot, lambda: card.verdict == verdict, "the card of the transcript does not know")
        assert (f"{line} Answers are short." in blocks.view().find("persona").value) is (verdict == "merged")
        assert screen.said and ("reject" in screen.said) is (verdict == "rejected")
