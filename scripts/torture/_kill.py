"""Kill real letta-code processes with SIGKILL at random moments of a scripted run, again and again; then look."""

from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))  # the checkout: letta_code as it is here, and the tests' model server

from _life import Life, Setup, live, random_moment  # noqa: E402 - after the path is set
from _planted import PLANTS  # noqa: E402
from _script import as_file, as_replies  # noqa: E402
from _verdict import WRONGS, Verdict, check_effects, check_mirror, check_requests, check_store  # noqa: E402

from tests.fakes.model_server import ModelServer  # noqa: E402

LIVES = 5  # a conversation is killed at most so often before it is let to its end


class Way:
    """One way to reach the scripted model: inside the process, or over HTTP, where the requests are seen."""

    def __init__(self, name: str, model: str, server: ModelServer | None) -> None:
        self.name = name
        self.model = model
        self._server = server
        self.seconds = 0.0  # of a life that is not killed
        self.lines = 0

    def take_requests(self) -> list[list[dict[str, Any]]]:
        """The messages of every request since the last call; none where they cannot be seen."""
        if self._server is None:
            return []
        taken = [request.json["messages"] for request in self._server.requests if request.method == "POST"]
        self._server.requests.clear()
        return taken


class Torture:
    """The whole of it: conversation after conversation until enough processes were killed."""

    def __init__(self, scratch: Path, seed: int, plant: str) -> None:
        self.verdict = Verdict()
        self.kills = 0
        self.conversations = 0
        self._home = scratch / "home"
        self._scratch = scratch
        self._rng = random.Random(seed)
        self._plant = plant

    def measure(self, way: Way) -> None:
        """One life that ends by itself: how long a life is, and that the script works at all."""
        folder = self._folder(f"{way.name}-measured")
        life = live(Setup(self._home, folder, way.model), "", None)
        if life.code != 0:
            raise SystemExit(f"the scripted run itself fails ({life.code}):\n{life.errors}")
        way.seconds, way.lines = life.seconds, life.lines
        way.take_requests()

    def _folder(self, name: str) -> Path:
        folder = self._scratch / "work" / name
        folder.mkdir(parents=True)
        return folder

    def conversation(self, way: Way, kills: int) -> None:
        """Begin one, kill it a few times, then let it end; look after every kill."""
        self.conversations += 1
        folder = self._folder(f"{way.name}-{self.conversations}")
        setup = Setup(self._home, folder, way.model, self._plant)
        name, told = "", dict[int, bytes]()
        for _ in range(min(kills, self._rng.randint(1, LIVES))):
            life = live(setup, name, random_moment(self._rng, way.seconds, way.lines))
            name = self._after(life, name, told)
            if not life.killed:
                break
            self.kills += 1
        if name:
            self._after(live(setup, name, None), name, told)
            check_mirror(self.verdict, self._home, name)
        check_requests(self.verdict, name or folder.name, way.take_requests())
        check_effects(self.verdict, folder)

    def _after(self, life: Life, name: str, told: dict[int, bytes]) -> str:
        """Take in what a life told and look at the store; the conversation's id, "" if it has no event yet."""
        if not life.killed and life.code != 0:
            self.verdict.find("not finished", f"{life.conversation}: exit code {life.code}: {life.errors[-300:]}")
        for seq, line in life.events.items():
            if told.setdefault(seq, line) != line:
                self.verdict.find("duplicated", f"{life.conversation}: event {seq} was told twice, differently")
        self.verdict.acknowledged += len(life.events)
        if not told:
            self.verdict.moments["before anything was told"] += 1
            return ""
        name = name or life.conversation
        check_store(self.verdict, self._home, name, told, killed=life.killed)
        return name


def main() -> int:
    """Run it and print the table; 1 when anything that must be 0 is not."""
    parser = argparse.ArgumentParser(prog="scripts/torture/kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many processes to kill (200)")
    parser.add_argument("--seed", type=int, default=20261121, help="of the random moments")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="run letta-code with a fault, to see that it is found")
    options = parser.parse_args()
    began = time.monotonic()
    # The model server writes to sockets of killed processes; that it says so is no news.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    with (
        tempfile.TemporaryDirectory(prefix="letta-kill-") as scratch,
        ModelServer(as_replies(), by_history=True) as server,
    ):
        torture = Torture(Path(scratch), options.seed, options.plant or "")
        ways = _ways(Path(scratch), server)
        for way in ways:
            torture.measure(way)
        while torture.kills < options.kills:
            torture.conversation(ways[torture.conversations % len(ways)], options.kills - torture.kills)
            if sys.stderr.isatty():
                print(f"\r{torture.kills} of {options.kills} kills", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    _print_table(torture, options.seed, time.monotonic() - began)
    return 0 if torture.verdict.clean else 1


def _ways(scratch: Path, server: ModelServer) -> list[Way]:
    script = scratch / "script.json"
    script.write_text(as_file())
    home = scratch / "home"
    home.mkdir(mode=0o700)
    (home / "config.yaml").write_text(f"endpoints:\n  torture:\n    base_url: {server.url}/v1\n    dialect: openai\n")
    for name in [name for name in os.environ if name.startswith("LETTA_")]:
        del os.environ[name]  # a person's own settings have no place here
    return [Way("scripted", f"scripted:{script}", None), Way("http", "torture/fake", server)]


def _print_table(torture: Torture, seed: int, seconds: float) -> None:
    verdict = torture.verdict
    print(f"{torture.kills} kill -9 in {torture.conversations} conversations, {seconds:.0f} s, seed {seed}")
    for name, count in sorted(verdict.moments.items()):
        print(f"{f'killed {name}':32}{count:8}")
    print(f"{'acknowledged events':32}{verdict.acknowledged:8}")
    for name, meaning in WRONGS.items():
        print(f"{name:32}{verdict.wrongs[name]:8}   {meaning}")
    if verdict.reopened:
        p50, most = statistics.median(verdict.reopened), max(verdict.reopened)
        print(f"{'time to reopen':32}{p50:8.1f} ms p50, {most:.1f} ms at most")
    for finding in verdict.findings:
        print(f"  {finding}")


if __name__ == "__main__":
    sys.exit(main())
