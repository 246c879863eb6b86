"""Soak: one letta-code in a real terminal for thousands of turns; then its memory, descriptors, threads, CPU, files.

A turn is one request to the scripted model server over HTTP with the tool call that comes of it, so an hour of a
person's work passes in a minute: the slope of memory is given for 1,000 turns, and for an hour of a turn each 5 s.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import random
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))
sys.path.insert(0, str(HERE))

import pexpect  # noqa: E402 - after the path is set
from _soak_model import STEPS, SoakServer  # noqa: E402

from letta_code.core.events import ContextCompacted, Notice, RunFinished  # noqa: E402
from letta_code.store.database import Store  # noqa: E402

TURNS_AN_HOUR = 720
ENOUGH_TURNS = 2_000  # below, what the beginning takes is taken for growth: the slope says nothing
EVERY = 20  # messages between two looks
LOOKS = 4  # at least: two of them are in the second half
PAUSE = 240.0  # seconds that one message may take
TICK = os.sysconf("SC_CLK_TCK")
SIZES = ((80, 24), (120, 40), (40, 10), (200, 60), (100, 30))
PLANTS = ("none", "leak")
FACES = {
    "tui": (),
    "print": ("-p", "--input-format", "stream-json", "--output-format", "stream-json"),
}

# name → (what it is, the most that it may be)
GATES = {
    "memory": ("MB of slope an hour of 720 turns, in the second half", 10.0),
    "descriptors": ("more open files at the end than at the first look", 5.0),
    "threads": ("more threads at the end than at the first look", 2.0),
    "idle": ("percent of a CPU while nothing happens, after it all", 1.0),
    "log": ("MB in ~/.letta/logs", 20.0),
    "uncompacted": ("1 when the context was never compacted: then it was no such soak", 0.0),
    "failed": ("runs that did not end well", 0.0),
    "errors": ("notices of errors in the conversation", 0.0),
}


class Look(NamedTuple):
    """The process at one moment: MB of resident memory, open files, threads."""

    turns: int
    memory: float
    descriptors: int
    threads: int


class Screen:
    """letta-code in a terminal whose output is read and forgotten."""

    def __init__(self, argv: Sequence[str], cwd: Path, env: dict[str, str]) -> None:
        self.child = pexpect.spawn(argv[0], list(argv[1:]), cwd=str(cwd), env=env, dimensions=(30, 100), timeout=30)
        self.child.delaybeforesend = None
        self.pid: int = self.child.pid  # pyright: ignore[reportAttributeAccessIssue]
        self.seen = b""

    def read(self, seconds: float) -> None:
        """Take what is written in the next moment; the last 20 kB are kept."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.child.child_fd], [], [], left)[0]:
                return
            try:
                self.seen = (self.seen + os.read(self.child.child_fd, 65536))[-20_000:]
            except OSError:
                raise SystemExit(f"letta-code is gone; the last it wrote: {self.seen[-600:]!r}") from None

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self.child.child_fd, text.encode() + b"\r")

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size; the kernel tells the program."""
        fcntl.ioctl(self.child.child_fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def look(self, turns: int) -> Look:
        """What the kernel says of it."""
        proc = Path(f"/proc/{self.pid}")
        pages = int((proc / "statm").read_text().split()[1])
        return Look(
            turns=turns,
            memory=pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576,
            descriptors=len(os.listdir(proc / "fd")),
            threads=len(os.listdir(proc / "task")),
        )

    def idle(self, seconds: float) -> float:
        """Percent of a CPU over some seconds in which nothing happens."""
        self.read(2.0)
        before, began = self._cpu(), time.monotonic()
        while time.monotonic() < began + seconds:
            self.read(seconds / 10)
        return (self._cpu() - before) / (time.monotonic() - began) * 100

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def end(self) -> None:
        """End it as a person does, else at once."""
        self.child.kill(signal.SIGTERM)
        end = time.monotonic() + 10
        while self.child.isalive() and time.monotonic() < end:
            if select.select([self.child.child_fd], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):  # its terminal is closed
                    os.read(self.child.child_fd, 65536)
        self.child.close(force=True)


class Soak:
    """The whole of it."""

    def __init__(self, scratch: Path, chosen: argparse.Namespace) -> None:
        self.turns = max(int(chosen.turns), (LOOKS * chosen.every + 1) * STEPS)
        self.scratch = scratch
        self.home, self.work = scratch / "home", scratch / "work"
        for folder in (self.home, self.work):
            folder.mkdir(mode=0o700)
        self.looks: list[Look] = []
        self.figures: dict[str, float] = {}
        self.compactions = 0
        self.resizes = 0
        self.seconds = 0.0
        self._random = random.Random(chosen.seed)
        self._server = SoakServer(chosen.plant == "leak")
        self._face: str = chosen.face
        self._every: int = chosen.every
        self._idle: float = chosen.idle

    @property
    def served(self) -> int:
        """Turns so far."""
        return self._server.served

    def run(self) -> None:
        """Message after message until the turns are made; then the figures."""
        with self._server:
            screen = self._open()
            try:
                self._work(screen)
                self.figures["idle"] = screen.idle(self._idle)
            finally:
                screen.end()
        self._judge()

    def _open(self) -> Screen:
        (self.home / "config.yaml").write_text("context:\n  compact_at_tokens: 30000\n")
        env = {name: value for name, value in os.environ.items() if not name.startswith(("LETTA", "OPENAI"))}
        env |= {
            "LETTA_HOME": str(self.home),
            "PYTHONPATH": str(HERE.parent.parent),
            "OPENAI_BASE_URL": f"{self._server.url}/v1",
            "OPENAI_API_KEY": "none",
            "TERM": "xterm-256color",
        }
        argv = [sys.executable, "-m", "letta_code", "--model", "openai/fake", "--mode", "full", *FACES[self._face]]
        screen = Screen(argv, self.work, env)
        end = time.monotonic() + 20
        while self._face == "tui" and b"sk for a change" not in screen.seen:
            if time.monotonic() > end:
                raise SystemExit(f"no prompt came: {screen.seen[-600:]!r}")
            screen.read(0.1)
        return screen

    def _work(self, screen: Screen) -> None:
        began = time.monotonic()
        messages = 0
        self._message(screen, messages)  # the first opens the store
        with Store.open(self.home / "letta.db", run_dir=self.home / "run", read_only=True) as store:
            while self.served < self.turns:
                messages += 1
                self._message(screen, messages)
                self._until_idle(screen, store)
                if messages % self._every == 0:
                    self._resize(screen)
                    screen.read(0.5)
                    self.looks.append(screen.look(self.served))
                    print(f"  {self.served:>6} turns  {self.looks[-1].memory:6.1f} MB", file=sys.stderr, flush=True)
        self.seconds = time.monotonic() - began

    def _message(self, screen: Screen, number: int) -> None:
        before = self.served
        said = f"work on part {number}"
        line = {"type": "user", "text": said, "client_id": str(number)}
        screen.type(said if self._face == "tui" else json.dumps(line))
        end = time.monotonic() + PAUSE
        while self.served == before:
            if time.monotonic() > end:
                raise SystemExit(f"message {number} asked nothing of the model: {screen.seen[-600:]!r}")
            screen.read(0.02)

    def _until_idle(self, screen: Screen, store: Store) -> None:
        end = time.monotonic() + PAUSE
        while store.runs.open():
            if time.monotonic() > end:
                raise SystemExit(f"a run did not end: {screen.seen[-600:]!r}")
            screen.read(0.02)

    def _resize(self, screen: Screen) -> None:
        for _ in range(5):
            screen.resize(*self._random.choice(SIZES))
            screen.read(0.03)
            self.resizes += 1
        screen.resize(100, 30)

    def _judge(self) -> None:
        half = self.looks[len(self.looks) // 2 :]
        first, last = self.looks[0], self.looks[-1]
        self.figures["memory"] = slope(half) * TURNS_AN_HOUR
        self.figures["descriptors"] = last.descriptors - first.descriptors
        self.figures["threads"] = last.threads - first.threads
        self.figures["log"] = sum(file.stat().st_size for file in (self.home / "logs").glob("*")) / 1e6
        with Store.open(self.home / "letta.db", run_dir=self.home / "run", read_only=True) as store:
            (conversation,) = store.conversations.list()
            events = [stored.event for stored in store.read(conversation.id)]
        self.compactions = sum(isinstance(event, ContextCompacted) for event in events)
        ended = [event for event in events if isinstance(event, RunFinished)]
        self.figures["uncompacted"] = float(not self.compactions)
        self.figures["failed"] = sum(event.reason not in ("done", "interrupted") for event in ended)
        self.figures["errors"] = sum(isinstance(event, Notice) and event.level == "error" for event in events)

    @property
    def failures(self) -> list[str]:
        """The gates that did not hold, of those that can be judged."""
        return [name for name, (_, most) in GATES.items() if self.figures[name] > most and self._judged(name)]

    def _judged(self, name: str) -> bool:
        return name != "memory" or self.served >= ENOUGH_TURNS

    def table(self) -> str:
        """What was done and found."""
        first, last = self.looks[0], self.looks[-1]
        lines = [
            f"{self.served:,} turns in {self.seconds:.0f} s, {self.compactions} compactions, {self.resizes} resizes",
            f"memory {first.memory:.0f} MB at the first look, {last.memory:.0f} MB at the last; "
            f"{slope(self.looks[len(self.looks) // 2 :]) * 1000:+.2f} MB per 1,000 turns in the second half",
            "",
        ]
        for name, (what, most) in GATES.items():
            verdict = "TOO MUCH" if name in self.failures else "ok" if self._judged(name) else "too short to judge"
            lines.append(f"{name:<12} {self.figures[name]:>9.2f}   at most {most:<6g} {verdict:<9} {what}")
        if not self._judged("memory"):
            lines.append(f"The growth of memory is judged from {ENOUGH_TURNS:,} turns on.")
        return "\n".join(lines)


def slope(looks: Sequence[Look]) -> float:
    """MB a turn: the line that fits best."""
    xs, ys = [look.turns for look in looks], [look.memory for look in looks]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((one - x) ** 2 for one in xs)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / spread if spread else 0.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and print the table; 1 when a gate did not hold."""
    parser = argparse.ArgumentParser(prog="scripts/torture/soak", description=__doc__)
    parser.add_argument("--turns", type=int, default=5_000, help="requests to the model; at least four looks")
    parser.add_argument("--every", type=int, default=EVERY, help="messages (of ten turns) between two looks")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds in which nothing happens, at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--face", choices=FACES, default="tui", help="print: two-way JSON lines, without a screen")
    parser.add_argument("--plant", choices=PLANTS, default="none", help="a fault that must be found: huge answers")
    chosen = parser.parse_args(argv)
    if chosen.plant == "leak" and chosen.face != "tui":
        parser.error("the planted answers stay on the screen: --plant leak needs --face tui")
    if not sys.platform.startswith("linux"):
        raise SystemExit("This torture reads /proc: it runs on Linux.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what it started ends with it, and its folder goes
    with tempfile.TemporaryDirectory(prefix="letta-soak-") as scratch:
        soak = Soak(Path(scratch), chosen)
        soak.run()
    print(soak.table())
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
