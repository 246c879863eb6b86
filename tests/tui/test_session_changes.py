"""Opening, resuming and leaving conversations, and what happens when that fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from textual.geometry import Offset
from textual.widgets import Static

from letta_code.agent.port import SessionOptions
from letta_code.core import events as ev
from letta_code.core.display import DiffBlock, ShellBlock
from letta_code.core.errors import ConversationBusy, StoreFull
from letta_code.core.messages import TextPart
from letta_code.tui.cards import ToolCard
from letta_code.tui.panes.transcript import Transcript
from letta_code.tui.ports import ConversationRow, Ports, RunRow
from letta_code.tui.widgets.messages import NoticeView
from letta_code.tui.widgets.tool_card import ToolView
from tests.fakes.session import FakeSession
from tests.tui.screen import Stage, cards, ready, screen_text, text_of, until

SIZE = (80, 24)


def talk(turns: int) -> list[ev.Durable]:
    """Stored events of so many prompts and answers."""
    events: list[ev.Durable] = [
        ev.ConversationStarted(conversation_id="conv-9", agent_id="agent-1", cwd="/work/project", version="0.1.0")
    ]
    for number in range(turns):
        text = (TextPart(text=f"prompt {number}"),)
        events += [
            ev.UserMessage(message_id=f"u-{number}", content=text),
            ev.RunStarted(model="m", mode="ask"),
            ev.AssistantMessage(message_id=f"a-{number}", model="m", text=f"answer {number}", cost=0.01),
            ev.RunFinished(reason="done", steps=1),
        ]
    return events


def prompts(stage: Stage) -> list[str]:
    return [text_of(view) for view in cards(stage, "user")]


async def test_a_resumed_conversation_shows_its_last_twenty_messages_and_more_on_demand() -> None:
    stage = Stage(FakeSession(stored=talk(100)))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await until(pilot, lambda: prompts(stage) == [f"prompt {n}" for n in range(90, 100)])
        transcript = stage.chat.query_one("#transcript")
        await until(pilot, lambda: transcript.scroll_y == transcript.max_scroll_y)
        assert "180 earlier" in text_of(stage.chat.query_one(".earlier"))
        await pilot.press("ctrl+home")
        await until(pilot, lambda: transcript.scroll_y == 0)
        await pilot.press("pageup")
        await until(pilot, lambda: len(prompts(stage)) == 30)
        assert prompts(stage)[0] == "prompt 70"
        await until(pilot, lambda: transcript.scroll_y > 10)  # the place that was read stays in sight
        assert stage.chat.state.cost is not None
        assert round(stage.chat.state.cost, 6) == 1.0


async def test_a_card_that_grows_while_another_layout_runs_is_drawn_whole() -> None:
    stage = Stage(FakeSession(stored=talk(3)))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        card = ToolCard(key="grown", name="Bash", title="Bash ls", status="running", output="one")
        stage.chat.state.add(card)
        stage.chat.state.notice("info", "below")
        stage.chat.redraw()
        await until(pilot, lambda: cards(stage, "tool") and cards(stage, "notice"))
        view = stage.chat.query_one(ToolView)
        await until(pilot, lambda: view.region.height == 2)
        output = view.query_one(".shell", Static)
        output.update("one\ntwo\nthree")
        output._check_refresh()  # the card is known to have changed, its message is still on its way …
        transcript = stage.chat.query_one("#transcript", Transcript)
        stage.chat._layout_widgets[transcript] = {stage.chat.query_one(NoticeView)}
        stage.chat._refresh_layout()  # … when a layout runs for another card
        assert view.region.height == 4


async def test_a_returned_prompt_of_long_ago_does_not_come_back_on_resume() -> None:
    stored = [
        *talk(1),
        ev.UserMessage(message_id="u", content=(TextPart(text="stopped"),)),
        ev.RunFinished(reason="interrupted"),
    ]
    stage = Stage(FakeSession(stored=stored))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await until(pilot, lambda: len(prompts(stage)) == 2)
        assert stage.prompt == ""


async def test_old_cards_are_put_away_while_the_end_is_followed() -> None:
    async def many(session: FakeSession, text: str) -> None:
        for number in range(200):
            session.keep(ev.Notice(level="info", text=f"notice {number}"))

    stage = Stage(FakeSession(many))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: stage.session.sent and not stage.chat.state.running)
        await until(pilot, lambda: len(stage.chat.query(".card")) <= 160)
        assert "earlier" in text_of(stage.chat.query_one(".earlier"))
        assert "notice 199" in text_of(cards(stage, "notice")[-1])


class Two(Stage):
    """A stage that opens one session after the other; `busy` ids cannot be opened."""

    def __init__(self, *sessions: FakeSession, busy: str = "", **more: Any) -> None:
        super().__init__(sessions[0], **more)
        self._sessions = list(sessions)
        self._busy = busy

    async def _open(self, options: SessionOptions) -> FakeSession:
        if self._busy and options.conversation == self._busy:
            raise ConversationBusy("Another process writes this conversation.", hint="Close it there.")
        self.opened.append(options)
        self.session = self._sessions[min(len(self.opened), len(self._sessions)) - 1]
        return self.session


async def test_another_conversation_is_opened_and_the_first_is_closed() -> None:
    first, second = FakeSession(stored=talk(2)), FakeSession(stored=talk(5))
    stage = Two(first, second)
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await until(pilot, lambda: len(prompts(stage)) == 2)
        stage.chat.open_conversation("conv-9")
        await until(pilot, lambda: len(prompts(stage)) == 5)
        assert first.closed
        assert [options.conversation for options in stage.opened] == ["", "conv-9"]
        await pilot.press(*"hi", "enter")
        await until(pilot, lambda: second.sent == ["hi"])


async def test_a_conversation_that_cannot_be_opened_leaves_this_one_as_it_is() -> None:
    first = FakeSession(stored=talk(2))
    stage = Two(first, busy="conv-9")
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await until(pilot, lambda: len(prompts(stage)) == 2)
        stage.chat.open_conversation("conv-9")
        await until(pilot, lambda: cards(stage, "notice"))
        assert "Another process writes this conversation." in text_of(cards(stage, "notice")[0])
        assert not first.closed
        await pilot.press(*"hi", "enter")
        await until(pilot, lambda: first.sent == ["hi"])


async def test_an_app_that_cannot_open_anything_says_why_and_keeps_what_is_typed() -> None:
    stage = Two(FakeSession(), busy="x")
    stage.app._options = stage.app._options.__class__(
        cwd="/work/project", settings=stage.app._options.settings, conversation="x"
    )
    async with stage.app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: cards(stage, "notice"))
        await pilot.press(*"hello", "enter")
        await until(pilot, lambda: len(cards(stage, "notice")) == 2)
        assert stage.prompt == "hello"
        await pilot.press("ctrl+c")
        await pilot.press(*"/new", "enter")
        await until(pilot, lambda: bool(stage.opened))
        assert stage.opened[0].conversation == ""


async def test_a_message_that_cannot_be_kept_goes_back_to_the_prompt() -> None:
    class Full(FakeSession):
        async def send(self, content: Any, *, client_id: str = "") -> str:
            raise StoreFull("There is no room on the disk.", hint="Make some.")

    stage = Stage(Full())
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"precious", "enter")
        await until(pilot, lambda: cards(stage, "notice"))
        assert stage.prompt == "precious"
        assert "There is no room" in text_of(cards(stage, "notice")[0])


async def test_the_resume_list_opens_what_is_picked() -> None:
    class Lists:
        async def runs(self) -> list[RunRow]:
            return []

        async def conversations(self) -> list[ConversationRow]:
            return [
                ConversationRow(id="conv-7", title="Sums", opening="add them"),
                ConversationRow(
                    id="conv-8",
                    title="The parser",
                    agent="zoe",
                    when="1 h ago",
                    messages=12,
                    folder="/srv/x",
                    opening="please mend the commas",
                    running=True,
                ),
            ]

    stage = Two(FakeSession(), FakeSession(stored=talk(1)), ports=Ports(lists=Lists))  # type: ignore[arg-type]
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        stage.chat.show("resume")
        await until(pilot, lambda: stage.chat.query(".picker"))
        await until(pilot, lambda: "running now · zoe · /srv/x" in screen_text(stage.app))
        assert "1 h ago     12  The parser" in screen_text(stage.app)
        await pilot.press(*"commas", "space", *"srv", "enter")  # of its first words and folder
        await until(pilot, lambda: len(stage.opened) == 2)
        assert stage.opened[1].conversation == "conv-8"
        assert stage.chat.prompt.display


async def test_prompts_of_the_project_are_searched(tmp_path: Path) -> None:
    stage = Stage(history=tmp_path)
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        for text in ("alpha", "beta"):
            await pilot.press(*text, "enter")
            await until(pilot, lambda: not stage.chat.state.running)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: stage.chat.query(".picker"))
        await pilot.press(*"alp", "enter")
        await until(pilot, lambda: stage.prompt == "alpha")


def played(*steps: Callable[[FakeSession], Awaitable[None]]) -> Stage:
    async def script(session: FakeSession, text: str) -> None:
        for step in steps:
            await step(session)

    return Stage(FakeSession(script))


async def test_what_is_selected_is_copied_without_gutters_and_borders() -> None:
    async def change(session: FakeSession) -> None:
        call = session.call("Edit")
        await session.say("Look:", call)
        block = DiffBlock(path="a.py", diff="@@ -1,2 +1,2 @@\n def f():\n-    return 1\n+    return 2")
        await session.run_tool(call, block, title="Edit a.py")

    stage = played(change)
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: stage.chat.query(".code") and not stage.chat.state.running)
        await pilot.pause(0.2)
        code = stage.chat.query_one(".code")
        await pilot.mouse_down(code, offset=Offset(0, 0))
        await pilot.hover(code, offset=Offset(12, 2))
        await pilot.mouse_up(code, offset=Offset(12, 2))
        await until(pilot, lambda: bool(stage.copied))
        assert stage.copied[-1].rstrip() == "def f():\n    return 1\n    return 2"


async def test_a_running_command_shows_its_output_and_the_time_goes_on() -> None:
    gate = threading.Event()

    async def run(session: FakeSession) -> None:
        call = session.call("Bash")
        await session.say("", call)
        session.tell(ev.ToolStarted(call_id=call.id, name="Bash", title="Bash build"))
        session.tell(ev.ToolOutput(call_id=call.id, offset=0, text="step 1\nstep 2\n"))
        await asyncio.to_thread(gate.wait)
        await session.run_tool(call, ShellBlock(command="build", output="all\ndone", exit_code=0), title="Bash build")

    stage = played(run)
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: any("step 2" in text_of(view) for view in stage.chat.query(".shell")))
        working = stage.chat.query_one("#working")
        assert working.display
        assert "Esc stops" in text_of(working)
        gate.set()
        await until(pilot, lambda: any("done" in text_of(view) for view in stage.chat.query(".shell")))
        await until(pilot, lambda: not working.display)
        assert working._timer is None  # type: ignore[attr-defined]  # nothing moves while nothing goes on


async def test_the_changes_pane_needs_room() -> None:
    stage = Stage()
    async with stage.app.run_test(size=(120, 40)) as pilot:
        await ready(pilot, stage)
        beside = stage.chat.query_one("#beside")
        await until(pilot, lambda: not beside.display)  # its session has no memory: the pane leaves when that is known
        await pilot.press("ctrl+b")
        await until(pilot, lambda: beside.display)
        await pilot.resize_terminal(100, 40)
        await until(pilot, lambda: not beside.display)
        await pilot.press("ctrl+b")
        await until(pilot, lambda: stage.app.screen is not stage.chat)
        await pilot.press("escape")
        await until(pilot, lambda: stage.app.screen is stage.chat)


async def test_output_of_the_person_s_shell_stays_in_its_conversation() -> None:
    class Shell:
        async def run(self, command: str, on_output: Callable[[str], None]) -> ShellBlock:
            return ShellBlock(command=command, output="README.md\n", exit_code=0, seconds=0.1)

    stage = Stage(ports=Ports(shell=Shell))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"!ls", "enter")
        await until(pilot, lambda: "README.md" in "".join(text_of(w) for w in stage.chat.query(".shell")))
        other = FakeSession()
        other._state = msgspec.structs.replace(other._state, conversation_id="conv-2")
        stage.session = other
        stage.chat.open_conversation("")
        await until(pilot, lambda: stage.chat.state.conversation_id != "conv-1" or len(stage.opened) == 2)
        await until(pilot, lambda: not cards(stage, "tool"))
        await pilot.press(*"why", "enter")
        await until(pilot, lambda: other.sent == ["why"], str(other.sent))


async def test_stopping_is_said_only_until_the_run_has_stopped() -> None:
    async def forever(session: FakeSession, text: str) -> None:
        await asyncio.sleep(60)

    stage = Stage(FakeSession(forever))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: stage.chat.state.running)
        await pilot.press("escape")
        await until(pilot, lambda: not stage.chat.state.running)
        await until(pilot, lambda: "Stopping" not in text_of(stage.chat._working), seconds=1)
