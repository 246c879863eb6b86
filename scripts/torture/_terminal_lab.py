"""The lab of the terminal torture: a scripted run with stubborn children, real terminals, and what is left."""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from letta_code.agent.history import History
from letta_code.core.events import StopReason
from letta_code.safety.vault import Secrets
from letta_code.store.database import Store
from tests.e2e.terminal import ROOT, Terminal

HERE = Path(__file__).resolve().parent
GONE_SECONDS = 3.0
PROMPT = "go-on-with-it"

# What letta-code turns on, with what turns it off again.
MODES = {
    "alternate screen": ("?1049h", "?1049l"),
    "hidden cursor": ("?25l", "?25h"),
    "bracketed paste": ("?2004h", "?2004l"),
    "focus reports": ("?1004h", "?1004l"),
    "mouse": ("?1000h", "?1000l"),
    "mouse movement": ("?1003h", "?1003l"),
    "no line wrap": ("?7l", "?7h"),
    "keyboard protocol": (">", "<u"),
}
FACES: dict[str, list[str]] = {
    "screen": [],
    "plain": ["--plain"],
    "print": ["-p", PROMPT, "--quiet"],
}

# Each must be 0.
WRONGS = {
    "left over": "processes that were there 3 s after the end was asked for",
    "not ended": "processes of ours that had to be killed",
    "exit code": "ends with another exit code than 128 + the signal's number",
    "terminal": "settings or modes of the terminal that were not as before",
    "screen": "screens that were not what a fresh drawing shows",
    "conversation": "conversations with a run or a call left open, or closed for another reason",
    "not resumed": "conversations that could not be gone on with",
    "not going on": "runs, timers or answers that a stop or a resize broke",
}


class Verdict:
    """Counts what was done (`done`) and what was wrong; `findings` says where, the first few of each kind."""

    def __init__(self) -> None:
        self.wrongs: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.findings: list[str] = []
        self.longest = 0.0  # seconds until the last process was gone

    def find(self, kind: str, where: str) -> None:
        """Count one wrong thing."""
        self.wrongs[kind] += 1
        if self.wrongs[kind] <= 5:
            self.findings.append(f"{kind}: {where}")

    def expect(self, so: bool, kind: str, where: str) -> None:
        """Count a wrong thing unless it is so."""
        if not so:
            self.find(kind, where)


class Lab:
    """One letta-code with a home, a folder and a script of its own; every process of it carries `mark`."""

    def __init__(self, scratch: Path, verdict: Verdict, plant: str = "") -> None:
        self.mark = f"torture-{uuid.uuid4().hex[:12]}"
        self.folder = scratch / self.mark
        self.work = self.folder / "work"
        self.work.mkdir(parents=True)
        self.home = self.folder / "home"
        self.home.mkdir(mode=0o700)
        self.verdict = verdict
        self._plant = plant
        self._terminals: list[Terminal] = []
        self.script(turns=[{"text": "Nothing to do."}])

    def script(self, *, turns: Sequence[dict[str, Any]]) -> None:
        """What the model says; once that has run out it says that it is all."""
        answers = [{"text": "That is all."}]
        (self.folder / "script.json").write_text(json.dumps({"turns": list(turns), "answers": answers}))

    def stubborn(self) -> None:
        """A script with a background shell, and a command whose children do not want to go."""
        deaf = "trap '' TERM HUP INT"
        background = f'{deaf}; (setsid sh -c "{deaf}; sleep 301" &) ; while :; do sleep 0.2; done'
        foreground = (
            f'{deaf}; (setsid sh -c "{deaf}; sleep 302" &); (env -i PATH=$PATH setsid sh -c '
            f'"{deaf}; sleep 303; : {self.mark}" &); sleep 304 & echo on > started; sleep 305; sleep 306'
        )
        self.script(
            turns=[
                {"text": "Two.", "tools": [{"name": "Bash", "args": {"command": background, "background": True}}]},
                {"text": "One.", "tools": [{"name": "Bash", "args": {"command": foreground}}]},
            ]
        )

    @property
    def command(self) -> list[str]:
        """letta-code as Python's arguments, without its own."""
        program = [str(HERE / "_terminal_planted.py"), self._plant] if self._plant else ["-m", "letta_code"]
        return [*program, "--model", f"scripted:{self.folder / 'script.json'}", "--mode", "full"]

    @property
    def environment(self) -> dict[str, str]:
        """What every process of ours has."""
        return {"LETTA_HOME": str(self.home), "PYTHONPATH": str(ROOT), "TORTURE": self.mark, "PS1": "SHELL$ "}

    def open(self, *arguments: str, columns: int = 100, lines: int = 30) -> Terminal:
        """letta-code as the first program of a terminal."""
        return self._terminal(*self.command, *arguments, columns=columns, lines=lines)

    def open_program(self, *argv: str) -> Terminal:
        """Any program of Python in a terminal."""
        return self._terminal(*argv, columns=100, lines=30)

    def open_shell(self, shell: str, columns: int = 100, lines: int = 30) -> Terminal:
        """A shell with job control in a terminal, at its prompt."""
        words = [shell, "--norc", "--noprofile", "-i"] if shell == "bash" else [shell, "-i"]
        terminal = self._terminal("-c", f"import os; os.execvp({shell!r}, {words!r})", columns=columns, lines=lines)
        terminal.until("SHELL$")
        return terminal

    def _terminal(self, *argv: str, columns: int, lines: int) -> Terminal:
        terminal = Terminal(*argv, cwd=self.work, env=self.environment, columns=columns, lines=lines)
        self._terminals.append(terminal)
        return terminal

    def close(self) -> None:
        """End everything of ours."""
        for terminal in self._terminals:
            terminal.close()
        for pid in self.processes():
            try:
                os.kill(pid, 9)
            except OSError:
                continue

    # ------------------------------------------------------------ what is looked at

    def processes(self) -> list[int]:
        """Every living process of ours: its environment, its arguments or its folder tells."""
        mark = self.mark.encode()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _carries(pid, mark)]

    def all_gone(self, since: float, where: str) -> None:
        """Nothing is left 3 s after a moment of `time.monotonic()`."""
        while self.processes() and time.monotonic() < since + GONE_SECONDS:
            time.sleep(0.02)
        left = self.processes()
        self.verdict.longest = max(self.verdict.longest, time.monotonic() - since)
        self.verdict.expect(not left, "left over", f"{where}: {', '.join(map(_named, left))}")

    def conversation(self) -> tuple[str, History]:
        """The only conversation, as the store has it."""
        home = self.home
        history = History()
        with Store.open(
            home / "letta.db", conversations_dir=home / "conversations", run_dir=home / "run", redactor=Secrets()
        ) as store:
            found = store.conversations.latest_for(str(self.work))
            if found is None:
                return "", history
            history.extend(stored.event for stored in store.read(found.id))
        return found.id, history

    def check_conversation(self, where: str, reason: str = StopReason.INTERRUPTED) -> None:
        """Nothing is open, the run ended for a reason, and the conversation can be gone on with."""
        name, history = self.conversation()
        balanced = history.run is None and not history.open_calls and not history.open_requests
        self.verdict.expect(balanced, "conversation", f"{where}: a run, a call or a request is open")
        ended = history.last_run.reason if history.last_run else "never begun"
        self.verdict.expect(ended == reason, "conversation", f"{where}: the run is {ended}, not {reason}")
        self.script(turns=[])
        terminal = self.open("-p", "And now?", "--quiet", "--resume", name)
        code = terminal.ended(30)
        said = terminal.text.strip()
        self.verdict.expect(code == 0 and "That is all." in said, "not resumed", f"{where}: {code}: {said[-200:]}")

    def check_restored(self, terminal: Terminal, where: str) -> None:
        """The terminal is as it was before."""
        self.verdict.expect(terminal.attributes() == terminal.before, "terminal", f"{where}: termios differ")
        for mode in modes_left_on(terminal.written):
            self.verdict.find("terminal", f"{where}: {mode} is left on")


def modes_left_on(written: bytes) -> list[str]:
    """The modes whose last word was on."""
    left: list[str] = []
    for name, (on, off) in MODES.items():
        was_on = max((found.start() for found in re.finditer(re.escape(f"\x1b[{on}".encode()), written)), default=-1)
        if was_on > written.rfind(f"\x1b[{off}".encode()):
            left.append(name)
    return left


def picture(terminal: Terminal) -> list[list[tuple[object, ...]]]:
    """Every cell of the screen with its look."""
    screen = terminal.screen
    return [[tuple(screen.buffer[y][x]) for x in range(screen.columns)] for y in range(screen.lines)]


def settled(terminal: Terminal, seconds: float = 10.0, still: float = 0.3) -> None:
    """Read until nothing was written for a while."""
    end = time.monotonic() + seconds
    quiet = time.monotonic()
    while time.monotonic() - quiet < still and time.monotonic() < end:
        before = len(terminal.written)
        terminal.read(0.05)
        if len(terminal.written) != before:
            quiet = time.monotonic()


def kill(terminal: Terminal, number: int) -> None:
    """Send a signal to the first program of a terminal."""
    pid: Any = terminal.child.pid
    os.kill(pid, number)


def hang_up(terminal: Terminal) -> None:
    """Close the other end of the terminal, as an emulator does whose window is closed."""
    child: Any = terminal.child
    child.ptyproc.fileobj.close()


def wait(what: Callable[[], object], seconds: float = 20.0) -> bool:
    """Wait until something is so; whether it was in time."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def state(pid: int) -> str:
    """A process's state as the kernel writes it (T: stopped), "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _carries(pid: int, mark: bytes) -> bool:
    if pid == os.getpid() or state(pid) in ("", "Z", "X"):
        return False
    for name in ("environ", "cmdline"):
        try:
            if mark in Path(f"/proc/{pid}/{name}").read_bytes():
                return True
        except OSError:
            continue
    try:
        return mark.decode() in os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False


def _named(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        words = ""
    return f"{pid} {words[:60]}"
