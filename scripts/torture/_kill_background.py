"""Conversations in the background: begun, their owners killed, gone on with by others, followed, answered, moved."""

from __future__ import annotations

import json
import random
import threading
import time

from _kill_processes import Remains, kill, launcher_of, wait_gone
from _kill_watch import Follower, Watch
from _life import Life, Setup, left_line, live
from _verdict import Verdict, check_asked, check_effects, check_ended, check_heard, check_mirror, check_store

from letta_code.core.requests import Answer, Approve, Deny
from letta_code.store.runs import Run

LIVES = 5  # an owner is killed at most so often: the fourth death is one too many for the run


class Pace:
    """How long `run --background` takes here, as of late."""

    seconds = 0.8

    def took(self, seconds: float) -> None:
        """It was not killed and took so long."""
        self.seconds = 0.7 * self.seconds + 0.3 * seconds


class Background:
    """One conversation, from its beginning in the background to its end; `deaths` are those of owners."""

    def __init__(self, watch: Watch, verdict: Verdict, remains: Remains, rng: random.Random, setup: Setup) -> None:
        self.kills = 0
        self.deaths = 0
        self.conversation = ""
        self.run_id = ""
        self._watch = watch
        self._verdict = verdict
        self._remains = remains
        self._rng = rng
        self._setup = setup
        self._folder = setup.folder
        self._aims = [*setup.aims]

    # ------------------------------------------------------------ beginnings

    def begin(self, pace: Pace, *, asked: bool = False) -> bool:
        """`run --background`, whose starter may be killed; False when nothing was begun."""
        arguments = ["run", "--background", "--json", "Go on with the task.", "--model", self._setup.model]
        arguments += [] if asked else ["--allow", "Bash", "--allow", "Write", "--allow", "Edit"]
        arguments += ["--mode", "ask" if asked else "auto"]
        began = time.monotonic()
        starter = self._setup.start(arguments)
        timer: threading.Timer | None = None
        if not self._setup.plant and self._rng.random() < 0.3:
            timer = threading.Timer(
                self._rng.uniform(0.3, 1.1) * pace.seconds, lambda: self._killed_starter(starter.pid)
            )
            timer.start()
        out, errors = starter.communicate()
        if timer:
            timer.cancel()
            timer.join()
        if starter.returncode == -9:
            self.kills += 1
        elif starter.returncode:
            self._verdict.find("not finished", f"{self._folder.name}: not begun: {errors.decode()[-300:]}")
        else:
            pace.took(time.monotonic() - began)
        told = json.loads(out) if out.endswith(b"\n") else {}
        return self._begun(told)

    def _killed_starter(self, pid: int) -> None:
        self._remains.add(f"{self._folder.name} starter", kill(pid))

    def _begun(self, told: dict[str, str]) -> bool:
        """What was told of the beginning is kept; what was not told may be."""
        self.conversation = self._watch.conversation_in(self._folder)
        run = self._watch.run_of(self.conversation) if self.conversation else None
        if told:
            self._verdict.heard(1)
            if run is None or (run.id, self.conversation) != (told["run_id"], told["conversation_id"]):
                self._verdict.find("lost", f"{self._folder.name}: {told} was told, {run} is kept")
        if run is None:
            self._verdict.killed("before anything was told")
            return False
        self.run_id = run.id
        return True

    def begin_moved(self, *, seconds: float) -> bool:
        """A run in the foreground that a face moves to the background, while one of them dies; False: it is over."""
        lives: list[Life] = []
        begun = threading.Event()
        first = threading.Thread(
            target=lambda: lives.append(live(self._setup, "", None, lambda process: begun.set())), daemon=True
        )
        first.start()
        begun.wait(60)
        self._watch.until(lambda: bool(self._watch.conversation_in(self._folder)), 20)
        self.conversation = self._watch.conversation_in(self._folder)
        if not self.conversation:
            self._verdict.find("not finished", f"{self._folder.name}: no conversation was begun")
            return False
        time.sleep(self._rng.uniform(0.0, seconds / 2))
        timer: threading.Timer | None = None
        if self._rng.random() < 0.6 and (pid := self._watch.owner(self.conversation)):
            timer = threading.Timer(self._rng.uniform(0.0, 0.3), lambda: self._kill_owner(pid))
            timer.start()
        moved = self._watch.move(self.conversation, self._folder, dies=self._rng.random() < 0.4)
        if timer:
            timer.join()
        first.join(60)
        if not lives:
            self._verdict.find("wedged", f"{self.conversation}: the first owner neither ended nor went on")
            return False
        return self._after_moving(lives[0], moved)

    def _after_moving(self, life: Life, moved: str) -> bool:
        self._verdict.heard(len(life.events))
        check_store(self._verdict, self._watch.home, self.conversation, life.events, killed=life.killed)
        run = self._watch.run_of(self.conversation)
        if run is None:
            return False
        if moved and moved != run.id:
            self._verdict.find("lost", f"{self.conversation}: {moved} was moved, {run.id} is there")
        if moved and not run.background:
            self._verdict.find("lost", f"{self.conversation}: {moved} was moved and is not in the background")
        self.run_id = run.id
        if run.is_open and run.background:
            return True
        last = live(self._setup, self.conversation, None)  # it was never given away: a face goes on with it
        if last.code != 0:
            self._verdict.find("not finished", f"{self.conversation}: exit code {last.code}: {last.errors[-300:]}")
        self._ended(check_run=False)
        return False

    # ------------------------------------------------------------ kills

    def torment(self, kills: int, *, seconds: float, followers: int = 0, asked: bool = False) -> None:
        """Kill the owner a few times, let the run come to its end, and look at everything."""
        following = [
            Follower(self._watch, self.conversation, self._folder, late=self._rng.uniform(0, seconds))
            for _ in range(followers)
        ]
        for one in following:
            one.start()
        lives = min(kills, len(self._aims) or self._rng.randint(2, LIVES))
        for _ in range(lives):
            if not self._goes_on() or not self._one_death(seconds, asked=asked):
                break
        self._to_the_end(asked=asked)
        for one in following:
            one.stop()
            if one.error:
                self._verdict.find("missed", f"{self.conversation}: {one.error}")
            self._verdict.heard(len(one.heard))
            check_heard(self._verdict, self.conversation, one.heard, self._watch.events(self.conversation))
        self._ended(check_run=True)
        if asked:
            check_asked(self._verdict, self._folder, self._watch.events(self.conversation))

    def _run(self) -> Run | None:
        return self._watch.store.runs.get(self.run_id)

    @property
    def _open(self) -> bool:
        run = self._run()
        return run is not None and run.is_open

    def _one_death(self, seconds: float, *, asked: bool) -> bool:
        """Wait for a random moment, then kill; False when the run had ended."""
        if asked:
            self._answer_a_few()
        self._wait(seconds)
        pid = self._watch.owner(self.conversation)
        if not pid or not self._open:
            return False
        launcher = launcher_of(pid) if not self._setup.plant and self._rng.random() < 0.1 else None
        if launcher is not None:  # the commands lose the process that owns them; the run must go on
            self.kills += 1
            self._verdict.killed("the launcher of its commands")
            self._remains.add(f"{self.conversation} without its launcher", kill(launcher.pid))
            return True
        self._kill_owner(pid)
        check_store(self._verdict, self._watch.home, self.conversation, {}, killed=True)
        return True

    def _wait(self, seconds: float) -> None:
        """For the next moment to kill."""
        if self._aims:
            aim = self._aims.pop(0)
            self._watch.until(lambda: left_line(self._folder, aim) or not self._open, self._setup.patience)
        elif self._rng.random() < 0.5:
            time.sleep(self._rng.uniform(0.0, seconds))
        else:
            seq = self._watch.store.last_seq(self.conversation) + self._rng.randint(1, 12)
            self._watch.until(lambda: self._watch.store.last_seq(self.conversation) >= seq or not self._open, seconds)
            time.sleep(self._rng.uniform(0.0, 0.004))

    def _kill_owner(self, pid: int) -> None:
        left = kill(pid)
        if not wait_gone(pid):
            self._verdict.find("wedged", f"{self.conversation}: process {pid} survived SIGKILL")
        self.kills += 1
        self.deaths += 1
        self._remains.add(self.conversation, left)

    def _answer_a_few(self) -> None:
        for _ in range(self._rng.randint(0, 2)):
            if not self._answer():
                return

    def _answer(self) -> bool:
        """Answer what is asked, once it is; False when nothing is asked any more."""
        history, patience = self._watch.history, self._setup.patience
        self._watch.until(lambda: not self._open or bool(history(self.conversation).open_requests), patience)
        open_requests = [*history(self.conversation).open_requests]
        if not open_requests or not self._open:
            return False
        answer: Answer = Approve() if self._rng.random() < 0.7 else Deny(message="Not that one.")
        return self._watch.answer(self.conversation, self._folder, open_requests[0], answer)

    # ------------------------------------------------------------ goes on

    def _goes_on(self) -> bool:
        """Have some start of letta-code bring the run back, where nobody goes on with it; False when it has ended."""
        if not self._open:
            return False
        if self._watch.owner(self.conversation):
            return True
        began = time.monotonic()
        seq = self._watch.store.last_seq(self.conversation)
        self._revive()
        moved = self._watch.until(
            lambda: not self._open or self._watch.store.last_seq(self.conversation) > seq, self._setup.patience / 4
        )
        if moved:
            self._verdict.resumed.append((time.monotonic() - began) * 1000)
        return self._open

    def _revive(self) -> None:
        starter = self._setup.start(["runs", "--all"])
        _, errors = starter.communicate()
        if starter.returncode:
            self._verdict.find("not opened", f"letta-code runs: exit code {starter.returncode}: {errors[-300:]!r}")

    def _to_the_end(self, *, asked: bool) -> None:
        """Let it end, whoever does it; it may not stand still."""
        seq, since = 0, time.monotonic()
        while self._goes_on():
            if asked:
                self._answer()
            now = self._watch.store.last_seq(self.conversation)
            if now != seq:
                seq, since = now, time.monotonic()
            if time.monotonic() - since > self._setup.patience:
                self._verdict.find("wedged", f"{self.conversation}: {self._run()} stands still at event {now}")
                if pid := self._watch.owner(self.conversation):
                    kill(pid)
                return
            time.sleep(0.02)

    def _ended(self, *, check_run: bool) -> None:
        # Its process still gives back what it holds, and the mirror is written by then.
        if not self._watch.until(lambda: not self._watch.owner(self.conversation), self._setup.patience / 2):
            self._verdict.find("wedged", f"{self.conversation}: its owner does not end")
        check_store(self._verdict, self._watch.home, self.conversation, {}, killed=False)
        check_mirror(self._verdict, self._watch.home, self.conversation)
        events = self._watch.events(self.conversation)
        self._verdict.heard(len(events))
        if check_run:
            check_ended(self._verdict, self.conversation, events, run_id=self.run_id, deaths=self.deaths)
        check_effects(self._verdict, self._folder, events)
