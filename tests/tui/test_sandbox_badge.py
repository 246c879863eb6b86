"""The badge of the sandbox: nothing where all is held, a word and one notice where it is not; red in mode full."""

from __future__ import annotations

from letta_code.config.settings import Settings
from letta_code.core.events import ToolResult
from letta_code.safety.containment import Containment
from letta_code.tui.widgets.status_bar import StatusBar
from tests.fakes.session import FakeSession
from tests.tui.screen import Stage, ready, screen_text, still, text_of, until

FULL = Containment(kind="bubblewrap", confines=True, says="Commands are kept to the work tree.")
WEAK = Containment(kind="landlock", says="No bwrap. Landlock holds less.", mend="sudo apt-get install bubblewrap")
NONE = Containment(says="No bwrap, no Landlock.", mend="sudo apt-get install bubblewrap")


def stage_of(held: Containment, **settings: str) -> Stage:
    session = FakeSession()
    session.held = held
    return Stage(session, settings=Settings(model="scripted/demo", **settings))  # type: ignore[arg-type]  # their values


def bar(stage: Stage) -> StatusBar:
    return stage.chat.query_one(StatusBar)


async def test_nothing_is_said_where_all_is_held() -> None:
    stage = stage_of(FULL)
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, stage)
        await until(pilot, lambda: stage.chat.state.containment == FULL)
        await still(pilot, stage)
        assert "sandbox" not in screen_text(stage.app)
        assert bar(stage).tooltip is None


async def test_a_weak_one_is_told_once_and_stays_in_sight() -> None:
    for size in ((80, 24), (120, 40), (50, 12)):
        stage = stage_of(WEAK)
        async with stage.app.run_test(size=size) as pilot:
            await ready(pilot, stage)
            await until(pilot, lambda stage=stage: "weak sandbox" in text_of(bar(stage)), "the badge never came")
            await still(pilot, stage)
            text = screen_text(stage.app)
            assert "ask · weak sandbox · " in text
            assert text.count("Landlock holds less.") == 1
            assert "The full sandbox: sudo apt-get install bubblewrap" in " ".join(text.split())
            assert "apt-get install bubblewrap" in str(bar(stage).tooltip)


async def test_none_is_told_once_in_a_session_and_not_again_in_the_next_conversation() -> None:
    stage = stage_of(NONE)
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, stage)
        await until(pilot, lambda: "no sandbox" in text_of(bar(stage)))
        await still(pilot, stage)
        assert screen_text(stage.app).count("No bwrap, no Landlock.") == 1
        before = len(stage.opened)
        stage.session = FakeSession()
        stage.session.held = NONE
        stage.chat.open_conversation("")
        await until(pilot, lambda: len(stage.opened) > before)
        await until(pilot, lambda: stage.chat.state.containment == NONE)
        await still(pilot, stage)
        assert "no sandbox" in text_of(bar(stage))
        assert screen_text(stage.app).count("No bwrap, no Landlock.") <= 1


async def test_who_switched_it_off_sees_the_badge_without_a_word() -> None:
    stage = stage_of(NONE, sandbox="off")
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, stage)
        await until(pilot, lambda: "no sandbox" in text_of(bar(stage)))
        await still(pilot, stage)
        assert "No bwrap" not in screen_text(stage.app)


async def test_mode_full_is_a_red_badge_and_needs_no_other() -> None:
    stage = stage_of(NONE, mode="full")
    stage.session._state = type(stage.session._state)(conversation_id="conv-1", agent_id="a", mode="full", model="m")
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, stage)
        await until(pilot, lambda: stage.chat.state.containment == NONE)
        await still(pilot, stage)
        assert "sandbox" not in screen_text(stage.app)
        strips = stage.app.screen._compositor.render_strips()
        [badge] = [segment for segment in strips[-1] if segment.text == " full "]
        assert badge.style is not None and badge.style.color is not None and badge.style.bgcolor is not None
        back, front = badge.style.bgcolor.triplet, badge.style.color.triplet
        red = front if badge.style.reverse else back
        assert red is not None and red.red > red.green + 60 and red.red > red.blue + 60


async def test_text_from_outside_is_a_quiet_word_beside_it() -> None:
    for taint, begins in (("", "ask · scripted/demo"), ("the page x", "ask · outside text · scripted/demo")):
        stage = stage_of(FULL)
        stage.session.keep(ToolResult(message_id="m", call_id="c", name="Bash", status="ok", content=(), taint=taint))
        async with stage.app.run_test(size=(80, 24)) as pilot:
            await ready(pilot, stage)
            await until(pilot, lambda stage=stage: stage.chat.state.last_seq == len(stage.session.journal))
            await still(pilot, stage)
            assert begins in text_of(bar(stage))
            assert ("/permissions" in str(bar(stage).tooltip)) == bool(taint)
