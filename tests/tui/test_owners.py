"""A conversation that changes its owner under the screen, and the ways out of a run, over fake sessions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from textual.pilot import Pilot

from letta_code.agent.live.succession import GIVEN_SECONDS, LOST_SECONDS
from letta_code.agent.port import Status
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.tui.ports import Ports, RunRow
from letta_code.tui.screens.runs import quiet_line
from letta_code.tui.view_state import ViewState
from letta_code.tui.widgets.exit_card import ExitCard
from letta_code.tui.widgets.status_bar import WorkingLine
from tests.fakes.session import FakeSession
from tests.tui.screen import Stage, cards, ready, screen_text, until

SIZE = (80, 24)
TUI, WORKER = "process 4711 (tui) since 2026-11-21", "process 4712 (worker) since 2026-11-21"


async def forever(session: FakeSession, text: str) -> None:
    """A run that goes on until it is stopped."""
    await session.say("I begin.")
    await asyncio.Event().wait()


def owned_by(owner: str, session: FakeSession | None = None) -> FakeSession:
    session = session or FakeSession()
    session.has(owner=owner)
    return session


async def on_core(stage: Stage, work: Any) -> None:
    """Do something on the core's loop."""

    async def do() -> None:
        work()

    await stage.app.core.run(do())


async def running(pilot: Pilot[int], stage: Stage) -> None:
    await ready(pilot, stage)
    await pilot.press(*"go", "enter")
    await until(pilot, lambda: stage.chat.state.running and cards(stage, "assistant"))


async def test_the_badge_says_who_runs_what_is_watched() -> None:
    stage = Stage(owned_by(TUI))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await until(pilot, lambda: "watching: process 4711 (tui)" in screen_text(stage.app))


async def test_whom_it_was_taken_from_watches_on_and_keeps_the_draft() -> None:
    first = FakeSession()
    await first.send("hello")
    await first.idle()
    second = owned_by(TUI, FakeSession(stored=first.journal))
    stage = Stage(first, following=[second])
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await until(pilot, lambda: cards(stage, "assistant"))
        await pilot.press(*"a draft")
        await on_core(stage, first.let_go)
        await until(pilot, lambda: "watching: process 4711 (tui)" in screen_text(stage.app))
        assert "process 4711 (tui) has it now" in screen_text(stage.app)
        assert stage.prompt == "a draft"
        assert stage.patience == [GIVEN_SECONDS]
        assert first.closed
        await on_core(stage, lambda: second.keep(ev.UserMessage(message_id="u", content=(), client_id="c")))
        await until(pilot, lambda: len(cards(stage, "user")) == 2)
        assert len(cards(stage, "assistant")) == 1  # nothing was told twice


async def test_an_owner_that_died_leaves_the_conversation_here() -> None:
    first = owned_by(TUI)
    second = FakeSession(stored=first.journal)
    second.keep(ev.RunFinished(reason=ev.StopReason.ORPHANED))
    stage = Stage(first, following=[second])
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await on_core(stage, lambda: first.tell(ev.TextDelta(message_id="m", offset=0, text="Half an ans")))
        await until(pilot, lambda: "Half an ans" in screen_text(stage.app))
        await on_core(stage, first.let_go)
        await until(pilot, lambda: "is yours now" in screen_text(stage.app))
        await until(pilot, lambda: "Enter goes on with it" in screen_text(stage.app))
        assert stage.patience == [LOST_SECONDS]
        assert "watching" not in screen_text(stage.app)
        assert "Half an ans" not in screen_text(stage.app)  # the model does not know of it either
        await pilot.press("enter")
        await until(pilot, lambda: second.sent)
        assert second.sent[0].startswith("Go on where you were interrupted.")


async def test_what_is_sent_while_the_owner_changes_reaches_the_next_one() -> None:
    first, second = owned_by(TUI), FakeSession()

    async def gone(*_: object, **__: object) -> str:
        first.let_go()
        raise LettaError("process 4711 does not run this conversation any more.")

    first.send = gone
    stage = Stage(first, following=[second])
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"hello", "enter")
        await until(pilot, lambda: second.sent == ["hello"])
        assert stage.prompt == ""


async def test_takeover_waits_for_nobody() -> None:
    first, second = owned_by(TUI), FakeSession()

    async def give(by: str) -> None:
        first.tell(ev.Waiting(phase="moving"))
        first.let_go()

    first.take_over = give
    stage = Stage(first, following=[second])
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"/takeover", "enter")
        await until(pilot, lambda: "is yours now" in screen_text(stage.app))
        assert stage.patience == [0.0]


@pytest.mark.parametrize("keys", [["ctrl+d"], ["/", *"exit", "enter"], ["ctrl+q"]])
async def test_leaving_a_run_asks_first_and_can_be_left_alone(keys: list[str]) -> None:
    stage = Stage(FakeSession(forever))
    async with stage.app.run_test(size=SIZE) as pilot:
        await running(pilot, stage)
        await pilot.press(*keys)
        await until(pilot, lambda: isinstance(stage.chat.place.card, ExitCard))
        await pilot.pause()
        await pilot.press("escape")
        await until(pilot, lambda: stage.chat.place.card is None)
        assert stage.chat.state.running
        assert stage.app.is_running
        assert stage.session.interrupts == 0


async def test_the_background_ends_the_program_and_says_how_to_come_back() -> None:
    stage = Stage(FakeSession(forever))
    async with stage.app.run_test(size=SIZE) as pilot:
        await running(pilot, stage)
        await pilot.press("ctrl+d")
        await until(pilot, lambda: isinstance(stage.chat.place.card, ExitCard))
        await pilot.pause()
        await pilot.press("1")
        await until(pilot, lambda: not stage.app.is_running)
    assert stage.session.moved_by == "tui"
    assert "letta-code follow run-1" in stage.app.farewell.lines()
    assert stage.app.resume_id == "conv-1"


async def test_esc_keeps_a_run_that_was_about_to_move() -> None:
    session = FakeSession(forever)
    cancelled: list[bool] = []

    async def slow(by: str) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return ""

    session.to_background = slow
    stage = Stage(session)
    async with stage.app.run_test(size=SIZE) as pilot:
        await running(pilot, stage)
        await pilot.press(*"/background", "enter")
        await until(pilot, lambda: "moves to the background when this step ends" in screen_text(stage.app))
        await pilot.press("escape")
        await until(pilot, lambda: cancelled)
        await until(pilot, lambda: "It stays here." in screen_text(stage.app))
        assert stage.chat.state.running
        assert session.interrupts == 0


async def test_a_long_step_holds_nobody_who_chose_the_background() -> None:
    now = [100.0]
    session = FakeSession(forever)
    session.to_background = lambda by: asyncio.Event().wait()  # type: ignore[method-assign,assignment,return-value]
    stage = Stage(session, clock=lambda: now[0])
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await running(pilot, stage)
        now[0] += 90
        await pilot.press(*"/background", "enter")
        await until(pilot, lambda: "moves to the background when this step ends" in screen_text(stage.app))
        now[0] += 63
        await until(
            pilot,
            lambda: "moves at step's end; you may close the terminal  1 min 03 s  Esc: stay" in screen_text(stage.app),
        )


async def test_a_second_ctrl_c_while_moving_stops() -> None:
    session = FakeSession(forever)
    session.to_background = lambda by: asyncio.Event().wait()  # type: ignore[method-assign,assignment,return-value]
    stage = Stage(session)
    async with stage.app.run_test(size=SIZE) as pilot:
        await running(pilot, stage)
        await pilot.press(*"/background", "enter")
        await until(pilot, lambda: stage.chat.leaving.moves)
        await pilot.press("ctrl+c")
        await until(pilot, lambda: "Ctrl+C again stops the run" in screen_text(stage.app))
        assert session.interrupts == 0
        await pilot.press("ctrl+c")
        await until(pilot, lambda: not stage.app.is_running)
    assert session.interrupts == 1


async def test_leaving_what_another_process_runs_stops_nothing() -> None:
    session = owned_by(TUI, FakeSession(forever))
    session.has(run_id="run-7")
    stage = Stage(session)
    async with stage.app.run_test(size=SIZE) as pilot:
        await running(pilot, stage)
        await pilot.press("ctrl+d")
        await until(pilot, lambda: not stage.app.is_running)
    assert "letta-code follow run-7" in stage.app.farewell.lines()


def row(**more: Any) -> RunRow:
    base: dict[str, Any] = {"id": "r", "conversation_id": "c", "status": "running"}
    return RunRow(**{**base, **more})


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([], ""),
        ([row(open=True)], ""),
        ([row(open=False, background=True)], ""),
        ([row(open=True, background=True)], "1 run in the background: /runs"),
        (
            [row(open=True, background=True), row(open=True, background=True, waits=True)],
            "2 runs in the background, 1 waits for you: /runs",
        ),
        ([row(open=True, waits=True)], "1 run waits for you: /runs"),
    ],
)
def test_the_line_about_other_runs(rows: list[RunRow], line: str) -> None:
    assert quiet_line(rows) == line


async def test_runs_are_told_quietly_and_one_is_followed() -> None:
    class Lists:
        async def runs(self) -> list[RunRow]:
            return [
                row(id="run-1", conversation_id="conv-7", title="Sums", open=True, background=True),
                row(id="run-2", conversation_id="conv-8", title="The parser", status="finished"),
            ]

    stage = Stage(ports=Ports(lists=Lists))  # type: ignore[arg-type]
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await until(pilot, lambda: "1 run in the background: /runs" in screen_text(stage.app))
        await pilot.press(*"/runs", "enter")
        await until(pilot, lambda: "Follow which run?" in screen_text(stage.app))
        await pilot.press(*"parser", "enter")
        await until(pilot, lambda: stage.opened[-1].conversation == "conv-8")


async def test_a_run_that_stands_still_elsewhere_has_no_spinner() -> None:
    now = [100.0]
    state = ViewState(lambda: now[0])
    state.opened(Status(conversation_id="conv-1", agent_id="a", owner="process 1234567 (tui) since noon"))
    state.apply(ev.RunStarted(seq=1, run_id="run-1", model="m", mode="ask"))
    state.apply(ev.Waiting(phase="silent", seconds=43))
    now[0] += 60
    line = WorkingLine()
    line._state = state
    assert line.render().plain == "! process 1234567 does not answer for 103 s (stopped? fg, or kill it)"
    state.apply(ev.Waiting(phase="answers"))
    assert state.ownership.silent_since is None


async def test_who_comes_later_sees_how_long_the_run_takes() -> None:
    began = (datetime.now(UTC) - timedelta(seconds=75)).isoformat()
    state = ViewState(lambda: 1000.0)
    state.opened(Status(conversation_id="conv-1", agent_id="a", owner=TUI, running=True, last_seq=1))
    state.apply(ev.RunStarted(seq=1, at=began, run_id="run-1", model="m", mode="ask"))
    assert 70 < 1000.0 - state.run_since < 130
    state.apply(ev.RunResumed(seq=2, run_id="run-1"))
    assert 70 < 1000.0 - state.run_since < 130, "it is the same run"
    state.apply(ev.RunFinished(seq=3, run_id="run-1", reason="done"))
    state.apply(ev.RunStarted(seq=4, at=began, run_id="run-2", model="m", mode="ask"))
    assert state.run_since == 1000.0, "it began under our eyes"


async def test_who_watches_sees_the_folder_and_the_way_to_take_it_over() -> None:
    session = owned_by(TUI, FakeSession(forever))
    stage = Stage(session)
    async with stage.app.run_test(size=(100, 24)) as pilot:
        await running(pilot, stage)
        await until(pilot, lambda: "/takeover · Esc stops" in screen_text(stage.app))
        last = screen_text(stage.app).rstrip().splitlines()[-1]
        assert "watching: process 4711 (tui)  ask" in last
        assert "/work/project" in last, last
