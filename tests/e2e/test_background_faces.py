"""Faces and runs that go on elsewhere, with real processes in real terminals: watching, taking over, the background."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from letta_code.core import events as ev
from letta_code.store.database import Store
from tests.e2e.terminal import ROOT, Terminal
from tests.fakes.redaction import NoSecrets

READY = "Ask for a change"


class House:
    """A folder, a home, a script, and terminals on them.

    The script's commands wait for a file each, so that the tests decide when a step ends.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self.work = folder / "work"
        self.work.mkdir()
        self._home = home
        self._terminals: list[Terminal] = []
        self._script = folder / "script.json"
        turns = [
            {"text": f"Step {n} begins.", "tools": [{"name": "Bash", "args": {"command": _waiting(n)}}]} for n in (1, 2)
        ]
        self._script.write_text(
            json.dumps({"turns": [*turns, {"text": "All is done."}], "answers": [{"text": "Yes."}]})
        )

    def open(self, *argv: str) -> Terminal:
        """letta-code in a terminal of its own."""
        env = {"PYTHONPATH": str(ROOT)}
        terminal = Terminal("-m", "letta_code", *argv, cwd=self.work, env=env, columns=100, lines=30)
        self._terminals.append(terminal)
        return terminal

    def owner(self, *argv: str) -> Terminal:
        """A screen whose run is in its first step."""
        terminal = self.open("--model", f"scripted:{self._script}", "--mode", "full", *argv)
        terminal.until(READY)
        terminal.send("go\r")
        self.begun(1, terminal)
        return terminal

    def watcher(self, *argv: str) -> Terminal:
        """Another terminal that watches."""
        terminal = self.open("--resume", self.conversation, "--mode", "full", *argv)
        terminal.until("watching: process")
        return terminal

    def begun(self, step: int, *terminals: Terminal) -> None:
        """Wait for a step's command."""
        path = self.work / f"begun{step}"
        terminals[0].until(path.exists)

    def finish(self, step: int) -> None:
        """Let a step's command end."""
        (self.work / f"end{step}").touch()

    @property
    def store(self) -> Store:
        return Store.open(
            self._home / "letta.db",
            conversations_dir=self._home / "conversations",
            run_dir=self._home / "run",
            redactor=NoSecrets(),
        )

    @property
    def conversation(self) -> str:
        """The id of the only conversation."""
        with self.store as store:
            found = store.conversations.latest_for(str(self.work))
        assert found is not None
        return found.id

    def events(self, kind: type) -> list[ev.Event]:
        """The stored events of a kind."""
        conversation = self.conversation
        with self.store as store:
            return [one.event for one in store.read(conversation) if isinstance(one.event, kind)]

    def until(self, wanted: Callable[[], object], seconds: float = 30.0) -> None:
        """Wait for something that no terminal shows."""
        end = time.monotonic() + seconds
        while not wanted():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)

    def close(self) -> None:
        """End what is left."""
        for step in (1, 2):
            self.finish(step)
        for terminal in self._terminals:
            terminal.close()
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{name}/cwd") == str(self.work) and int(name) != os.getpid():
                    os.kill(int(name), signal.SIGKILL)
            except OSError:
                continue


def _waiting(step: int) -> str:
    return f"touch begun{step}; until test -e end{step}; do sleep 0.05; done; echo step {step} was done"


@pytest.fixture
def house(tmp_path: Path, letta_home: Path) -> Iterator[House]:
    made = House(tmp_path, letta_home)
    yield made
    made.close()


def test_a_second_terminal_watches_and_the_owner_is_killed(house: House) -> None:
    owner = house.owner()
    watcher = house.watcher()
    watcher.until("Step 1 begins.")
    watcher.send("a draft")
    watcher.until("❯ a draft")
    owner.child.kill(signal.SIGKILL)
    watcher.until("was cut off")
    watcher.until("is yours now")
    watcher.until(lambda: "watching" not in watcher.text)
    assert "❯ a draft" in watcher.text, watcher.text
    assert watcher.text.count("Step 1 begins.") == 1
    assert [end.reason for end in house.events(ev.RunFinished)] == ["orphaned"]  # type: ignore[attr-defined]


def test_a_run_that_was_cut_off_is_gone_on_with_by_enter(house: House) -> None:
    owner = house.owner()
    owner.child.kill(signal.SIGKILL)
    again = house.open("--resume", house.conversation, "--model", f"scripted:{house._script}", "--mode", "full")
    again.until("Enter goes on with it")
    again.send("\r")
    house.begun(2, again)
    house.finish(2)
    again.until("All is done.")


def test_a_run_is_taken_over_while_its_command_runs(house: House) -> None:
    owner = house.owner()
    watcher = house.watcher()
    watcher.until("Step 1 begins.")
    watcher.send("/takeover\r")
    watcher.until("comes over to this terminal when this step ends")
    owner.until("goes to another process when this step ends")
    house.finish(1)
    watcher.until("yours now")
    owner.until("watching: process")
    owner.until("Step 2 begins.")
    house.begun(2, watcher)
    house.finish(2)
    for terminal in (watcher, owner):
        terminal.until("All is done.")
        terminal.until("step 2 was done")
        assert terminal.text.count("    step 1 was done") == 1, terminal.text
    assert len(house.events(ev.RunStarted)) == len(house.events(ev.RunFinished)) == 1
    owner.send("one more thing\r")  # the watcher's words reach the owner
    watcher.until("one more thing")
    owner.until("Yes.")


def test_the_background_is_offered_and_followed(house: House) -> None:
    owner = house.owner()
    owner.send("\x04")
    owner.until("Stop and exit")
    owner.send("\r")
    owner.until("moves to the background when this step ends")
    house.finish(1)
    assert owner.ended() == 0
    owner.until("letta-code follow run-")
    house.begun(2, owner)
    found = re.search(r"letta-code follow (run-[a-z0-9]+)", owner.text)
    assert found
    run_id = found[1]
    follower = house.open("follow", run_id)
    follower.until("(worker)")
    follower.until("Step 2 begins.")
    house.finish(2)
    follower.until("All is done.")
    follower.until("is yours now")
    assert len(house.events(ev.RunStarted)) == len(house.events(ev.RunFinished)) == 1


def test_who_would_rather_stay_stays(house: House) -> None:
    owner = house.owner()
    owner.send("/background\r")
    owner.until("Esc: stay")
    owner.send("\x1b")
    owner.until("It stays here.")
    house.finish(1)
    house.begun(2, owner)
    house.finish(2)
    owner.until("All is done.")
    assert not house.events(ev.RunMoved)


@pytest.mark.parametrize("keys", ["2", "\x03"])
def test_stop_and_exit_stops_the_run(house: House, keys: str) -> None:
    owner = house.owner()
    owner.send("/exit\r")
    owner.until("Leave it how?")
    owner.send(keys)
    assert owner.ended() == 0
    owner.until(f"letta-code --resume {house.conversation}")
    assert [end.reason for end in house.events(ev.RunFinished)] == ["interrupted"]  # type: ignore[attr-defined]


def test_the_plain_face_watches_takes_over_and_leaves(house: House) -> None:
    owner = house.owner()
    plain = house.open("--plain", "--resume", house.conversation, "--mode", "full")
    plain.until("You watch process")
    plain.until("* ")
    plain.send("\x03")
    plain.until("1. Leave; it goes on there")
    plain.send("1\r")
    assert plain.ended() == 0
    plain.until("Come back: letta-code follow run-")
    house.finish(1)
    house.begun(2, owner)
    again = house.open("follow", "last", "--plain")
    again.until("You watch process")
    owner.child.kill(signal.SIGKILL)
    again.until("is yours now")
    again.until("was cut off")
    again.send("/continue\r")
    again.until("All is done.")
    again.send("/exit\r")
    assert again.ended() == 0
    assert [end.reason for end in house.events(ev.RunFinished)] == ["orphaned", "done"]  # type: ignore[attr-defined]


def test_the_start_tells_of_a_run_in_the_background_and_its_question_is_answered_from_here(house: House) -> None:
    begun = house.open("run", "--background", "--model", f"scripted:{house._script}", "--mode", "ask", "go")
    assert begun.ended() == 0
    screen = house.open("--model", f"scripted:{house._script}")
    screen.until("1 run in the background")
    screen.send("/runs\r")
    screen.until("Follow which run?")
    screen.until("waits for you")
    screen.send("\r")
    screen.until("watching: process")
    screen.until("Yes, this once")
    time.sleep(0.6)  # the card ignores keys that were meant for something else
    screen.send("y")
    house.begun(1, screen)


def test_a_worker_is_killed_and_one_of_two_watchers_goes_on_with_its_run(house: House) -> None:
    begun = house.open("run", "--background", "--model", f"scripted:{house._script}", "--mode", "full", "go")
    assert begun.ended() == 0
    watchers = [house.watcher(), house.watcher()]
    for watcher in watchers:
        watcher.until("(worker)")
    house.begun(1, watchers[0])
    found = re.search(r"watching: process (\d+) \(worker\)", watchers[0].text)
    assert found
    os.kill(int(found[1]), signal.SIGKILL)
    house.begun(2, *watchers)
    house.finish(2)
    for watcher in watchers:
        watcher.until("All is done.")
    told = [("is yours now" in watcher.text, "watching: process" in watcher.text) for watcher in watchers]
    assert sorted(told) == [(False, True), (True, False)]
    assert len(house.events(ev.RunFinished)) == 1
    assert [one.reason for one in house.events(ev.RunResumed)] == ["moved", "died"]  # type: ignore[attr-defined]
