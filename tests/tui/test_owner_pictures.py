"""Pictures of runs that go on elsewhere: watched, moving, cut off, waiting for room, left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.pilot import Pilot

from letta_code.core import events as ev
from letta_code.tui.ports import Ports, RunRow
from tests.fakes.session import FakeSession
from tests.tui.screen import Stage, still, until
from tests.tui.test_pictures import SIZES, Snap, picture, said, scene

pytestmark = pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])

OWNER = "process 4711 (tui) since 2026-11-21T08:15:30.123Z"


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letta_code.tui.widgets.welcome.__version__", "1.2.3")


async def work(session: FakeSession) -> None:
    call = session.call("Bash", '{"command":"pytest"}')
    await session.say("I run the tests.", call)
    session.tell(ev.ToolStarted(call_id=call.id, name="Bash", title="Bash pytest"))


def test_watching(snap_compare: Snap, size: tuple[int, int]) -> None:
    stage = scene(work)
    stage.session.has(owner=OWNER)
    picture(snap_compare, stage, size, said())


@pytest.mark.parametrize("how", ["background", "here", "away"])
def test_moving(snap_compare: Snap, size: tuple[int, int], how: str) -> None:
    async def play(session: FakeSession) -> None:
        await work(session)
        if how == "away":
            session.tell(ev.Waiting(phase="moving"))

    stage = scene(play)
    if how == "here":
        stage.session.has(owner=OWNER)

    async def act(pilot: Pilot[int], stage: Stage) -> None:
        await said()(pilot, stage)
        stage.chat.state.ownership.moving = how
        stage.chat.redraw()

    picture(snap_compare, stage, size, act)


def test_the_way_out(snap_compare: Snap, size: tuple[int, int]) -> None:
    stage = scene(work)
    stage.session.has(run_id="run-01m7ys2b8mtwsdk6ms9x")

    async def act(pilot: Pilot[int], stage: Stage) -> None:
        await said()(pilot, stage)
        await pilot.press("ctrl+d")
        await until(pilot, lambda: stage.chat.place.card)

    picture(snap_compare, stage, size, act)


def test_a_full_disk(snap_compare: Snap, size: tuple[int, int]) -> None:
    async def play(session: FakeSession) -> None:
        await work(session)
        reason = "The disk is full: /home/somebody/.letta/letta.db could not be written (No space left on device)"
        session.tell(ev.Waiting(phase="storage", attempt=3, seconds=2.0, reason=reason))

    picture(snap_compare, scene(play), size, said())


def test_cut_off(snap_compare: Snap, size: tuple[int, int]) -> None:
    stored: list[Any] = [
        ev.ConversationStarted(conversation_id="conv-1", agent_id="agent-1", cwd="/work/project", version="0.1.0"),
        ev.UserMessage(message_id="m-1", content=()),
        ev.RunStarted(model="scripted/demo", mode="ask"),
        ev.AssistantMessage(message_id="m-2", model="scripted/demo", text="I begin."),
        ev.RunFinished(reason=ev.StopReason.ORPHANED),
    ]
    picture(snap_compare, Stage(FakeSession(stored=stored), clock=lambda: 100.0), size)


def test_runs(snap_compare: Snap, size: tuple[int, int]) -> None:
    class Lists:
        async def runs(self) -> list[RunRow]:
            base: dict[str, Any] = {"folder": "/work/project", "conversation_id": "c"}
            return [
                RunRow(id="run-1", status="waits for you", title="The parser drops commas", since="3 min 05 s",
                       open=True, background=True, waits=True, **base),
                RunRow(id="run-2", status="running, background", title="Upgrade every dependency and run all tests "
                       "until they pass", since="1 h 02 min", open=True, background=True,
                       **{**base, "folder": "/work/other"}),
                RunRow(id="run-3", status="finished", title="Sums", since="12 s", **base),
            ]  # fmt: skip

    stage = Stage(ports=Ports(lists=Lists), clock=lambda: 100.0)  # type: ignore[arg-type]

    async def act(pilot: Pilot[int], stage: Stage) -> None:
        await pilot.press(*"/runs", "enter")
        await until(pilot, lambda: stage.chat.place.card)
        await still(pilot, stage)

    picture(snap_compare, stage, size, act)


def test_the_quiet_line(snap_compare: Snap, size: tuple[int, int]) -> None:
    class Lists:
        async def runs(self) -> list[RunRow]:
            rows = ((True, True), (True, False))
            return [
                RunRow(id=f"run-{n}", conversation_id=f"c-{n}", status="running", open=True, background=b, waits=w)
                for n, (b, w) in enumerate(rows)
            ]

    async def act(pilot: Pilot[int], stage: Stage) -> None:
        await asyncio.sleep(0)

    picture(snap_compare, Stage(ports=Ports(lists=Lists)), size, act)  # type: ignore[arg-type]
