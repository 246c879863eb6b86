"""A real terminal for tests: a pty, a screen that pyte draws, and every byte that was written."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pexpect
import pyte

ROOT = Path(__file__).resolve().parents[2]


class Terminal:
    """A program in a terminal of its own."""

    def __init__(
        self, *argv: str, cwd: Path, env: Mapping[str, str] | None = None, columns: int = 80, lines: int = 24
    ) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.written = b""
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
        for name in ("COLUMNS", "LINES"):  # they would stand for the terminal's real size
            environment.pop(name, None)
        self.child = pexpect.spawn(
            sys.executable, list(argv), cwd=str(cwd), env=environment, dimensions=(lines, columns), timeout=30
        )
        self.child.delaybeforesend = None
        self.before = termios.tcgetattr(self.child.child_fd)

    def read(self, seconds: float = 0.05) -> None:
        """Take what was written in the next moment."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self.child.child_fd], [], [], left)
            if not ready:
                return
            try:
                data = os.read(self.child.child_fd, 65536)
            except OSError:
                return
            if not data:
                return
            self.written += data
            self.stream.feed(data)

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, wanted: Callable[[], object] | str, seconds: float = 20.0) -> None:
        """Read until a text stands on the screen, or something is so."""
        end = time.monotonic() + seconds
        while not (wanted in self.text if isinstance(wanted, str) else wanted()):
            assert time.monotonic() < end, f"not seen: {wanted}\n{self.text}"
            self.read()

    def send(self, text: str | bytes) -> None:
        """Type."""
        self.child.send(text)

    def ended(self, seconds: float = 15.0) -> int:
        """Wait for the program's end; its exit code, or minus its signal."""
        end = time.monotonic() + seconds
        while self.child.isalive():
            assert time.monotonic() < end, f"still running\n{self.text}"
            self.read()
        self.read()
        if self.child.signalstatus is not None:
            return -self.child.signalstatus
        return self.child.exitstatus or 0

    def attributes(self) -> list[object]:
        """The terminal's settings now."""
        return termios.tcgetattr(self.child.child_fd)

    def close(self) -> None:
        """End it whatever happens."""
        if self.child.isalive():
            self.child.kill(signal.SIGKILL)
        self.child.close(force=True)
