"""The parts of the screen that need no screen: the core's thread, history, completion, clipboard, colours."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from letta_code.commands.base import Command
from letta_code.core import events as ev
from letta_code.core.display import ShellBlock
from letta_code.core.errors import LettaError, UsageError
from letta_code.tui.clipboard import LIMIT, osc52
from letta_code.tui.completion import match_commands, match_files, wanted
from letta_code.tui.core_thread import BATCHES_A_SECOND, CoreItem, CoreThread, Failed, Opened
from letta_code.tui.dispatch import ATTACH_LIMIT, _attachment
from letta_code.tui.history import PromptHistory
from letta_code.tui.view_state import ViewState
from letta_code.tui.widgets.status_bar import doing
from tests.fakes.session import FakeSession, options

# ------------------------------------------------------------ the core's thread


class Taker:
    """Takes what the core has whenever it is woken."""

    def __init__(self, session: FakeSession | None = None, error: Exception | None = None) -> None:
        self.session = session or FakeSession()
        self._error = error
        self.items: list[CoreItem] = []
        self.wakes: list[float] = []
        self.core = CoreThread(self._open, self._wake, lambda: None)

    async def _open(self, given: Any) -> FakeSession:
        if self._error is not None:
            raise self._error
        return self.session

    def _wake(self) -> None:
        self.wakes.append(time.monotonic())
        self.items += self.core.take()

    async def until(self, wanted: Any) -> None:
        end = time.monotonic() + 10
        while not wanted():
            assert time.monotonic() < end
            await asyncio.sleep(0.005)


async def test_the_core_has_a_thread_of_its_own() -> None:
    taker = Taker()
    taker.core.start(options())

    async def where(session: Any) -> str:
        return threading.current_thread().name

    assert await taker.core.call(where) == "letta-core"
    await taker.until(lambda: len(taker.items) == 2)
    assert isinstance(taker.items[0], Opened)
    assert isinstance(taker.items[1], ev.ConversationStarted)
    await taker.core.stop()
    assert taker.session.closed
    assert not taker.core.started


async def test_a_flood_of_events_comes_in_few_batches_and_in_order() -> None:
    taker = Taker()
    taker.core.start(options())

    async def flood(session: Any) -> None:
        for number in range(3000):
            session.tell(ev.TextDelta(message_id="m", offset=number, text="x"))
            if number % 10 == 0:
                await asyncio.sleep(0.001)

    began = time.monotonic()
    await taker.core.call(flood)
    await taker.until(lambda: len(taker.items) == 3002)
    seconds = time.monotonic() - began
    assert [item.offset for item in taker.items if isinstance(item, ev.TextDelta)] == list(range(3000))
    assert len(taker.wakes) <= seconds * BATCHES_A_SECOND + 3
    await taker.core.stop()


async def test_an_error_of_the_core_comes_back_as_it_is() -> None:
    taker = Taker()
    taker.core.start(options())

    async def fail(session: Any) -> None:
        raise UsageError("No.", hint="Yes.")

    with pytest.raises(UsageError, match="No"):
        await taker.core.call(fail)
    await taker.core.stop()


async def test_a_session_that_does_not_open_is_told_and_raised() -> None:
    for error, text in ((LettaError("Locked.", hint="Wait."), "Locked."), (ValueError("odd"), "ValueError: odd")):
        taker = Taker(error=error)
        taker.core.start(options())
        await taker.until(lambda taker=taker: bool(taker.items))
        [failed] = taker.items
        assert isinstance(failed, Failed)
        assert failed.text == text
        assert failed.hint
        with pytest.raises(type(error)):
            await taker.core.call(lambda session: session.interrupt())
        await taker.core.stop()


async def test_what_is_cancelled_here_is_cancelled_there() -> None:
    taker = Taker()
    taker.core.start(options())
    cancelled = threading.Event()

    async def long(session: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(taker.core.call(long))
    await asyncio.sleep(0.05)
    task.cancel()
    await taker.until(cancelled.is_set)
    await taker.core.stop()


async def test_a_session_that_cannot_close_does_not_hold_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(FakeSession):
        async def close(self) -> None:
            await asyncio.sleep(60)

    monkeypatch.setattr("letta_code.tui.core_thread.CLOSE_SECONDS", 0.2)
    taker = Taker(Stuck())
    taker.core.start(options())
    await taker.until(lambda: len(taker.items) == 2)
    began = time.monotonic()
    await taker.core.stop()
    assert time.monotonic() - began < 3


# ------------------------------------------------------------ history


def test_history_is_kept_by_project_and_survives_torn_lines(tmp_path: Path) -> None:
    mine, other = PromptHistory(tmp_path, "/a"), PromptHistory(tmp_path, "/b")
    for text in ("one", "two\nlines", "two\nlines", "\ud800 odd"):
        mine.remember(text)
    other.remember("else")
    [file] = [path for path in tmp_path.glob("*.jsonl") if b"one" in path.read_bytes()]
    with file.open("ab") as out:
        out.write(b'{"text": "to')
    again = PromptHistory(tmp_path, "/a")
    again.load()
    assert again.entries == ["one", "two\nlines", "? odd"]


def test_walking_through_the_history_keeps_the_draft() -> None:
    history = PromptHistory(None, "/a")
    assert history.earlier("draft") is None
    history.remember("one")
    history.remember("two")
    assert [history.earlier("draft"), history.earlier("two"), history.earlier("one")] == ["two", "one", None]
    assert [history.later("one"), history.later("two"), history.later("draft")] == ["two", "draft", None]


def test_an_edited_prompt_of_the_history_is_kept_until_something_is_sent() -> None:
    history = PromptHistory(None, "/a")
    history.remember("one")
    history.remember("two")
    assert history.earlier("") == "two"
    assert history.earlier("two, edited") == "one"
    assert history.later("one") == "two, edited"
    assert history.later("two, edited") == ""
    history.remember("three")
    assert [history.earlier(""), history.earlier("three")] == ["three", "two"]


def test_a_folder_that_cannot_be_written_does_not_stop_the_typing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    history = PromptHistory(blocked / "below", "/a")
    assert history.load() == ""
    history.remember("one")
    history.save_draft("two")
    assert history.entries == ["one"]


# ------------------------------------------------------------ completion


@pytest.mark.parametrize(
    ("line", "row", "column", "kind", "query"),
    [
        ("/mo", 0, 3, "command", "mo"),
        ("/model gp", 0, 9, None, ""),
        ("/usr/bin", 0, 8, None, ""),
        ("/mo", 1, 3, None, ""),
        ("see @src/a", 0, 10, "file", "src/a"),
        ("@", 3, 1, "file", ""),
        ("me@example.org", 0, 14, None, ""),
        ("see @src/a b", 0, 12, None, ""),
    ],
)
def test_what_is_completed(line: str, row: int, column: int, kind: str | None, query: str) -> None:
    found = wanted(line, row, column)
    assert (found.kind if found else None, found.query if found else "") == (kind, query)


def test_files_are_found_by_name_path_and_letters() -> None:
    paths = ["src/letta/view_state.py", "tests/test_view.py", "README.md", "docs/overview.md", "src/state.py"]
    assert match_files("view", paths)[0] == "src/letta/view_state.py"
    assert match_files("src/st", paths)[0] == "src/state.py"
    assert match_files("vwstpy", paths)[0] == "src/letta/view_state.py"
    assert match_files("zzz", paths) == []
    assert match_files("", paths)[0] == "README.md"


def test_fifty_thousand_files_are_matched_quickly() -> None:
    paths = [f"package_{n % 100}/module_{n}/file_{n}.py" for n in range(50_000)]
    began = time.perf_counter()
    assert match_files("file_49999", paths)[0].endswith("file_49999.py")
    assert time.perf_counter() - began < 1.0


def test_commands_are_found_by_start_alias_and_part() -> None:
    async def run(context: Any, arguments: str) -> Any:
        return None

    commands = {
        name: Command(name=name, help="", details="", usage="", run=run, aliases=aliases)
        for name, aliases in (("exit", ("quit",)), ("mode", ()), ("model", ()), ("remodel", ()))
    }
    assert [command.name for command in match_commands("mode", commands)] == ["mode", "model", "remodel"]
    assert [command.name for command in match_commands("qu", commands)] == ["exit"]


# ------------------------------------------------------------ clipboard, attachments, waiting


def test_copies_go_through_the_terminal_and_through_tmux() -> None:
    data = base64.b64encode("grüße".encode()).decode()
    assert osc52("grüße", {}) == f"\x1b]52;c;{data}\x07"
    assert osc52("grüße", {"TMUX": "/tmp/x"}) == (f"\x1b]52;c;{data}\x07\x1bPtmux;\x1b\x1b]52;c;{data}\x07\x1b\\")
    assert osc52("x" * (LIMIT + 1), {}) == ""


def test_a_long_output_is_attached_with_head_and_tail() -> None:
    block = ShellBlock(command="cat x", output="a" * ATTACH_LIMIT + "b" * ATTACH_LIMIT, exit_code=0)
    text = _attachment(block)
    assert len(text) < ATTACH_LIMIT + 200
    assert "aaa\n… 16,000 characters …\nbbb" in text


def test_a_retry_is_counted_down() -> None:
    now = 100.0
    state = ViewState(lambda: now)
    state.apply(ev.Waiting(phase="retry", attempt=2, seconds=30, reason="429 too many requests"))
    assert doing(state, 100.0)[0] == "429 too many requests: try 2 in 30 s"
    assert doing(state, 112.4)[0] == "429 too many requests: try 2 in 17 s"
    assert doing(state, 200.0)[0] == "429 too many requests: try 2 in 0.0 s"


def test_a_long_wait_for_the_first_word_is_counted() -> None:
    now = 100.0
    state = ViewState(lambda: now)
    state.apply(ev.Waiting(phase="sent"))
    assert doing(state, 101.0)[0] == "waiting for the model"
    now = 110.0
    state.apply(ev.Waiting(phase="first_part", seconds=10))
    assert doing(state, 125.0)[0] == "waiting for the model for 25 s"
    state.apply(ev.Waiting(phase="storage", seconds=1, attempt=4, reason="The disk is full"))
    assert doing(state, 125.0)[0] == "waits until there is room (try 4): The disk is full"


# ------------------------------------------------------------ colours


def contrast(one: Color, other: Color) -> float:
    def luminance(color: Color) -> float:
        parts = [c / 255 for c in (color.r, color.g, color.b)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", [name for name, theme in BUILTIN_THEMES.items() if not theme.ansi])
def test_words_can_be_read_in_every_theme(name: str) -> None:
    """Text at 4.5, muted text at 3, status colours at 2.5 (they always stand beside a sign or a word)."""
    colours = BUILTIN_THEMES[name].to_color_system().generate()
    ground = Color.parse(colours["background"])
    assert contrast(ground + Color.parse(colours["foreground"]), ground) >= 4.5
    assert contrast(ground + Color.parse(colours["foreground"]).with_alpha(0.75), ground) >= 3
    for role in ("success", "warning", "error", "accent", "primary"):
        assert contrast(Color.parse(colours[f"text-{role}"]), ground) >= 2.5, role
