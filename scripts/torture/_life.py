"""One life of a real letta-code process: started, listened to, killed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _kill_processes import Process, kill
from _script import EFFECTS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LOOK_SECONDS = 0.005
PLANT = "TORTURE_PLANT"  # in the environment: the fault that `sitecustomize` plants in every process


class Moment(NamedTuple):
    """When to kill: so many seconds after the start, or after a `line` of output, or when a command left `effect`."""

    seconds: float
    line: int = 0
    effect: str = ""


class Life(NamedTuple):
    """What a process left behind.

    `events` are the durable events that it told (the bytes of their lines by seq); `conversation` is "" when it died
    before it said which; `killed` is false when it ended by itself, with `code`; `started` are the processes that it
    had below it when it was killed.
    """

    conversation: str
    events: dict[int, bytes]
    killed: bool
    code: int
    seconds: float
    lines: int
    errors: str
    started: tuple[Process, ...] = ()


def random_moment(rng: random.Random, seconds: float, lines: int) -> Moment:
    """Half the time any moment of a typical life, half the time just after something was told."""
    if rng.random() < 0.5:
        return Moment(rng.uniform(0.0, seconds * 1.05))
    return Moment(rng.uniform(0.0, 0.004), rng.randint(1, max(2, lines)))


def left_line(folder: Path, effect: str) -> bool:
    """Whether a command has left its line in a folder."""
    path = folder / EFFECTS
    return path.exists() and effect in path.read_text().split()


class Setup(NamedTuple):
    """What to run: letta-code in a folder, with its own home, with a model, and (in tests of the torture) a fault."""

    home: Path
    folder: Path
    model: str
    plant: str = ""
    planted: str = ""  # the folder with the `sitecustomize` that plants it
    limit: int = 0  # of the context, in tokens
    aims: tuple[str, ...] = ()  # the effects that the kills wait for, one each; none: any moment
    patience: float = 60.0  # seconds that a run may stand still

    def start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start letta-code with arguments, its output in pipes."""
        limit = {"LETTA_CONTEXT_COMPACT_AT_TOKENS": str(self.limit)} if self.limit else {}
        path = os.pathsep.join(filter(None, (self.planted if self.plant else "", str(ROOT))))
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "letta_code", *arguments],
            cwd=self.folder,
            env={**os.environ, "LETTA_HOME": str(self.home), "PYTHONPATH": path, PLANT: self.plant, **limit},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


class _End:
    """Kills a process at its moment, from another thread; `started` is what it had below it then."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, moment: Moment | None) -> None:
        self.started: list[Process] = []
        self._process = process
        self._folder = folder
        self._moment = moment or Moment(0.0, line=-1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._wait)
        self.read(0)

    def read(self, lines: int) -> None:
        """So many lines of output were read."""
        if lines == self._moment.line:
            self._thread.start()

    def over(self) -> None:
        """The process has ended."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _wait(self) -> None:
        while self._moment.effect and not left_line(self._folder, self._moment.effect):
            if self._over.wait(LOOK_SECONDS):
                return
        if not self._over.wait(self._moment.seconds):
            self.started.extend(kill(self._process.pid))


def live(
    setup: Setup, resume: str, moment: Moment | None, begun: Callable[[subprocess.Popen[bytes]], None] | None = None
) -> Life:
    """Run letta-code once, going on with a conversation ("": a new one), and kill it at the moment (None: never).

    `begun` is told of the process when it has said which conversation it has.
    """
    arguments = ["-p", "Go on with the task.", "--model", setup.model, "--mode", "full"]
    arguments += ["--output-format", "stream-json", "--quiet", *(["--resume", resume] if resume else [])]
    began = time.monotonic()
    process = setup.start(arguments)
    end = _End(process, setup.folder, moment)
    conversation, events, lines = "", dict[int, bytes](), 0
    for line in _whole_lines(process):
        lines += 1
        said = json.loads(line)
        if begun and lines == 1:
            begun(process)
        conversation = conversation or str(said.get("conversation_id", ""))
        if "seq" in said:  # only durable events have one
            events[int(said["seq"])] = line
        end.read(lines)
    errors = process.stderr.read().decode(errors="replace") if process.stderr else ""
    code = process.wait()
    end.over()
    seconds = time.monotonic() - began
    return Life(conversation or resume, events, code == -9, code, seconds, lines, errors, tuple(end.started))


def _whole_lines(process: subprocess.Popen[Any]) -> Iterator[bytes]:
    """The lines of stdout; one that the kill cut off was not told."""
    assert process.stdout
    for line in process.stdout:
        if line.endswith(b"\n"):
            yield line[:-1]
