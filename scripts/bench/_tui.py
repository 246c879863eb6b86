"""The full screen measured from outside in a real pty, in turn with a minimal Textual app."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _measure import BENCH, LETTA, PYTHON, Table, clean_environment, median

ROUNDS = 9
IDLE_SECONDS = 10.0
PROMPT = b"sk for a change"  # of the placeholder; its first letter is under the cursor
KEYS = b"abcdefghijklmnopqrst"
TICK = os.sysconf("SC_CLK_TCK")


class Figures(NamedTuple):
    """Of one run: milliseconds to the prompt and from key to echo (at once, and settled), CPU percent, MB."""

    start: float
    early_key: float
    key: float
    idle: float
    memory: float


class Screen:
    """A program on a pty."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self.began = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            os.chdir(cwd)
            os.execve(argv[0], list(argv), dict(env))

    def until(self, wanted: bytes, seconds: float = 20.0) -> float:
        """Read until the bytes were written; the moment on the monotonic clock."""
        seen = b""
        end = time.monotonic() + seconds
        while wanted not in seen:
            if not select.select([self._fd], [], [], max(end - time.monotonic(), 0))[0]:
                raise SystemExit(f"never wrote {wanted!r}; the last was {seen[-300:]!r}")
            seen += os.read(self._fd, 65536)
        return time.monotonic()

    def quiet(self, seconds: float) -> None:
        """Read and forget for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._fd], [], [], left)[0]:
                os.read(self._fd, 65536)

    def echo(self, key: bytes) -> float:
        """Milliseconds from a key to its letter on the screen."""
        self.quiet(0.01)
        began = time.monotonic()
        os.write(self._fd, key)
        return (self.until(key) - began) * 1000

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self) -> float:
        """Resident memory in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576

    def end(self) -> None:
        """Kill it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._fd)


def measure(argv: Sequence[str], env: Mapping[str, str], cwd: Path, *, idle: bool) -> Figures:
    """One run of a program."""
    screen = Screen(argv, env, cwd)
    try:
        start = (screen.until(PROMPT) - screen.began) * 1000
        early = max(screen.echo(bytes([key])) for key in KEYS[:10])  # while imports still go on behind
        screen.quiet(2.0)
        keys: list[float] = []
        for key in KEYS[10:]:
            keys.append(screen.echo(bytes([key])))
            time.sleep(0.05)
        share = 0.0
        if idle:
            screen.quiet(1.0)
            before, began = screen.cpu(), time.monotonic()
            screen.quiet(IDLE_SECONDS)
            share = (screen.cpu() - before) / (time.monotonic() - began) * 100
        return Figures(start, early, median(keys), share, screen.memory())
    finally:
        screen.end()


def main(rounds: int) -> int:
    """Print the table; 0 when every gate held."""
    if not sys.platform.startswith("linux"):
        raise SystemExit("This bench reads /proc: it runs on Linux.")
    with tempfile.TemporaryDirectory(prefix="letta-bench-") as scratch:
        folder = Path(scratch)
        env = clean_environment(folder, TERM="xterm-256color", COLORTERM="truecolor")
        script = folder / "script.yaml"
        script.write_text("turns:\n  - text: Done.\n", encoding="utf-8")
        kinds = {
            "minimal": [PYTHON, "-I", str(BENCH / "_minimal_tui.py")],
            "letta": [LETTA, "--model", f"scripted:{script}"],
        }
        found: dict[str, list[Figures]] = {name: [] for name in kinds}
        for argv in kinds.values():
            measure(argv, env, folder, idle=False)  # byte code and disk caches
        for number in range(rounds):
            for name, argv in kinds.items():
                found[name].append(measure(argv, env, folder, idle=number < 3))
    return _tell(found["letta"], found["minimal"], rounds)


def _tell(letta: Sequence[Figures], minimal: Sequence[Figures], rounds: int) -> int:
    table = Table(f"the full screen in a real pty, medians of {rounds} rounds, in turn with a minimal Textual app")
    mine, least = median(one.start for one in letta), median(one.start for one in minimal)
    table.line("start to prompt on screen: minimal Textual app", f"{least:.0f} ms")
    table.line(
        "start to prompt on screen: letta-code",
        f"{mine:.0f} ms {mine / least:.2f}x",
        "at most 450 ms (goal 300)",
        mine <= 450,
    )
    mine, least = median(one.key for one in letta), median(one.key for one in minimal)
    table.line("key to echo: minimal Textual app", f"{least:.1f} ms")
    table.line("key to echo: letta-code", f"{mine:.1f} ms {mine / least:.2f}x", "(goal 1.1x)")
    early = median(one.early_key for one in letta)
    table.line("slowest of ten keys right after the first frame", f"{early:.0f} ms")
    mine, least = median(one.idle for one in letta[:3]), median(one.idle for one in minimal[:3])
    table.line("idle CPU: minimal Textual app", f"{least:.2f} %")
    table.line("idle CPU: letta-code", f"{mine:.2f} %", "at most minimal + 0.3", mine <= least + 0.3)
    mine, least = median(one.memory for one in letta), median(one.memory for one in minimal)
    table.line("memory: minimal Textual app", f"{least:.0f} MB")
    table.line("memory: letta-code", f"{mine:.0f} MB", "(goal 90)")
    return table.code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
