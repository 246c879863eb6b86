"""One background run of a slow owner, two faces that are killed and come again; then every stream is compared."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))  # the checkout: letta_code as it is here

from _follow_planted import PLANTS, plant_everywhere  # noqa: E402 - after the path is set
from _follow_strangers import Strangers  # noqa: E402
from _follow_stream import WRONGS, Stream  # noqa: E402

from letta_code.agent.live.attached import AttachedSession  # noqa: E402
from letta_code.agent.live.door import socket_path  # noqa: E402
from letta_code.agent.live.opening import attach  # noqa: E402
from letta_code.agent.port import SessionOptions  # noqa: E402
from letta_code.config.paths import Paths  # noqa: E402
from letta_code.config.settings import Settings  # noqa: E402
from letta_code.core import events as ev  # noqa: E402
from letta_code.safety.vault import Secrets  # noqa: E402
from letta_code.store.database import Store  # noqa: E402

TURN_SECONDS = 6.0  # text for about four, a command for about two
FOLLOW = ("-m", "letta_code", "follow")


def script(seconds: float) -> dict[str, Any]:
    """A run of about so many seconds: text that comes slowly, and a command that prints while it runs, in turns."""
    turns = max(2, round(seconds / TURN_SECONDS))
    text = "Turn {{turn}}: " + " ".join(f"wörter {n}" for n in range(130))
    command = "for i in 1 2 3 4 5 6 7 8 9 10; do echo turn {{turn}} line $i; sleep 0.2; done"
    turn = {"text": text, "pieces": 9, "delay": 0.025, "tools": [{"name": "Bash", "args": {"command": command}}]}
    return {"turns": [{**turn, "repeat": turns}, {"text": "All is done.", "pieces": 2, "delay": 0.05}]}


class Torture:
    """The whole of it."""

    def __init__(self, scratch: Path, seconds: float, kills: int, seed: int, plant: str) -> None:
        self.work = scratch / "work"
        self.work.mkdir(parents=True)
        self.errors = (scratch / "face.log").open("ab")
        self.environment = {**os.environ, "LETTA_HOME": str(scratch / "home")}
        self.environment |= plant_everywhere(scratch / "site", plant)
        os.environ["LETTA_HOME"] = self.environment["LETTA_HOME"]
        self.seconds = seconds
        self.kills = kills
        self.rng = random.Random(seed)
        self.process_face = Stream("process, stream-json")
        self.inner_face = Stream("in process, AttachedSession")
        self._inner_session: AttachedSession | None = None
        (scratch / "script.yaml").write_text(json.dumps(script(seconds)), encoding="utf-8")
        self.model = f"scripted:{scratch / 'script.yaml'}"
        self.conversation = self.run_id = ""

    def begin(self) -> None:
        """Begin the run in the background."""
        program = [sys.executable, "-m", "letta_code", "run", "--background", "--json", "--mode", "full"]
        program += ["--max-turns", "10000", "-m", self.model, "go"]
        done = subprocess.run(
            program,
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"the run could not be begun:\n{done.stdout}{done.stderr}")
        begun = json.loads(done.stdout)
        self.conversation, self.run_id = begun["conversation_id"], begun["run_id"]

    def over(self) -> bool:
        """Whether the run has ended."""
        with open_store() as store:
            run = store.runs.get(self.run_id)
            return run is not None and not run.is_open and store.runs.writer(self.conversation) is None

    def life(self) -> float:
        """How long a face lives before it is killed, in seconds."""
        return self.rng.uniform(0.2, 2.0) * self.seconds / (self.kills + 1)

    async def run(self) -> None:
        """Follow from both faces until the run has ended."""
        path = socket_path(Paths.find(), self.conversation)
        self.strangers = Strangers(path, self.conversation, self._cut, self.rng)
        strange = asyncio.create_task(self.strangers.come_and_go(self.owner))
        try:
            await asyncio.gather(self._face(self.process_face, self._process), self._face(self.inner_face, self._inner))
        finally:
            strange.cancel()
            await asyncio.wait([strange])

    def owner(self) -> int:
        """The process that runs the conversation, 0 when none does."""
        with open_store() as store:
            writer = store.runs.writer(self.conversation)
        return writer.pid if writer else 0

    def _cut(self) -> None:
        """Pull the cable of the face in this process."""
        link = self._inner_session._link if self._inner_session else None
        if link is not None and link.lines is not None:
            link.lines.cut()

    async def _face(self, stream: Stream, live: Any) -> None:
        kills = 0
        while not await asyncio.to_thread(self.over):
            stream.begin()
            kills += await live(stream, self.life() if kills < self.kills else None)
            await asyncio.sleep(self.rng.uniform(0, 0.5))
        stream.begin()
        with open_store() as store:  # what came after the last life: a face that opens it now reads it from the store
            for one in store.read(self.conversation, stream.last):
                stream.take(one.event, one.raw)

    async def _process(self, stream: Stream, limit: float | None) -> bool:
        """A life of the face that is a process; True when it ended by kill -9, not by itself."""
        program = [*FOLLOW, self.run_id, "--output-format", "stream-json", "--after", str(stream.last)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *program,
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            limit=1 << 26,
        )
        reading = asyncio.create_task(read_lines(process, stream))
        _, unread = await asyncio.wait([reading], timeout=limit)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading
        return bool(unread)

    async def _inner(self, stream: Stream, limit: float | None) -> bool:
        """A life of the face in this process; True when it was cut in the middle."""
        options = SessionOptions(
            cwd=str(self.work), settings=Settings(), conversation=self.conversation, face="torture"
        )
        session = await attach(options, Paths.find())
        if session is None:
            return False

        async def listen() -> None:
            async for event in session.events(stream.last):
                stream.take(event, ev.encode(event))

        self._inner_session = session
        listening = asyncio.create_task(listen())
        _, unheard = await asyncio.wait([listening], timeout=limit)
        listening.cancel()
        await asyncio.wait([listening])
        self._inner_session = None
        await session.close()
        return bool(unheard)

    def judge(self) -> bool:
        """Print the table; whether all is well."""
        with open_store() as store:
            stored = [(one.seq, one.raw) for one in store.read(self.conversation)]
        well = True
        print(f"{len(stored)} stored events, {self.seconds:.0f} s asked for; strangers heard: "
              + ", ".join(f"{count} {name}" for name, count in self.strangers.heard.items()))  # fmt: skip
        for stream in (self.process_face, self.inner_face):
            stream.judge(stored)
            print(f"\n{stream.name}: {stream.lives} lives, {len(stream.durable)} stored events heard, "
                  f"{stream.live_events} live ones, {len(stream.pieces)} pieces of text")  # fmt: skip
            for what in WRONGS:
                print(f"  {what:28}{stream.wrong[what]:6}")
                well = well and not stream.wrong[what]
            if not stream.durable or not stream.live_events:
                print("  it heard nothing: this says nothing")
                well = False
        if not all(self.strangers.heard.values()):
            print("\na stranger was never met: this says nothing of them")
            well = False
        return well


async def read_lines(process: asyncio.subprocess.Process, stream: Stream) -> None:
    """The lines that a face prints until it is killed; one that was cut off by that does not count."""
    assert process.stdout is not None
    while (line := await process.stdout.readline()).endswith(b"\n"):
        raw = line[:-1]
        with contextlib.suppress(ValueError):  # its own lines of a beginning and an end
            event: ev.Event | ev.LiveEvent
            try:
                event = ev.decode_live(raw)
            except ValueError:
                event = ev.decode(raw)
            stream.take(event, raw)


def open_store() -> Store:
    paths = Paths.find()
    return Store.open(paths.database, conversations_dir=paths.conversations, run_dir=paths.run, redactor=Secrets())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the run is to last, about")
    parser.add_argument("--kills", type=int, default=3, help="of each face")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--plant", choices=("", *PLANTS), default="", help="a fault that must be found")
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    with tempfile.TemporaryDirectory(prefix="letta-follow-", ignore_cleanup_errors=True) as scratch:
        torture = Torture(Path(scratch), asked.seconds, asked.kills, asked.seed, asked.plant)
        torture.begin()
        began = time.monotonic()
        asyncio.run(torture.run())
        print(f"followed for {time.monotonic() - began:.0f} s")
        well = torture.judge()
    print("\nall streams are the same" if well else "\nWRONG")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
