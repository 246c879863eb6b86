"""Ends: a run with stubborn children goes on, and its terminal is closed, or a signal comes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from _terminal_lab import FACES, PROMPT, Lab, Verdict, hang_up, kill, settled, wait

from tests.e2e.terminal import Terminal

CLOSED = "closed"
SIGNALS = {"SIGHUP": signal.SIGHUP, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
READY = {"screen": "Ask for a change", "plain": "\n>"}


def all_ends(scratch: Path, verdict: Verdict, plant: str, faces: list[str]) -> None:
    """Every way to end, in every face, while a run goes on; the screen also while none does."""
    for face in faces:
        for way in (CLOSED, *SIGNALS):
            _in(scratch, verdict, plant, lambda lab, face=face, way=way: _in_a_run(lab, face, way))
    if "screen" not in faces:
        return
    for way in (CLOSED, *SIGNALS):
        _in(scratch, verdict, plant, lambda lab, way=way: _idle(lab, way))
    _in(scratch, verdict, plant, _deaf)
    _in(scratch, verdict, plant, _unread)
    _in(scratch, verdict, plant, _under_a_shell)
    _in(scratch, verdict, plant, _in_the_editor)


def _in(scratch: Path, verdict: Verdict, plant: str, case: object) -> None:
    lab = Lab(scratch, verdict, plant)
    try:
        case(lab)  # type: ignore[operator]
    finally:
        lab.close()


def begin(lab: Lab, face: str) -> Terminal:
    """letta-code with its commands running."""
    terminal = lab.open(*FACES[face])
    if face != "print":
        terminal.until(READY[face])
        terminal.send(f"{PROMPT}\r")
    terminal.until((lab.work / "started").exists)
    settled(terminal, seconds=0.3, still=0.1)
    return terminal


def _in_a_run(lab: Lab, face: str, way: str) -> None:
    where = f"{way}, {face}, in a run"
    lab.stubborn()
    terminal = begin(lab, face)
    assert len(lab.processes()) > 6, "the script does not do what it should"
    lab.verdict.done["ends in a run"] += 1
    if way == "SIGINT" and face == "plain":
        _interrupted(lab, terminal, where)
        return
    since = end(lab, terminal, way)
    lab.all_gone(since, where)
    after(lab, terminal, way, where)
    lab.check_conversation(where)


def _interrupted(lab: Lab, terminal: Terminal, where: str) -> None:
    """Ctrl-C in the plain face stops the run, not the program; Ctrl-D then ends it."""
    kill(terminal, signal.SIGINT)
    terminal.until("(stopping)")
    terminal.until(lambda: terminal.text.rstrip().endswith(">"))
    since = time.monotonic()
    terminal.send("\x04")
    lab.all_gone(since, where)
    lab.verdict.expect(terminal.ended() == 0, "exit code", where)
    lab.check_restored(terminal, where)
    lab.check_conversation(where)


def end(lab: Lab, terminal: Terminal, way: str) -> float:
    """Close the terminal or send the signal, and read until the process has ended; when that was begun."""
    since = time.monotonic()
    if way == CLOSED:
        hang_up(terminal)
    else:
        kill(terminal, SIGNALS[way])
    ended = wait(lambda: (way != CLOSED and terminal.read(0.01)) or not terminal.child.isalive(), 8)
    lab.verdict.expect(ended, "not ended", way)
    return since


def after(lab: Lab, terminal: Terminal, way: str, where: str) -> None:
    """The exit code, and the terminal as it was, where there still is one."""
    number = SIGNALS.get(way, signal.SIGHUP)
    if terminal.child.isalive():
        return
    code = terminal.child.exitstatus
    lab.verdict.expect(code == 128 + number, "exit code", f"{where}: {code}, signal {terminal.child.signalstatus}")
    if way != CLOSED:
        terminal.read()
        lab.check_restored(terminal, where)


def _idle(lab: Lab, way: str) -> None:
    where = f"{way}, screen, idle"
    terminal = lab.open()
    terminal.until(READY["screen"])
    settled(terminal)
    terminal.send("a draft")
    terminal.until("❯ a draft")
    lab.verdict.done["ends while idle"] += 1
    since = end(lab, terminal, way)
    lab.all_gone(since, where)
    after(lab, terminal, way, where)


def _deaf(lab: Lab) -> None:
    """SIGHUP was ignored at our start (nohup): the end of the terminal itself must be seen, without spinning."""
    where = "closed, screen, SIGHUP ignored"
    lab.stubborn()
    terminal = _deaf_terminal(lab)
    terminal.until(READY["screen"])
    terminal.send(f"{PROMPT}\r")
    terminal.until((lab.work / "started").exists)
    lab.verdict.done["ends in a run"] += 1
    since = end(lab, terminal, CLOSED)
    lab.all_gone(since, where)
    after(lab, terminal, CLOSED, where)
    lab.check_conversation(where)


def _deaf_terminal(lab: Lab) -> Terminal:
    code = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    import sys

    return lab.open_program("-c", code, sys.executable, *lab.command)


def _unread(lab: Lab) -> None:
    """Nobody reads what we write (a connection that hangs): SIGTERM ends us all the same."""
    where = "SIGTERM, screen, terminal not read"
    lab.script(turns=[{"text": "word " * 200_000, "pieces": 400, "delay": 0.001}])
    terminal = lab.open(columns=200, lines=60)
    terminal.until(READY["screen"])
    terminal.send(f"{PROMPT}\r")
    terminal.until("word word")
    time.sleep(4.0)  # nothing is read: the terminal's buffer and the screen's queue fill up
    lab.verdict.done["ends in a run"] += 1
    since = time.monotonic()
    kill(terminal, signal.SIGTERM)
    wait(lambda: not terminal.child.isalive(), 8)
    lab.verdict.expect(not terminal.child.isalive(), "not ended", where)
    lab.all_gone(since, where)
    lab.verdict.expect(terminal.child.exitstatus == 128 + signal.SIGTERM, "exit code", where)
    lab.verdict.expect(terminal.attributes() == terminal.before, "terminal", f"{where}: termios differ")
    lab.check_conversation(where)


def _under_a_shell(lab: Lab) -> None:
    """The terminal of a shell whose job we are is closed."""
    where = "closed, screen, a shell's job"
    lab.stubborn()
    terminal = lab.open_shell("bash")
    terminal.send(" ".join(["python", *lab.command]).replace("python", shell_python(), 1) + "\r")
    terminal.until(READY["screen"])
    terminal.send(f"{PROMPT}\r")
    terminal.until((lab.work / "started").exists)
    lab.verdict.done["ends in a run"] += 1
    since = end(lab, terminal, CLOSED)
    lab.all_gone(since, where)
    lab.check_conversation(where)


def _in_the_editor(lab: Lab) -> None:
    """SIGTERM while the person's editor has the terminal."""
    where = "SIGTERM, screen, in the editor"
    editor = lab.folder / "editor"
    editor.write_text("#!/bin/sh\ntouch opened\nsleep 307\n")
    editor.chmod(0o755)
    os.environ["EDITOR"] = str(editor)
    try:
        terminal = lab.open()
        terminal.until(READY["screen"])
        terminal.send("draft\x07")
        terminal.until((lab.work / "opened").exists)
    finally:
        del os.environ["EDITOR"]
    lab.verdict.done["ends while idle"] += 1
    since = end(lab, terminal, "SIGTERM")
    lab.all_gone(since, where)
    after(lab, terminal, "SIGTERM", where)


def shell_python() -> str:
    """The interpreter, for a command line."""
    import shlex
    import sys

    return shlex.quote(sys.executable)
