"""Going back on the screen, over a real session: the list, what would change, and the conversation drawn anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot

from letta_code.agent.port import SessionOptions
from letta_code.agent.start import start_session
from letta_code.config.settings import Settings
from letta_code.tui.app import LettaApp
from letta_code.tui.ports import Ports
from tests.agent.test_rewind import THREE, work
from tests.tui.screen import screen_text, until

__all__ = ["work"]


async def sees(pilot: Pilot[int], app: LettaApp, text: str) -> None:
    await until(pilot, lambda: text in screen_text(app), f"never seen: {text}\n{screen_text(app)}", 30)


async def say(pilot: Pilot[int], text: str) -> None:
    await pilot.press(*text, "escape", "enter") if text.startswith("/") else await pilot.press(*text, "enter")


@pytest.fixture
def app(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LettaApp:
    script = tmp_path / "s.yaml"
    script.write_text(json.dumps({"turns": list(THREE), "info": {"edit_family": "edit"}}))
    monkeypatch.chdir(work)
    options = SessionOptions(cwd=str(work), settings=Settings(model=f"scripted:{script}"), mode="full")
    return LettaApp(options, start_session, Ports())


async def test_undo_draws_the_conversation_anew_and_gives_the_message_back(app: LettaApp, work: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await say(pilot, "first")
        await sees(pilot, app, "Done one.")
        await say(pilot, "second")
        await sees(pilot, app, "Done two.")
        await say(pilot, "/undo")
        await sees(pilot, app, "Undone: before “second”")
        await until(pilot, lambda: "Done two." not in screen_text(app), "still drawn", 30)
        await until(pilot, lambda: app.chat.prompt.text == "second", "not in the prompt", 30)
        assert (work / "a.txt").exists()
        assert not app.chat.state.running
        app.chat.prompt.take()
        await say(pilot, "/redo")
        await sees(pilot, app, "Done two.")
        assert not (work / "a.txt").exists()


async def test_the_screen_shows_what_would_change_and_enter_does_it(app: LettaApp, work: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await say(pilot, "first")
        await sees(pilot, app, "Done one.")
        await say(pilot, "second")
        await sees(pilot, app, "Done two.")
        await say(pilot, "/rewind")
        await sees(pilot, app, "Going back to before “second”")
        await sees(pilot, app, "[x] 1 code   [x] 2 conversation   [x] 3 memory")
        await sees(pilot, app, "+ a.txt")
        await pilot.press("2", "3")
        await sees(pilot, app, "[x] 1 code   [ ] 2 conversation   [ ] 3 memory")
        await pilot.press("down")
        await sees(pilot, app, "Going back to before “first”")
        await pilot.press("up")
        await sees(pilot, app, "Going back to before “second”")
        await pilot.press("enter")
        await sees(pilot, app, "Went back to before “second”")
        assert (work / "a.txt").exists()
        assert "Done two." in screen_text(app)


async def test_escape_changes_nothing_and_an_empty_list_says_so(app: LettaApp, work: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, app, "full")
        await say(pilot, "/rewind")
        await sees(pilot, app, "There is no checkpoint yet")
        await pilot.press("escape")
        await say(pilot, "first")
        await sees(pilot, app, "Done one.")
        await say(pilot, "/rewind")
        await sees(pilot, app, "Going back to before “first”")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.chat, "still open", 10)
        assert (work / "b.txt").exists()


async def test_the_first_pick_is_a_point_before_a_run_and_files_go_only_after_a_second_enter(
    app: LettaApp, work: Path
) -> None:
    async with app.run_test(size=(100, 24)) as pilot:
        await say(pilot, "first")
        await sees(pilot, app, "Done one.")
        await say(pilot, "second")
        await sees(pilot, app, "Done two.")
        await say(pilot, "/undo")
        await sees(pilot, app, "Undone: before “second”")
        app.chat.prompt.take()
        await say(pilot, "/rewind")
        await sees(pilot, app, "before you went back to checkpoint 2")
        await sees(pilot, app, "Going back to before “first”")
        await sees(pilot, app, "- b.txt")
        await pilot.press("enter")
        await sees(pilot, app, "2 files would be deleted. Enter once more goes back")
        assert (work / "b.txt").exists()
        await pilot.press("enter")
        await sees(pilot, app, "Went back to before “first”")
        assert not (work / "b.txt").exists()
