"""Which agent is talking, seen on the screen over a real session: after a start, a choice, a fork and a new name."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from letta_code.agent.port import SessionOptions
from letta_code.agent.start import start_session
from letta_code.cli._ports import Listing
from letta_code.config.settings import Settings
from letta_code.tui.app import LettaApp
from letta_code.tui.ports import Ports
from tests.agent.agentfile.homes import open_home
from tests.tui.screen import screen_text, until

WIDE, NARROW = (120, 40), (80, 24)


async def app_of(home: Path, folder: Path, names: tuple[str, ...], agent: str = "") -> LettaApp:
    folder.mkdir()
    (folder / "s.yaml").write_text("answers: [{text: Hello.}]\n")
    os.chdir(folder)  # a short name leaves room in the status line
    _, store = open_home(home)
    with store:
        for name in names:
            await store.agents.create(name)
    settings = Settings(model="scripted:s.yaml", agent=agent)
    return LettaApp(SessionOptions(cwd=str(folder), settings=settings, agent=agent), start_session, Ports())


@pytest.fixture(autouse=True)
def back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the process was before."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def two(letta_home: Path, tmp_path: Path) -> AsyncIterator[LettaApp]:
    yield await app_of(letta_home, tmp_path / "p", ("ann", "zoe"))


async def sees(pilot: Pilot[int], app: LettaApp, text: str) -> None:
    await until(pilot, lambda: text in screen_text(app), f"never seen: {text}", 30)


async def say(pilot: Pilot[int], text: str) -> None:
    await pilot.press(*text, "escape", "enter") if text.startswith("/") else await pilot.press(*text, "enter")


def last_line(app: LettaApp) -> str:
    return screen_text(app).rstrip().splitlines()[-1]


async def test_the_only_agent_is_named_where_there_is_room(letta_home: Path, tmp_path: Path) -> None:
    app = await app_of(letta_home, tmp_path / "p", ("ann",))
    async with app.run_test(size=WIDE) as pilot:
        await sees(pilot, app, "Memory of ann")
        assert "with ann" in screen_text(app) and "ann" in last_line(app)


async def test_one_of_several_is_named_on_a_narrow_screen_too(two: LettaApp) -> None:
    async with two.run_test(size=NARROW) as pilot:
        await sees(pilot, two, "with ann")
        assert " ann " in f"{last_line(two)} "


async def test_another_agent_is_told_on_the_screen_it_opens(two: LettaApp) -> None:
    async with two.run_test(size=WIDE) as pilot:
        await sees(pilot, two, "Memory of ann")
        await say(pilot, "/agents use zoe")
        await sees(pilot, two, "This project's agent is zoe")
        await sees(pilot, two, "Memory of zoe")
        assert "zoe" in last_line(two) and "ann" not in last_line(two)
        await say(pilot, "/agents rename Zoe the Second")
        await sees(pilot, two, "Memory of Zoe the Second")


async def test_one_that_the_start_asked_for_can_be_left(letta_home: Path, tmp_path: Path) -> None:
    app = await app_of(letta_home, tmp_path / "p", ("ann", "zoe"), agent="ann")
    async with app.run_test(size=WIDE) as pilot:
        await sees(pilot, app, "Memory of ann")
        await say(pilot, "/agents use zoe")
        await sees(pilot, app, "Memory of zoe")
        assert "Starts go on with ann" in screen_text(app)


async def test_the_picker_names_whose_a_conversation_is(two: LettaApp) -> None:
    async with two.run_test(size=WIDE) as pilot:
        await sees(pilot, two, "Memory of ann")
        await say(pilot, "mend the parser")
        await until(pilot, lambda: "Hello." in screen_text(two) and not two.chat.state.running, seconds=30)
        [row] = await Listing(two.chat.options).conversations()
        assert (row.title, row.agent) == ("mend the parser", "ann")


async def test_a_fork_says_what_it_is_a_fork_of_below_what_was_said(two: LettaApp) -> None:
    async with two.run_test(size=WIDE) as pilot:
        await sees(pilot, two, "Memory of ann")
        await say(pilot, "mend the parser")
        await until(pilot, lambda: "Hello." in screen_text(two) and not two.chat.state.running, seconds=30)
        first = two.chat.state.conversation_id
        await say(pilot, "/fork")
        await sees(pilot, two, "This is a fork of mend the parser")
        text = screen_text(two)
        assert two.chat.state.conversation_id != first and first in text.replace("\n", "")
        assert text.index("Hello.") < text.index("This is a fork of")
