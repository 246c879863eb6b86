"""The full screen in a real terminal: it starts, echoes, works, ends and leaves the terminal as it was."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.terminal import ROOT, Terminal

Open = Callable[..., Terminal]

# What letta-code turns on, with what turns it off again.
MODES = {"?1049h": "?1049l", "?25l": "?25h", "?2004h": "?2004l", "?1004h": "?1004l", "?1000h": "?1000l", "?7l": "?7h"}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens the demo's screen (no model, no store) in a terminal."""
    terminals: list[Terminal] = []

    def open_(scene: str = "work", **more: object) -> Terminal:
        env = {"DEMO_HOME": str(tmp_path / "prompts"), "PYTHONPATH": str(ROOT), "DEMO_PAUSE": "0.001"}
        terminal = Terminal("-m", "tests.fakes.tui_demo", scene, cwd=tmp_path, env=env, **more)  # type: ignore[arg-type]
        terminals.append(terminal)
        terminal.until("Ask for a change")
        return terminal

    yield open_
    for terminal in terminals:
        terminal.close()


def restored(terminal: Terminal) -> None:
    assert terminal.attributes() == terminal.before
    for on, off in MODES.items():
        assert terminal.written.rfind(b"\x1b[" + on.encode()) < terminal.written.rfind(b"\x1b[" + off.encode()), on
    assert terminal.written.rfind(b"\x1b[>") < terminal.written.rfind(b"\x1b[<u")  # the keyboard protocol


def test_it_starts_echoes_and_leaves_the_terminal_as_it_was(opened: Open) -> None:
    terminal = opened()
    terminal.send("hello")
    terminal.until("❯ hello")
    terminal.send("\x03")
    terminal.until("brings it back")
    terminal.send("\x04")
    assert terminal.ended() == 0
    restored(terminal)


def test_a_run_from_prompt_to_answer(opened: Open) -> None:
    terminal = opened(columns=120, lines=40)
    terminal.send("fix the sums\r")
    terminal.until("All 14 tests pass.")
    assert "Edit src/calc.py" in terminal.text
    terminal.send("\x04")
    assert terminal.ended() == 0
    terminal.until("letta-code --resume conv-1")
    restored(terminal)


def test_shift_enter_and_alt_enter_reach_the_prompt(opened: Open) -> None:
    terminal = opened()
    terminal.send("one")
    terminal.send("\x1b[13;2u")  # Shift+Enter of the kitty protocol, which letta-code asks for
    terminal.send("two\x0athree")
    terminal.send("\x1b\r")  # Alt+Enter of every other terminal
    terminal.send("four")
    terminal.send("\x1b[27;2;13~")  # Shift+Enter of xterm's modifyOtherKeys
    terminal.send("five")
    terminal.until(lambda: all(word in terminal.text for word in ("❯ one", "two", "three", "four", "five")))
    assert "You said" not in terminal.text


@pytest.mark.row("H05")
def test_a_bracketed_paste_with_the_end_inside_stays_in_the_prompt(opened: Open) -> None:
    terminal = opened()
    terminal.send("\x1b[200~line one\rline two\x1b[201~ rest\rmore\x1b[201~")
    terminal.until("more")
    time.sleep(0.2)
    terminal.read(0.3)
    for words in ("❯ line one", "line two rest", "more"):
        assert words in terminal.text
    assert "waiting for the model" not in terminal.text


def test_esc_is_felt_within_a_tenth_of_a_second(opened: Open) -> None:
    terminal = opened("endless")
    terminal.send("go\r")
    terminal.until("Esc stops")
    started = time.monotonic()
    terminal.send("\x1b")
    while not ("Stopping" in terminal.text or "Interrupted" in terminal.text):
        terminal.read(0.005)
        assert time.monotonic() - started < 5
    assert time.monotonic() - started < 0.25  # 0.1 s is the promise; the rest is for a busy machine
    terminal.until("Interrupted")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(opened: Open, number: signal.Signals) -> None:
    terminal = opened()
    terminal.send("a draft")
    terminal.until("❯ a draft")
    os.kill(terminal.child.pid, number)
    assert terminal.ended() == 128 + number
    restored(terminal)


def test_ctrl_z_does_nothing_where_no_shell_could_bring_it_back(opened: Open) -> None:
    """As the first program of its terminal (stops under real shells: test_terminal_torture)."""
    terminal = opened()
    terminal.send("before")
    terminal.until("❯ before")
    terminal.send("\x1a")
    terminal.until("no shell here")
    os.kill(terminal.child.pid, signal.SIGTSTP)
    terminal.send(" after")
    terminal.until("❯ before after")
    terminal.send("\x03\x04")
    assert terminal.ended() == 0
    restored(terminal)


@pytest.mark.parametrize("editor", ["false", "/nonexist", "vim '"])
def test_an_editor_that_fails_leaves_screen_and_draft(
    opened: Open, monkeypatch: pytest.MonkeyPatch, editor: str
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor)
    terminal = opened()
    terminal.send("draft")
    terminal.until("❯ draft")
    terminal.send("\x07")
    terminal.until("ditor ")
    terminal.until("❯ draft")
    terminal.send(" lives")
    terminal.until("❯ draft lives")
    terminal.send("\x04\x03\x04")
    assert terminal.ended() == 0
    restored(terminal)


def test_the_editor_gets_the_draft_and_gives_it_back(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor"
    cooked = "stty -a | grep -q ' icanon' && echo cooked > cooked"
    editor.write_text(f"#!/bin/sh\n{cooked}\nsed -i 's/$/ and more/' \"$1\"\n")
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    terminal = opened()
    terminal.send("some")
    terminal.until("❯ some")
    terminal.send("\x07")
    terminal.until("❯ some and more")
    assert (tmp_path / "cooked").exists()


def test_nothing_untrusted_reaches_the_terminal(opened: Open) -> None:
    """What a tool, a file or a model wrote never gets out as a control sequence."""
    terminal = opened("hostile", columns=100, lines=40)
    terminal.send("go\r")
    terminal.until("the end of it")
    terminal.send("\x0f")  # everything unfolded
    terminal.read(0.6)
    assert b"\x1b]52" not in terminal.written
    assert b"\x1b]0;" not in terminal.written
    assert b"\x1b]8;" not in terminal.written
    assert b"\x1bP" not in terminal.written
    assert b"\x1b[2J" not in terminal.written
    assert not re.search(rb"\xc2[\x80-\x9f]", terminal.written)
    assert "\u202e".encode() not in terminal.written
    assert "[bold]x[/]" in terminal.text


@pytest.mark.slow
def test_two_hundred_resizes_end_in_the_right_screen(opened: Open) -> None:
    terminal = opened("work", columns=100, lines=30)
    terminal.send("fix\r")
    terminal.until("All 14 tests pass.")
    for number in range(200):
        terminal.child.setwinsize(10 + number % 30, 40 + number % 90)
        terminal.read(0.02)
    terminal.child.setwinsize(30, 100)
    terminal.screen.reset()
    terminal.screen.resize(30, 100)
    terminal.until("Ask for a change")
    terminal.read(1.0)
    fresh = opened("work", columns=100, lines=30)
    fresh.send("fix\r")
    fresh.until("All 14 tests pass.")
    fresh.read(1.0)
    assert terminal.text == fresh.text
