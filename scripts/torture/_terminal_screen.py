"""Stops and sizes: Ctrl-Z and `fg` under real shells, and storms of resizes; the screen must be a fresh drawing's."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from _terminal_ends import READY, shell_python
from _terminal_lab import PROMPT, Lab, Verdict, modes_left_on, picture, settled, state, wait

from letta_code.core.events import StopReason
from tests.e2e.terminal import Terminal

SIZES = ((1, 1), (500, 200), (2, 40), (40, 2), (100, 30), (80, 24), (13, 5), (250, 70))
STORM_SECONDS = 5.0
IDLE_TEXT = "Some **words** and a list:\n\n- one\n- two\n\n```python\nprint(1)\n```\n"


def stops(scratch: Path, verdict: Verdict, plant: str, count: int) -> None:
    """Idle under bash (its job control) and dash (which leaves the terminal as it gets it), then during a run."""
    for shell, share in (("bash", count - count // 2), ("dash", count // 2)):
        for case in (_idle_stops, _run_stops):
            lab = Lab(scratch, verdict, plant)
            try:
                case(lab, shell, share)
            finally:
                lab.close()


def start_job(lab: Lab, shell: str, *, columns: int = 100, lines: int = 30) -> tuple[Terminal, int, list[object]]:
    """letta-code as the job of a shell: its terminal, its process and the terminal's settings at the shell's prompt."""
    terminal = lab.open_shell(shell, columns, lines)
    settled(terminal)
    attributes = terminal.attributes()
    terminal.screen.reset()
    terminal.send(" ".join([shell_python(), *lab.command]) + "\r")
    terminal.until(READY["screen"])
    pid = int(Path(f"/proc/{terminal.child.pid}/task/{terminal.child.pid}/children").read_text().split()[0])
    return terminal, pid, attributes


def stop(lab: Lab, terminal: Terminal, pid: int, attributes: list[object], where: str) -> bool:
    """Ctrl-Z; whether the process stands, the shell is back and the terminal is as it was."""
    terminal.screen.reset()
    terminal.send("\x1a")
    stood = wait(lambda: (terminal.read(0.02), state(pid) == "T")[1], 10)
    back = stood and wait(lambda: (terminal.read(0.02), "SHELL$" in terminal.text)[1], 10)
    lab.verdict.expect(back, "not going on", f"{where}: Ctrl-Z did not give the shell back (state {state(pid)})")
    if back:
        settled(terminal, still=0.05)
        lab.verdict.expect(terminal.attributes() == attributes, "terminal", f"{where}: termios differ while stopped")
    return back


def go_on(terminal: Terminal, wanted: str = READY["screen"]) -> bool:
    """`fg`, on an empty screen; whether the face came back."""
    terminal.screen.reset()
    terminal.send("fg\n")  # no Return: after a SIGSTOP only we would turn the keys back
    return wait(lambda: (terminal.read(0.02), wanted in terminal.text)[1], 10)


def _idle_stops(lab: Lab, shell: str, count: int) -> None:
    lab.script(turns=[{"text": IDLE_TEXT}])
    terminal, pid, attributes = start_job(lab, shell)
    terminal.send(f"{PROMPT}\r")
    terminal.until("print(1)")
    terminal.send("a draft")
    terminal.until("❯ a draft")
    settled(terminal, still=0.6)
    before = picture(terminal)
    for number in range(count):
        where = f"stop {number} idle under {shell}"
        lab.verdict.done["stops while idle"] += 1
        if not stop(lab, terminal, pid, attributes, where):
            return
        if not go_on(terminal, "a draft"):
            lab.verdict.find("screen", f"{where}: nothing was drawn after fg\n{terminal.text}")
            return
        same = wait(lambda: (settled(terminal, still=0.05), picture(terminal) == before)[1], 5)
        lab.verdict.expect(same, "screen", f"{where}: not the screen from before\n{_changed(terminal, before)}")
    _outside(lab, terminal, pid, attributes, shell)
    _leave(lab, terminal, attributes, f"the end after stops while idle under {shell}")


def _outside(lab: Lab, terminal: Terminal, pid: int, attributes: list[object], shell: str) -> None:
    """Stopped by another than itself (SIGTSTP, SIGSTOP), put into the background first, continued without a stop."""
    before = picture(terminal)
    for name, numbers in (
        ("SIGTSTP", [signal.SIGTSTP]),
        ("SIGSTOP", [signal.SIGSTOP]),
        ("SIGCONT alone", [signal.SIGCONT]),
    ):
        where = f"{name} from outside under {shell}"
        lab.verdict.done["stops from outside"] += 1
        terminal.screen.reset()
        os.kill(pid, numbers[0])
        if name != "SIGCONT alone":
            if not wait(lambda: (terminal.read(0.02), state(pid) == "T" and "SHELL$" in terminal.text)[1], 10):
                lab.verdict.find("not going on", f"{where}: it did not stop")
                return
            if name == "SIGTSTP":
                lab.verdict.expect(terminal.attributes() == attributes, "terminal", f"{where}: termios differ")
                terminal.send("bg\r")
                wait(lambda: (terminal.read(0.05), state(pid) == "T")[1], 5)
                settled(terminal)
            go_on(terminal, "a draft")
        same = wait(lambda: (settled(terminal, still=0.1), picture(terminal) == before)[1], 5)
        lab.verdict.expect(same, "screen", f"{where}: not the screen from before\n{terminal.text}")


def _run_stops(lab: Lab, shell: str, count: int) -> None:
    """A command ticks and an answer streams while it is stopped and continued; both come to their end."""
    pieces = max(60, count * 25)
    tick = "for i in $(seq 1 20); do echo $i >> ticks; sleep 0.1; done; touch ticked"
    lab.script(
        turns=[
            {"text": "I tick.", "tools": [{"name": "Bash", "args": {"command": tick}}]},
            {"text": "".join(f"w{n} " for n in range(pieces)) + "THE-END", "pieces": 5, "delay": 0.03},
        ]
    )
    terminal, pid, attributes = start_job(lab, shell)
    terminal.send(f"{PROMPT}\r")
    terminal.until((lab.work / "ticks").exists)
    for number in range(count):
        where = f"stop {number} in a run under {shell}"
        if "THE-END" in terminal.text:
            lab.verdict.find("not going on", f"{where}: the run was over before it was stopped")
            break
        lab.verdict.done["stops in a run"] += 1
        if not stop(lab, terminal, pid, attributes, where):
            return
        if not go_on(terminal, "ask ·" if "ask ·" in terminal.text else "full"):
            lab.verdict.find("screen", f"{where}: nothing was drawn after fg\n{terminal.text}")
            return
    came = wait(lambda: (terminal.read(0.05), "THE-END" in terminal.text)[1], 60 + pieces * 0.1)
    lab.verdict.expect(came, "not going on", f"the answer under {shell} did not come to its end")
    lab.verdict.expect((lab.work / "ticked").exists(), "not going on", f"the command under {shell} did not end")
    settled(terminal, still=0.6)
    before = picture(terminal)
    if stop(lab, terminal, pid, attributes, "after the run") and go_on(terminal, "THE-END"):
        same = wait(lambda: (settled(terminal, still=0.1), picture(terminal) == before)[1], 5)
        lab.verdict.expect(same, "screen", f"after the run under {shell}: not a fresh drawing")
    _leave(lab, terminal, attributes, f"the end after stops in a run under {shell}")
    lab.check_conversation(f"stops in a run under {shell}", StopReason.DONE)


def _leave(lab: Lab, terminal: Terminal, attributes: list[object], where: str) -> None:
    since = time.monotonic()
    terminal.screen.reset()
    terminal.send("\x03")
    settled(terminal, still=0.1)
    terminal.screen.reset()
    terminal.send("\x04")
    wait(lambda: (terminal.read(0.02), "SHELL$" in terminal.text)[1], 10)
    ours = terminal.written
    terminal.send("echo code=$?\n")
    ended = wait(lambda: (terminal.read(0.02), "code=0" in terminal.text)[1], 5)
    lab.verdict.expect(ended, "exit code", f"{where}: {terminal.text.strip()[-80:]}")
    settled(terminal)
    lab.verdict.expect(terminal.attributes() == attributes, "terminal", f"{where}: termios differ")
    for mode in modes_left_on(ours[: ours.rfind(b"\x1b[<u") + 60]):  # after it bash's own prompt comes, with modes
        lab.verdict.find("terminal", f"{where}: {mode} is left on")
    terminal.send("exit\r")
    wait(lambda: (terminal.read(0.02), not terminal.child.isalive())[1], 5)
    lab.all_gone(max(since, time.monotonic() - 1), where)


def sizes(scratch: Path, verdict: Verdict, plant: str, count: int, seed: int) -> None:
    """Storms of resizes, idle and during a run; after each the screen is a fresh drawing's of the same size."""
    for in_run in (False, True):
        lab = Lab(scratch, verdict, plant)
        try:
            _storm(lab, count, random.Random(seed), in_run=in_run)
        finally:
            lab.close()


def _storm(lab: Lab, count: int, rng: random.Random, *, in_run: bool) -> None:
    where = f"after {count} resizes {'in a run' if in_run else 'while idle'}"
    seconds = STORM_SECONDS * count / 200
    words = "".join(f"w{n} " for n in range(int(seconds * 60) if in_run else 40))
    lab.script(turns=[{"text": f"{IDLE_TEXT}\n{words} THE-END", "pieces": 5, "delay": 0.03 if in_run else 0.0}])
    terminal, pid, attributes = start_job(lab, "bash")
    terminal.send(f"{PROMPT}\r")
    terminal.until("Some words" if in_run else "THE-END")
    settled(terminal, seconds=0.3 if in_run else 5, still=0.6)
    before = picture(terminal)
    began = time.monotonic()
    for number in range(count):
        columns, lines = rng.choice(SIZES) if number % 3 else (rng.randint(1, 300), rng.randint(1, 100))
        _resize(terminal, columns, lines)
        lab.verdict.done["resizes"] += 1
        terminal.read(0)
        time.sleep(max(0.0, began + seconds * (number + 1) / count - time.monotonic()))
    _resize(terminal, 100, 30)
    _resize(terminal, 1, 1)  # there and back before anybody looks: the terminal has forgotten, the size has not changed
    _resize(terminal, 100, 30)
    lab.verdict.expect(state(pid) not in ("", "Z"), "not going on", f"{where}: it has ended\n{terminal.text}")
    came = wait(lambda: (terminal.read(0.05), "THE-END" in terminal.text)[1], 30)
    lab.verdict.expect(came, "screen", f"{where}: the end of the answer is not on the screen\n{terminal.text}")
    settled(terminal, still=0.8)
    grown = picture(terminal)
    if not in_run:
        lab.verdict.expect(grown == before, "screen", f"{where}: not the screen from before\n{terminal.text}")
    if stop(lab, terminal, pid, attributes, where) and go_on(terminal, "THE-END"):
        same = wait(lambda: (settled(terminal, still=0.2), picture(terminal) == grown)[1], 5)
        lab.verdict.expect(same, "screen", f"{where}: not a fresh drawing\n{terminal.text}")
    _leave(lab, terminal, attributes, where)


def _resize(terminal: Terminal, columns: int, lines: int) -> None:
    terminal.screen.resize(lines, columns)
    terminal.child.setwinsize(lines, columns)


def _changed(terminal: Terminal, before: list[list[tuple[object, ...]]]) -> str:
    now = picture(terminal)
    rows = [y for y, row in enumerate(now) if row != before[y]]
    return f"rows {rows}\n{terminal.text}"
