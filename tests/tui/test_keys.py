"""What keys do, in a running app over a fake session."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
from textual.events import Key, Paste

from letta_code.core import events as ev
from letta_code.core.display import ShellBlock
from letta_code.core.errors import LettaError
from letta_code.core.requests import ApprovalRequest, Approve, Choice, Deny, Reply, RuleOffer
from letta_code.tui.ports import Ports
from letta_code.tui.widgets.ask import Ask
from tests.fakes.session import FakeSession
from tests.tui.screen import Stage, cards, ready, screen_text, text_of, until

SIZE = (80, 24)


async def test_enter_sends_and_the_answer_appears() -> None:
    stage = Stage()
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"hello", "enter")
        await until(pilot, lambda: cards(stage, "assistant") and not stage.chat.state.running)
        assert stage.session.sent == ["hello"]
        assert stage.prompt == ""
        assert text_of(cards(stage, "user")[0]) == "hello"


async def test_what_is_typed_before_the_core_is_there_is_sent_later() -> None:
    stage = Stage()
    gate = threading.Event()
    opened = stage._open

    async def slow(options):
        await asyncio.to_thread(gate.wait)
        return await opened(options)

    stage.app._core._open_session = slow
    async with stage.app.run_test(size=SIZE) as pilot:
        await pilot.press(*"early", "enter")
        assert stage.session.sent == []
        gate.set()
        await until(pilot, lambda: stage.session.sent == ["early"])


@pytest.mark.parametrize("key", ["shift+enter", "ctrl+j", "alt+enter"])
async def test_keys_for_a_new_line(key: str) -> None:
    stage = Stage()
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press("a", key, "b")
        assert stage.prompt == "a\nb"
        assert stage.session.sent == []


async def test_backslash_enter_is_a_new_line() -> None:
    stage = Stage()
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press("a", "backslash", "enter", "b")
        assert stage.prompt == "a\nb"


async def test_a_paste_of_many_lines_stays_whole() -> None:
    stage = Stage()
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        stage.chat.prompt.area.post_message(Paste("one\ntwo\r\n\x1b[31mthree\n"))
        await pilot.pause()
        assert stage.prompt == "one\ntwo\nthree\n"
        assert stage.session.sent == []


async def test_what_follows_a_paste_in_the_same_moment_is_not_sent() -> None:
    """A pasted end-of-paste sequence: the rest of the paste comes as keys, an Enter among them."""
    stage = Stage()
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        area = stage.chat.prompt.area
        area.post_message(Paste("harmless"))
        for key, character in (("!", "!"), ("enter", "\r"), ("x", "x"), ("enter", "\r")):
            area.post_message(Key(key, character))
        await pilot.pause(0.1)
        assert stage.prompt == "harmless!\nx\n"
        assert stage.session.sent == []
        await pilot.press("enter")
        await until(pilot, lambda: stage.session.sent == ["harmless!\nx"])


async def test_a_whole_command_runs_at_enter_and_the_next_one_after_it() -> None:
    stage = Stage()
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        done: list[str] = []

        async def submit(text: str) -> None:
            done.append(text)

        stage.chat.dispatch.submit = submit
        await stage.chat.dispatch.load_commands()
        await pilot.press(*"/mode")
        await until(pilot, lambda: stage.chat.prompt.area.completing)
        await pilot.press("enter")
        await until(pilot, lambda: done == ["/mode"])
        for key in (*"/cost", "enter", *"/diff", "enter"):
            stage.chat.prompt.area.post_message(Key(key, {"/": "/", "enter": "\r"}.get(key, key)))
        await until(pilot, lambda: done == ["/mode", "/cost", "/diff"], f"{done} {stage.prompt!r}")
        assert stage.prompt == ""
        assert not stage.chat.query_one("#completer").display


async def test_history_goes_up_and_down_and_lasts(tmp_path: Path) -> None:
    stage = Stage(history=tmp_path)
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        for text in ("one", "two"):
            await pilot.press(*text, "enter")
            await until(pilot, lambda: not stage.chat.state.running)
        await pilot.press(*"dra", "up")
        assert stage.prompt == "two"
        await pilot.press("up")
        assert stage.prompt == "one"
        await pilot.press("down", "down")
        assert stage.prompt == "dra"
    again = Stage(history=tmp_path)
    async with again.app.run_test(size=SIZE) as pilot:
        await ready(pilot, again)
        assert again.prompt == "dra"  # the draft was kept
        await pilot.press("home", "up")
        assert again.prompt == "two"
    [file] = tmp_path.glob("*.jsonl")
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_draft_is_on_disk_before_a_crash(tmp_path: Path) -> None:
    stage = Stage(history=tmp_path)
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"half a tho")
        await until(pilot, lambda: list(tmp_path.glob("*.draft")))
        [file] = tmp_path.glob("*.draft")
        await until(pilot, lambda: file.read_text() == "half a tho")
        assert file.stat().st_mode & 0o777 == 0o600
        await pilot.press("enter")
        await until(pilot, lambda: not file.exists())


async def test_ctrl_c_clears_into_the_history_and_twice_leaves() -> None:
    stage = Stage()
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"precious", "ctrl+c")
        assert stage.prompt == ""
        assert stage.app.is_running
        await pilot.press("up")
        assert stage.prompt == "precious"
        await pilot.press("ctrl+c", "ctrl+c")
        await until(pilot, lambda: not stage.app.is_running)
    assert stage.session.closed


async def test_ctrl_d_leaves_only_from_an_empty_prompt() -> None:
    stage = Stage()
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press("a", "ctrl+d")
        assert stage.app.is_running
        await pilot.press("backspace", "ctrl+d")
        await until(pilot, lambda: not stage.app.is_running)


async def test_esc_stops_the_run_and_gives_the_prompt_back() -> None:
    async def never(session: FakeSession, text: str) -> None:
        await asyncio.sleep(60)

    stage = Stage(FakeSession(never))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"do it", "enter")
        await until(pilot, lambda: stage.chat.state.running)
        started = time.monotonic()
        await pilot.press("escape")
        await until(pilot, lambda: not stage.chat.state.running)
        assert time.monotonic() - started < 1
        assert stage.session.interrupts == 1
        assert stage.prompt == "do it"


class Compacting(FakeSession):
    """A session whose compaction lasts until it is stopped."""

    async def compact(self, instructions: str = "") -> ev.ContextCompacted:
        self._run = asyncio.create_task(asyncio.sleep(60))
        self.tell(ev.Waiting(phase="loading"))
        self.tell(ev.Waiting(phase="compacting"))
        await asyncio.wait([self._run])
        self._run = None
        self.tell(ev.Waiting(phase="done"))
        raise LettaError("The compaction was stopped.")


async def test_a_compaction_beside_a_run_looks_and_stops_as_a_run() -> None:
    stage = Stage(Compacting())
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"/compact", "space", "enter")
        await until(pilot, lambda: "Esc stops" in screen_text(stage.app))
        await pilot.press(*"later", "enter")
        await until(pilot, lambda: len(stage.chat.state.queue) == 1)
        await pilot.press("escape")
        await until(pilot, lambda: not stage.chat.state.running)
        assert stage.session.interrupts == 1
        assert len(stage.chat.state.queue) == 1, "Esc stopped the work and took nothing back"
        assert "The compaction was stopped." in screen_text(stage.app)
        assert "Esc stops" not in screen_text(stage.app)


async def test_another_compaction_asked_for_meanwhile_is_acknowledged() -> None:
    async def never(session: FakeSession, text: str) -> None:
        await asyncio.sleep(60)

    stage = Stage(FakeSession(never))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"do it", "enter")
        await until(pilot, lambda: stage.chat.state.running)
        await pilot.press(*"/compact", "space", *"ports", "enter")
        await until(pilot, lambda: "right after this step" in screen_text(stage.app))


async def test_a_command_typed_in_one_moment_is_sent_by_its_enter() -> None:
    """The list is a moment behind the keys: Enter is for what is written, not for what the list offered before."""
    stage = Stage()
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        done: list[str] = []

        async def submit(text: str) -> None:
            done.append(text)

        stage.chat.dispatch.submit = submit
        await stage.chat.dispatch.load_commands()
        await pilot.press(*"/ref")
        await until(pilot, lambda: stage.chat.prompt.area.completing)
        for key in (*"lect reject refl-1", "enter", *"/rem it", "enter"):
            stage.chat.prompt.area.post_message(Key(key, {"enter": "\r"}.get(key, key)))
        await until(pilot, lambda: done == ["/reflect reject refl-1", "/rem it"], "an Enter was lost")
        assert stage.prompt == ""


async def test_a_message_waits_while_the_agent_works_and_can_be_taken_back() -> None:
    gate: list[asyncio.Event] = []

    async def slow(session: FakeSession, text: str) -> None:
        gate.append(asyncio.Event())
        await gate[-1].wait()

    stage = Stage(FakeSession(slow))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"first", "enter")
        await until(pilot, lambda: stage.chat.state.running)
        await pilot.press(*"second", "enter")
        await until(pilot, lambda: len(stage.chat.state.queue) == 1)
        assert "second" in text_of(stage.chat.query_one("#queue"))
        await pilot.press("up")
        await until(pilot, lambda: not stage.chat.state.queue)
        assert stage.prompt == "second"


async def test_shift_tab_walks_through_the_modes() -> None:
    stage = Stage()
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        for mode in ("auto", "plan", "ask"):
            await pilot.press("shift+tab")
            await until(pilot, lambda mode=mode: stage.session.status.mode == mode)
            assert stage.chat.prompt.has_class(f"mode-{mode}")


async def test_pages_scroll_while_the_prompt_has_the_focus() -> None:
    async def long(session: FakeSession, text: str) -> None:
        await session.say("\n\n".join(f"Paragraph {n}" for n in range(60)))

    stage = Stage(FakeSession(long))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: cards(stage, "assistant") and not stage.chat.state.running)
        transcript = stage.chat.query_one("#transcript")
        await until(pilot, lambda: transcript.max_scroll_y > 50 and transcript.scroll_y == transcript.max_scroll_y)
        await pilot.press("pageup")
        await until(pilot, lambda: transcript.scroll_y < transcript.max_scroll_y - 5)
        place = transcript.scroll_y
        await stage.session.rename("nothing to see")
        await pilot.pause(0.1)
        assert transcript.scroll_y == place
        await pilot.press("ctrl+end")
        await until(pilot, lambda: transcript.scroll_y == transcript.max_scroll_y)


async def test_cards_unfold_one_by_one_and_all_together() -> None:
    output = "\n".join(f"line {n}" for n in range(40))

    async def run(session: FakeSession, text: str) -> None:
        call = session.call("Bash")
        await session.say("", call)
        await session.run_tool(call, ShellBlock(command="seq", output=output, exit_code=0), title="Bash seq")

    stage = Stage(FakeSession(run))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: not stage.chat.state.running and cards(stage, "tool"))

        def shown() -> str:
            return "\n".join(text_of(widget) for widget in stage.chat.query(".shell"))

        await until(pilot, lambda: "line 39" in shown())
        assert "line 20" not in shown()
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "line 20" in shown())
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "line 20" not in shown())
        await pilot.press("ctrl+up", "enter")
        await until(pilot, lambda: "line 20" in shown())
        await pilot.press("x")
        assert stage.prompt == "x"
        await pilot.press("ctrl+home")
        await pilot.click(".tool-title")
        await until(pilot, lambda: "line 20" not in shown())


def asking(*, destructive: bool = False, answers: list[object], offers: tuple[RuleOffer, ...] = ()):
    async def script(session: FakeSession, text: str) -> None:
        call = session.call("Bash")
        await session.say("", call)
        block = ShellBlock(command="rm -rf build", cwd="/work/project")
        answers.append(
            await session.ask_approval(call, block, title="Bash rm -rf build", offers=offers, destructive=destructive)
        )
        await session.run_tool(call, title="Bash rm -rf build")

    return script


def card(stage: Stage) -> Ask | None:
    found = list(stage.chat.query(Ask))
    return found[0] if found else None


async def test_an_approval_waits_for_a_typing_pause_and_keeps_the_draft() -> None:
    answers: list[object] = []
    stage = Stage(FakeSession(asking(answers=answers)))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        stage.chat.place.typing_pause = 0.6
        await pilot.press(*"go", "enter")
        await pilot.press(*"and then")
        await until(pilot, lambda: stage.chat.state.requests)
        for character in " typing on":
            await pilot.press(character if character != " " else "space")
            assert card(stage) is None
        await until(pilot, lambda: card(stage) is not None)
        shown = card(stage)
        assert shown is not None
        assert not stage.chat.prompt.display
        await pilot.press("y", "enter", "1")  # too early: meant for the prompt
        await pilot.pause(0.05)
        assert answers == []
        await until(pilot, shown.ready)
        await pilot.press("y")
        await until(pilot, lambda: answers == [Approve()])
        await until(pilot, lambda: stage.chat.prompt.display)
        assert stage.prompt == "and then typing on"


@pytest.mark.row("H07")
async def test_a_click_that_comes_too_early_is_ignored() -> None:
    answers: list[object] = []
    stage = Stage(FakeSession(asking(answers=answers)))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        stage.chat.place.typing_pause = 0.0
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: card(stage) is not None)
        await pilot.click(".ask .choices", offset=(4, 0))
        assert answers == []
        shown = card(stage)
        assert shown is not None
        await until(pilot, shown.ready)
        await pilot.click(".ask .choices", offset=(4, 0))
        await until(pilot, lambda: answers == [Approve()])


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        (("enter",), Approve()),
        (("down", "enter"), Approve(remember="conversation", pattern="Bash(rm)")),
        (("down", "right", "enter"), Approve(remember="conversation", pattern="Bash(rm -rf build)")),
        (("3",), Approve(remember="project", pattern="Bash(rm)")),
        (("4",), Approve(remember="always", pattern="Bash(rm)")),
        (("5",), Deny()),
        (("n",), Deny()),
        (("6", "u", "s", "e", "enter"), Deny(message="use")),
        (("6", "escape", "1"), Approve()),
    ],
)
async def test_answers_to_an_approval(keys: tuple[str, ...], answer: object) -> None:
    answers: list[object] = []
    offers = (RuleOffer(pattern="Bash(rm)"), RuleOffer(pattern="Bash(rm -rf build)"))
    stage = Stage(FakeSession(asking(answers=answers, offers=offers)))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        stage.chat.place.typing_pause = 0.0
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: card(stage) is not None)
        shown = card(stage)
        assert shown is not None
        shown._ready_at = 0.0
        await pilot.press(*keys)
        await until(pilot, lambda: answers == [answer], str(answers))


@pytest.mark.parametrize("columns", [80, 120])
async def test_each_number_shows_the_rule_that_it_stands_for_before_it_is_pressed(columns: int) -> None:
    answers: list[object] = []
    long = "Bash(npm run build --workspace=packages/frontend --production --source-map=off --target=es2022)"
    stage = Stage(FakeSession(asking(answers=answers, offers=(RuleOffer(pattern="Bash(rm)"), RuleOffer(pattern=long)))))
    async with stage.app.run_test(size=(columns, 24)) as pilot:
        await ready(pilot, stage)
        stage.chat.place.typing_pause = 0.0
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: card(stage) is not None)
        shown = card(stage)
        assert shown is not None
        shown._ready_at = 0.0
        lines = [line for line in screen_text(stage.app).splitlines() if "Yes, " in line]
        assert ["Bash(rm)" in line for line in lines] == [False, True, True, True]
        await pilot.press("right")
        await until(pilot, lambda: "target=es2022)" in screen_text(stage.app))
        lines = [line for line in screen_text(stage.app).splitlines() if "Yes, " in line]
        assert all("Bash(npm run" in line and "…" in line and "es2022)" in line for line in lines[1:])
        await pilot.press("down")  # highlighted, it is there to its last character
        await until(pilot, lambda: long.replace(" ", "") in "".join(screen_text(stage.app).split()))
        await pilot.press("3")
        await until(pilot, lambda: answers == [Approve(remember="project", pattern=long)], str(answers))


async def test_no_is_highlighted_for_what_destroys() -> None:
    answers: list[object] = []
    stage = Stage(FakeSession(asking(answers=answers, destructive=True)))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        stage.chat.place.typing_pause = 0.0
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: card(stage) is not None)
        shown = card(stage)
        assert shown is not None
        shown._ready_at = 0.0
        await pilot.press("enter")
        await until(pilot, lambda: answers == [Deny()])


async def test_esc_at_an_approval_stops_the_run() -> None:
    answers: list[object] = []
    stage = Stage(FakeSession(asking(answers=answers)))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        stage.chat.place.typing_pause = 0.0
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: card(stage) is not None)
        await pilot.press("escape")
        await until(pilot, lambda: card(stage) is None and not stage.chat.state.running)
        assert stage.session.interrupts == 1
        assert answers == []
        assert stage.chat.prompt.area.has_focus


async def test_an_answer_given_elsewhere_takes_the_card_away() -> None:
    answers: list[object] = []
    stage = Stage(FakeSession(asking(answers=answers)))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        stage.chat.place.typing_pause = 0.0
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: card(stage) is not None)
        [request] = stage.chat.state.requests.values()
        assert isinstance(request, ApprovalRequest)
        await stage.app._core.call(lambda session: session.answer(request.request_id, Deny(), "plain"))
        await until(pilot, lambda: card(stage) is None)
        assert stage.chat.prompt.display


@pytest.mark.parametrize(
    ("several", "keys", "reply"),
    [
        (False, ("2",), "blue"),
        (False, ("down", "enter"), "blue"),
        (False, ("3", *"none", "enter"), "none"),
        (True, ("space", "down", "space", "enter"), "red, blue"),
        (True, ("space", "down", "down", "space", "enter", *"x", "enter"), "red, x"),
    ],
)
async def test_answers_to_a_question(several: bool, keys: tuple[str, ...], reply: str) -> None:
    answers: list[object] = []

    async def script(session: FakeSession, text: str) -> None:
        call = session.call("AskUser")
        await session.say("", call)
        choices = (Choice(label="red"), Choice(label="blue", description="like the sky"))
        answers.append(await session.ask_question(call, "Which colour?", choices, several=several))

    stage = Stage(FakeSession(script))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        stage.chat.place.typing_pause = 0.0
        await pilot.press(*"go", "enter")
        await until(pilot, lambda: card(stage) is not None)
        shown = card(stage)
        assert shown is not None
        shown._ready_at = 0.0
        await pilot.press(*keys)
        await until(pilot, lambda: answers == [Reply(text=reply)], str(answers))


async def test_a_shell_command_of_the_person_goes_along_with_the_next_message() -> None:
    class Shell:
        async def run(self, command, on_output):
            return ShellBlock(command=command, output="README.md\n", exit_code=0, seconds=0.1)

    stage = Stage(ports=Ports(shell=Shell))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"!ls", "enter")
        await until(pilot, lambda: "README.md" in "".join(text_of(w) for w in stage.chat.query(".shell")))
        assert stage.session.sent == []
        await pilot.press(*"why", "enter")
        await until(pilot, lambda: bool(stage.session.sent))
        assert stage.session.sent[0].endswith("$ ls\nREADME.md\n[exit code 0]\nwhy")


async def test_a_shell_command_shows_its_output_and_esc_stops_it() -> None:
    stopped = threading.Event()

    class Shell:
        async def run(self, command, on_output):
            try:
                for number in range(1000):
                    on_output(f"line {number}\n")
                    await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                stopped.set()
                raise

    stage = Stage(ports=Ports(shell=Shell))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"!count", "enter")
        await until(pilot, lambda: "line 5" in "".join(text_of(w) for w in stage.chat.query(".shell")))
        await pilot.press("escape")
        await until(pilot, stopped.is_set)
        await until(pilot, lambda: "interrupted" in text_of(stage.chat.query_one(".tool-title")))
        await pilot.press(*"hi", "enter")
        await until(pilot, lambda: stage.session.sent == ["hi"])


async def test_files_are_offered_after_an_at_sign() -> None:
    paths = ["README.md", "src/app.py", "src/apple.py", "tests/test_app.py"]

    async def listed(cwd: str) -> list[str]:
        return paths

    stage = Stage(ports=Ports(list_files=listed))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"see @app")
        completer = stage.chat.query_one("#completer")
        await until(pilot, lambda: completer.display)
        assert [option.id for option in completer.options] == ["src/app.py", "src/apple.py", "tests/test_app.py"]
        await pilot.press("down", "tab")
        assert stage.prompt == "see @src/apple.py "
        assert not completer.display
        assert stage.session.sent == []


async def test_an_unknown_command_comes_back_with_a_hint() -> None:
    stage = Stage()
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press(*"/nonsense")
        await pilot.press("escape", "enter")
        await until(pilot, lambda: cards(stage, "notice"))
        assert "There is no command /nonsense." in text_of(cards(stage, "notice")[0])
        assert stage.prompt == "/nonsense"
        assert stage.session.sent == []


async def test_help_opens_and_closes() -> None:
    stage = Stage()
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press("f1")
        await until(pilot, lambda: stage.app.screen is not stage.chat)
        await pilot.press("escape")
        await until(pilot, lambda: stage.app.screen is stage.chat)


async def test_a_request_that_came_while_a_picker_was_open_is_shown_after_it() -> None:
    gate = threading.Event()

    async def asks(session: FakeSession, text: str) -> None:
        await asyncio.to_thread(gate.wait, 5)
        await session.ask_question(session.call("AskUser"), "Which?")

    stage = Stage(FakeSession(asks))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        stage.chat.place.typing_pause = 0
        await pilot.press(*"go", "enter", "ctrl+r")
        await until(pilot, lambda: stage.chat.place.card is not None)
        gate.set()
        await until(pilot, lambda: stage.chat.state.requests)
        assert not isinstance(stage.chat.place.card, Ask)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(stage.chat.place.card, Ask), "the request was never shown", seconds=3)


async def test_files_made_after_the_first_at_sign_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letta_code.tui.widgets.completer.FILES_KEPT", 0.0)
    files = ["old.py"]

    async def listed(cwd: str) -> list[str]:
        return list(files)

    stage = Stage(ports=Ports(list_files=listed))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        await pilot.press("@", "o")
        await until(pilot, lambda: stage.chat._completer.options)
        files.append("older.py")
        await pilot.press("l")
        await until(pilot, lambda: len(stage.chat._completer.options) == 2, seconds=3)


@pytest.mark.row("I08")
async def test_a_pasted_key_is_told_before_it_is_sent(tmp_path: Path) -> None:
    key = "ghp_" + "a1B2c3D4" * 5
    stage = Stage(history=tmp_path)
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        stage.app.screen.query_one("#prompt-text").post_message(Paste(f"use {key} there"))
        await pilot.pause(0.1)
        await pilot.press("enter")
        await until(pilot, lambda: "This looks like a GitHub token." in screen_text(stage.app))
        assert stage.session.sent == [] and key in stage.prompt
        await pilot.press("x", "enter")  # changed: told again
        await pilot.pause()
        assert stage.session.sent == []
        await pilot.press("enter")
        await until(pilot, lambda: stage.session.sent == [f"use {key} therex"])
    kept = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept and not any(key in text for text in kept)
