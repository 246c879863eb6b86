"""The terminal goes away during a run: with `on_hangup: background` the run ends by itself, else it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from letta_code.agent.history import History
from letta_code.core import events as ev
from letta_code.store.database import Store
from tests.e2e.terminal import ROOT, Terminal
from tests.fakes.redaction import NoSecrets

READY = {"screen": "Ask for a change", "plain": "\n>"}
FLAGS = {"screen": [], "plain": ["--plain"], "print": ["-p", "go", "--quiet"]}
DEAF = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
WORK = "echo on > started; sleep 2; echo done > written"


class Hangup:
    """A run in a terminal whose other end can be closed."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.work = folder / "work"
        self.work.mkdir()
        self._home = home
        self.terminal: Terminal | None = None

    def begin(self, face: str, on_hangup: str, *, mode: str = "full", deaf: bool = False) -> Terminal:
        """letta-code with its command running, or (in mode ask) with its question on the screen."""
        turns = [
            {"text": "I work.", "tools": [{"name": "Bash", "args": {"command": WORK}}]},
            {"text": "All is done."},
        ]
        script = self.work.parent / "script.json"
        script.write_text(json.dumps({"turns": turns}))
        command = ["-m", "letta_code", "--model", f"scripted:{script}", "--mode", mode, *FLAGS[face]]
        if deaf:
            command = ["-c", DEAF, sys.executable, *command]
        env = {"PYTHONPATH": str(ROOT), "LETTA_ON_HANGUP": on_hangup}
        self.terminal = terminal = Terminal(*command, cwd=self.work, env=env, columns=100, lines=30)
        if face != "print":
            terminal.until(READY[face])
            terminal.send("go\r")
        if mode == "full":
            terminal.until((self.work / "started").exists)
        return terminal

    def hang_up(self) -> None:
        """Close the terminal's window."""
        assert self.terminal is not None
        self.terminal.child.ptyproc.fileobj.close()

    def ended(self, seconds: float) -> int:
        """The exit code, when the process has ended in time."""
        assert self.terminal is not None
        end = time.monotonic() + seconds
        while self.terminal.child.isalive():
            assert time.monotonic() < end, "still there"
            time.sleep(0.02)
        assert self.terminal.child.signalstatus is None
        return self.terminal.child.exitstatus or 0

    def until(self, wanted: Callable[[], object], seconds: float = 30.0) -> None:
        """Wait for something that no terminal shows."""
        end = time.monotonic() + seconds
        while not wanted():
            assert time.monotonic() < end, "waited in vain"
            if self.terminal is not None and not self.terminal.child.ptyproc.fileobj.closed:  # type: ignore[attr-defined]
                self.terminal.read()
            time.sleep(0.05)

    def kill(self) -> None:
        """End the process with nothing to say."""
        assert self.terminal is not None
        child = self.terminal.child
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        self.until(lambda: not child.isalive())

    def revive(self) -> None:
        """What the next letta-code does by itself."""
        run = [sys.executable, "-m", "letta_code", "runs"]
        subprocess.run(run, cwd=self.work, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True)

    @property
    def store(self) -> Store:
        """The store of the home."""
        home = self._home
        return Store.open(
            home / "letta.db", conversations_dir=home / "conversations", run_dir=home / "run", redactor=NoSecrets()
        )

    @property
    def background(self) -> bool:
        """Whether an open run counts as one in the background."""
        with self.store as store:
            return any(run.background for run in store.runs.open())

    @property
    def events(self) -> list[ev.Event]:
        """The whole journal."""
        with self.store as store:
            found = store.conversations.latest_for(str(self.work))
            assert found is not None
            return [stored.event for stored in store.read(found.id)]

    @property
    def runs(self) -> list[ev.Event]:
        """What became of the run."""
        kinds = ev.RunStarted | ev.RunDetached | ev.RunMoved | ev.RunResumed | ev.RunFinished
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def history(self) -> History:
        """The conversation as the store has it."""
        history = History()
        history.extend(self.events)
        return history

    @property
    def log(self) -> str:
        """What was logged."""
        path = self._home / "logs" / "letta-code.log"
        return path.read_text() if path.exists() else ""

    @property
    def children(self) -> list[int]:
        """Living processes that work in our folder."""
        found: list[int] = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{name}/cwd").startswith(str(self.work)) and int(name) != os.getpid():
                    found.append(int(name))
            except OSError:
                continue
        return found


@pytest.fixture
def hangup(tmp_path: Path, letta_home: Path) -> Iterator[Hangup]:
    made = Hangup(tmp_path, letta_home)
    yield made
    if made.terminal is not None:
        made.terminal.close()
    for pid in made.children:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("face", ["screen", "plain", "print"])
def test_in_the_background_the_run_comes_to_its_end(hangup: Hangup, face: str) -> None:
    hangup.begin(face, "background")
    hangup.hang_up()
    assert hangup.ended(20) == 0
    assert (hangup.work / "written").read_text() == "done\n"
    history = hangup.history
    assert history.last_run is not None
    assert history.last_run.reason == "done"
    assert not history.open_calls
    assert hangup.log.count("the terminal is gone") == 1
    assert "Traceback" not in hangup.log
    assert not hangup.children


@pytest.mark.parametrize("face", ["screen", "plain", "print"])
def test_by_default_the_run_is_interrupted(hangup: Hangup, face: str) -> None:
    hangup.begin(face, "stop")
    hangup.hang_up()
    assert hangup.ended(3) == 128 + signal.SIGHUP
    history = hangup.history
    assert history.last_run is not None
    assert history.last_run.reason == "interrupted"
    assert not history.open_calls
    assert not hangup.children
    assert not (hangup.work / "written").exists()


def test_the_end_of_the_terminal_is_seen_where_sighup_is_ignored(hangup: Hangup) -> None:
    hangup.begin("screen", "background", deaf=True)
    hangup.hang_up()
    assert hangup.ended(20) == 0
    assert (hangup.work / "written").exists()
    assert hangup.history.last_run is not None


@pytest.mark.parametrize("face", ["screen", "plain"])
def test_a_question_waits_without_a_terminal(hangup: Hangup, face: str) -> None:
    """Nobody has answered it: it is neither refused nor is the process gone, until a signal ends it."""
    terminal = hangup.begin(face, "background", mode="ask")
    terminal.until("1")
    terminal.until(lambda: "sleep 2" in terminal.text)
    terminal.read(0.5)
    hangup.hang_up()
    terminal_pid = terminal.child.pid
    deadline = time.monotonic() + 10
    while "the terminal is gone" not in hangup.log:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert hangup.history.open_requests
    assert terminal.child.isalive()
    os.kill(terminal_pid, signal.SIGTERM)
    assert hangup.ended(3) == 128 + signal.SIGTERM
    assert not hangup.history.open_requests
    assert not (hangup.work / "started").exists()


@pytest.mark.parametrize("face", ["screen", "plain"])
def test_without_a_run_it_ends_whatever_the_setting_says(hangup: Hangup, face: str) -> None:
    command = ["-m", "letta_code", *FLAGS[face]]
    env = {"PYTHONPATH": str(ROOT), "LETTA_ON_HANGUP": "background"}
    hangup.terminal = Terminal(*command, cwd=hangup.work, env=env, columns=100, lines=30)
    hangup.terminal.until(READY[face])
    hangup.hang_up()
    assert hangup.ended(3) == 128 + signal.SIGHUP


def test_a_run_that_the_terminal_left_is_a_background_run_at_once(hangup: Hangup) -> None:
    hangup.begin("screen", "background")
    assert not hangup.background
    hangup.hang_up()
    hangup.until(lambda: hangup.background)
    hangup.kill()
    hangup.revive()
    hangup.until(lambda: (run := hangup.history.last_run) is not None and run.reason == "done")


@pytest.mark.parametrize("face", ["plain", "print"])
def test_in_every_face_it_is_a_background_run(hangup: Hangup, face: str) -> None:
    hangup.begin(face, "background")
    hangup.hang_up()
    hangup.until(lambda: hangup.background)
    assert hangup.ended(20) == 0


@pytest.mark.parametrize("on_hangup", ["stop", "background"])
def test_the_word_background_stands_whatever_becomes_of_the_terminal(hangup: Hangup, on_hangup: str) -> None:
    terminal = hangup.begin("screen", on_hangup)
    terminal.send("/exit\r")
    terminal.until("Leave it how?")
    terminal.send("1")
    terminal.until("moves to the background")
    hangup.hang_up()
    assert hangup.ended(20) == 0
    assert (hangup.work / "written").read_text() == "done\n"
    hangup.until(lambda: (run := hangup.history.last_run) is not None and run.reason == "done")
    assert [type(event).__name__ for event in hangup.runs] == [
        "RunStarted", "RunDetached", "RunMoved", "RunResumed", "RunFinished"
    ]  # fmt: skip


def test_the_word_background_outlives_the_process(hangup: Hangup) -> None:
    terminal = hangup.begin("screen", "stop")
    terminal.send("/background\r")
    terminal.until("moves to the background")
    hangup.until(lambda: hangup.background)
    hangup.kill()
    hangup.revive()
    hangup.until(lambda: (run := hangup.history.last_run) is not None and run.reason == "done")
    assert [event.reason for event in hangup.runs if isinstance(event, ev.RunResumed)] == ["died"]


def test_who_stays_after_all_has_no_background_run(hangup: Hangup) -> None:
    terminal = hangup.begin("screen", "stop")
    terminal.send("/background\r")
    hangup.until(lambda: hangup.background)
    terminal.send("\x1b")
    hangup.until(lambda: not hangup.background)
    hangup.hang_up()
    assert hangup.ended(3) == 128 + signal.SIGHUP
    assert hangup.history.last_run is not None
    assert hangup.history.last_run.reason == "interrupted"
