"""Questions at the foot of the memory screen: however they end, every key does something afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widget import Widget

from letta_code.memory.edits import Append
from letta_code.memory.provenance import Provenance
from letta_code.tui.screens.memory import MemoryScreen
from letta_code.tui.widgets.memory_editor import EditView
from letta_code.tui.widgets.memory_rows import Rows
from letta_code.tui.widgets.memory_search import SearchView
from letta_code.tui.widgets.memory_views import HistoryView, OriginView, Page
from tests.fakes.memory_home import furnish
from tests.tui.memory_stage import blocks_in, go_to, memory_stage, open_memory, sees
from tests.tui.screen import Stage, screen_text, until

SIZES = [(80, 24), (120, 40)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    furnish(blocks_in(tmp_path))
    return tmp_path


def focus(screen: MemoryScreen) -> Widget:
    """What has the focus, which must be there to be seen."""
    here = screen.focused
    assert here is not None, "nothing has the focus"
    assert all(node.display for node in here.ancestors_with_self if isinstance(node, Widget)), f"{here} is hidden"
    assert screen.ask not in here.ancestors_with_self
    return here


async def keys_live(pilot: Pilot[int], screen: MemoryScreen, after: str = "") -> Rows:
    """The tree has the keys again: it moves, and its keys do something."""
    await until(pilot, lambda: not screen.ask.display and not screen.ask.asking, f"the question never went: {after}")
    tree = screen.query_one("#memory-tree", Rows)
    assert focus(screen) is tree, after
    await go_to(pilot, screen, "human")
    at = tree.cursor
    await pilot.press("down")
    assert tree.cursor > at, after
    await pilot.press("k")
    assert tree.cursor == at, after
    await pilot.press("l")
    await until(pilot, lambda: screen.ask.asking and screen.ask.display, f"l asks nothing after {after}")
    await pilot.press("escape")
    await until(pilot, lambda: not screen.ask.asking and screen.focused is tree, f"Esc after l after {after}")
    return tree


async def all_keys_live(pilot: Pilot[int], stage: Stage, screen: MemoryScreen) -> None:
    """Each key of the tree does what it is for."""
    tree = await keys_live(pilot, screen)
    for key, view in (
        ("e", EditView),
        ("h", HistoryView),
        ("H", HistoryView),
        ("w", OriginView),
        ("slash", SearchView),
    ):
        await pilot.press(key)
        await until(pilot, lambda view=view: isinstance(screen.view, view) and screen.view.is_attached, key)
        focus(screen)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(screen.view, Page) and screen.focused is tree, f"Esc after {key}")
    for key in "nrdlx":
        await pilot.press(key)
        await until(pilot, lambda: screen.ask.asking and screen.ask.display, f"{key} asks nothing")
        await pilot.press("escape")
        await until(pilot, lambda: not screen.ask.asking and screen.focused is tree, f"Esc after {key}")
    await pilot.press("u")
    await until(pilot, lambda: screen.ask.asking or screen.said, "u does nothing")
    await pilot.press("escape")
    await until(pilot, lambda: stage.app.screen is stage.chat or screen.focused is tree)
    await pilot.press("escape")
    await until(pilot, lambda: stage.app.screen is stage.chat, "Esc does not leave")


ENDS = {
    "label": ("n", "escape"),
    "no label": ("n", "enter"),
    "where": ("n", *"traps", "enter", "escape"),
    "another key at where": ("n", *"traps", "enter", "z"),
    "enter at where": ("n", *"traps", "enter", "enter"),
    "what for": ("n", *"traps", "enter", "a", "escape"),
    "what a file is for": ("n", *"notes/traps", "enter", "escape"),
    "a label that cannot be": ("n", *"No Label", "enter", "escape"),
    "rename": ("r", "escape"),
    "rename to the same": ("r", "enter"),
    "rename to what cannot be": ("r", *" No", "enter", "escape"),
    "describe": ("d", *"more", "escape"),
    "limit": ("l", "escape"),
    "a limit that cannot be": ("l", *"x", "enter", "escape"),
    "delete": ("x", "escape"),
    "delete and another key": ("x", "z"),
    "undo": ("u", "escape"),
    "undo the last": ("U", "z"),
    "two questions": ("r", "escape", "d", "escape", "x", "escape", "n", *"a", "enter", "escape"),
    "Tab out of a question": ("r", "tab", "escape"),
    "saving in a question": ("r", "ctrl+s", "escape"),
    "the editor in a question": ("n", "ctrl+g", "escape"),
    "search": ("slash", "escape"),
    "search for nothing": ("slash", "enter", "escape"),
}


@pytest.mark.parametrize(("size", "step"), [(SIZES[0], 1), (SIZES[1], 6)], ids=str)
async def test_however_a_question_ends_the_keys_live(home: Path, size: tuple[int, int], step: int) -> None:
    before = blocks_in(home).pin()
    stage = memory_stage(home)
    async with stage.app.run_test(size=size) as pilot:
        screen = await open_memory(pilot, stage)
        for name, keys in list(ENDS.items())[::step]:
            await go_to(pilot, screen, "human")
            await pilot.press(*keys)
            await keys_live(pilot, screen, name)
    assert blocks_in(home).pin() == before


@pytest.mark.parametrize("end", ["where", "another key at where", "search", "two questions"])
async def test_after_a_question_every_key_lives(home: Path, end: str) -> None:
    stage = memory_stage(home)
    async with stage.app.run_test(size=SIZES[0]) as pilot:
        screen = await open_memory(pilot, stage)
        await go_to(pilot, screen, "human")
        await pilot.press(*ENDS[end])
        await all_keys_live(pilot, stage, screen)


@pytest.mark.parametrize("keys", [("r", "escape"), ("n", *"traps", "enter", "escape"), ("x", "z")], ids=str)
async def test_a_question_over_a_page_that_memory_replaced_leaves_the_keys_alive(
    home: Path, keys: tuple[str, ...]
) -> None:
    stage = memory_stage(home)
    async with stage.app.run_test(size=SIZES[0]) as pilot:
        screen = await open_memory(pilot, stage)
        await go_to(pilot, screen, "human")
        await pilot.press("enter")
        await until(pilot, lambda: screen.focused is screen.view)
        page = screen.view
        await pilot.press(*keys[:-1])
        await until(pilot, lambda: screen.ask.asking)
        blocks_in(home).apply(Append(label="human", text="- new"), Provenance(source="user", conversation="conv-9"))
        await until(pilot, lambda: screen.view is not page, "the page did not follow memory")
        await pilot.press(keys[-1])
        await until(pilot, lambda: not screen.ask.asking)
        await pilot.pause()
        focus(screen)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(screen.view, EditView))


async def test_a_click_beside_a_question_takes_it_back_with_the_next_key(home: Path) -> None:
    stage = memory_stage(home)
    async with stage.app.run_test(size=SIZES[1]) as pilot:
        screen = await open_memory(pilot, stage)
        await go_to(pilot, screen, "human")
        for key in ("escape", "d"):
            await pilot.press("r")
            await until(pilot, lambda: screen.ask.asking)
            await pilot.click("#memory-tree", offset=(4, 3))
            await pilot.press(key)
            await until(pilot, lambda key=key: "label of" not in screen_text(stage.app), key)
        await sees(pilot, stage, "What is it for?")
        await pilot.press("escape")
        await until(pilot, lambda: not screen.ask.asking)
        focus(screen)
        await pilot.press("escape")  # the click went into the page
        await all_keys_live(pilot, stage, screen)


async def test_what_was_typed_stays_until_it_fits(home: Path) -> None:
    stage = memory_stage(home)
    async with stage.app.run_test(size=SIZES[0]) as pilot:
        screen = await open_memory(pilot, stage)
        await go_to(pilot, screen, "human")
        await pilot.press("n", *"No Label", "enter")
        await sees(pilot, stage, "cannot be a label")
        assert "Where?" not in screen_text(stage.app) and "No Label" in screen_text(stage.app)
        await pilot.press("ctrl+u", *"human", "enter")
        await sees(pilot, stage, "There is a block `human` already")
        await pilot.press("2", "enter")
        await sees(pilot, stage, "Where?")
        assert "already" not in screen_text(stage.app)
        await pilot.press("a", *"About me", "enter")
        await until(pilot, lambda: isinstance(screen.view, EditView))
        assert blocks_in(home).view().find("human2").description == "About me"
