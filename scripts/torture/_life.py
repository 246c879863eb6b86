"""One life of a real letta-code process: started, listened to, killed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Moment(NamedTuple):
    """When to kill: so many seconds after the start, or, with `line`, after that line of output was read."""

    seconds: float
    line: int = 0


class Life(NamedTuple):
    """What a process left behind.

    `events` are the durable events that it told (the bytes of their lines by seq); `conversation` is "" when it died
    before it said which; `killed` is false when it ended by itself, with `code`.
    """

    conversation: str
    events: dict[int, bytes]
    killed: bool
    code: int
    seconds: float
    lines: int
    errors: str


def random_moment(rng: random.Random, seconds: float, lines: int) -> Moment:
    """Half the time any moment of a typical life, half the time just after something was told."""
    if rng.random() < 0.5:
        return Moment(rng.uniform(0.0, seconds * 1.05))
    return Moment(rng.uniform(0.0, 0.004), rng.randint(1, max(2, lines)))


class Setup(NamedTuple):
    """What to run: letta-code in a folder, with its own home, with a model, and (in tests of the torture) a fault."""

    home: Path
    folder: Path
    model: str
    plant: str = ""


def live(setup: Setup, resume: str, moment: Moment | None) -> Life:
    """Run letta-code once, going on with a conversation ("": a new one), and kill it at the moment (None: never)."""
    program = [str(HERE / "_planted.py"), setup.plant] if setup.plant else ["-m", "letta_code"]
    command = [sys.executable, *program, "-p", "Go on with the task.", "--model", setup.model, "--mode", "full"]
    command += ["--output-format", "stream-json", "--quiet", *(["--resume", resume] if resume else [])]
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=setup.folder,
        env={**os.environ, "LETTA_HOME": str(setup.home), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    timer = threading.Timer(moment.seconds, process.kill) if moment and not moment.line else None
    if timer:
        timer.start()
    conversation, events, lines = "", dict[int, bytes](), 0
    for line in _whole_lines(process):
        lines += 1
        said = json.loads(line)
        conversation = conversation or str(said.get("conversation_id", ""))
        if "seq" in said:  # only durable events have one
            events[int(said["seq"])] = line
        if moment and moment.line == lines:
            timer = threading.Timer(moment.seconds, process.kill)
            timer.start()
    errors = process.stderr.read().decode(errors="replace") if process.stderr else ""
    code = process.wait()
    if timer:
        timer.cancel()
    seconds = time.monotonic() - began
    return Life(conversation or resume, events, code == -9, code, seconds, lines, errors)


def _whole_lines(process: subprocess.Popen[Any]) -> Iterator[bytes]:
    """The lines of stdout; one that the kill cut off was not told."""
    assert process.stdout
    for line in process.stdout:
        if line.endswith(b"\n"):
            yield line[:-1]
