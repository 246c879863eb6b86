"""The real program from its start to the first request: what it refuses, and which addresses it connects to."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.terminal import ROOT, Terminal
from tests.fakes.model_server import ModelServer, Reply

# Loaded by Python itself at its start: writes down every address that the process or its children connect to.
TRAP = """
import os, sys

def heard(event, args, _file=os.environ["CONNECTED"]):
    if event in ("socket.connect", "socket.getaddrinfo"):
        with open(_file, "a") as file:
            file.write(f"{args[1] if event == 'socket.connect' else args[:2]}\\n")

sys.addaudithook(heard)
"""


class Start:
    """A home, a folder to work in, and what was connected to."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.home = folder / "home"
        trap = folder / "trap"
        for one in (self.work, self.home, trap):
            one.mkdir()
        (trap / "sitecustomize.py").write_text(TRAP)
        self._log = folder / "connected"
        keep = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
        self.env = {
            **keep,
            "HOME": str(self.home),
            "LETTA_HOME": str(self.home / "letta"),
            "PYTHONPATH": f"{trap}:{ROOT}",
            "CONNECTED": str(self._log),
        }
        self.terminals: list[Terminal] = []

    @property
    def connected(self) -> list[str]:
        """Addresses, in order, as `('127.0.0.1', 8000)`."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def use(self, server: ModelServer) -> None:
        """Make a server the model of the settings."""
        (self.home / "letta").mkdir()
        text = f"model: up/x\nendpoints:\n  up:\n    base_url: {server.url}/v1\n"
        (self.home / "letta" / "config.yaml").write_text(text)

    def screen(self, *words: str) -> Terminal:
        terminal = Terminal("-m", "letta_code", *words, cwd=self.work, env=self.env, columns=100, lines=30)
        self.terminals.append(terminal)
        return terminal


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    one = Start(tmp_path)
    yield one
    for terminal in one.terminals:
        terminal.close()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer((Reply(text="Hello from the model."),) * 5) as one:
        yield one


def a_moment(terminal: Terminal) -> None:
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        terminal.read(0.1)


def test_a_conversation_that_is_not_there_is_a_usage_error(start: Start) -> None:
    terminal = start.screen("--resume", "conv-nowhere")
    assert terminal.ended() == 2
    assert terminal.attributes() == terminal.before
    after = terminal.written.rpartition(b"\x1b[?1049l")[2].decode()
    assert "There is no conversation conv-nowhere." in after
    assert "Traceback" not in after


def test_the_screen_with_a_model_connects_to_it_alone_and_not_before_a_prompt(
    start: Start, server: ModelServer
) -> None:
    start.use(server)
    terminal = start.screen()
    terminal.until("up/x")
    a_moment(terminal)
    assert start.connected == []
    terminal.send("hi\r")
    terminal.until("Hello from the model.")
    assert set(start.connected) == {f"('127.0.0.1', {server.port})"}


def test_the_screen_without_a_model_connects_to_nothing_until_it_is_told_to_look(start: Start) -> None:
    terminal = start.screen()
    terminal.until("Look for local servers")
    a_moment(terminal)
    assert start.connected == []
    terminal.send("\r")
    terminal.until(lambda: start.connected)
    assert all(address.startswith("('127.0.0.1', ") for address in start.connected)


def test_headless_connects_to_its_model_alone(start: Start, server: ModelServer) -> None:
    start.use(server)
    argv = [sys.executable, "-m", "letta_code", "-p", "hi"]
    done = subprocess.run(argv, cwd=start.work, env=start.env, capture_output=True, text=True, timeout=60, check=False)
    assert "Hello from the model." in done.stdout
    assert start.connected == [f"('127.0.0.1', {server.port})"]
