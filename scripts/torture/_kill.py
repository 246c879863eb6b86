"""Kill real letta-code processes with SIGKILL at random moments of a scripted run, again and again; then look.

Runs in the foreground, in the background (their starters and workers, the processes of their commands), asking a
person, moving from one to the other, summarising; several conversations at a time in one home, some with two followers.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))  # the checkout: letta_code as it is here, and the tests' model server

from _kill_background import Background, Pace  # noqa: E402 - after the path is set
from _kill_processes import Remains  # noqa: E402
from _kill_watch import Watch  # noqa: E402
from _life import PLANT, Life, Moment, Setup, live, random_moment  # noqa: E402
from _planted import PLANTS, plant_everywhere  # noqa: E402
from _script import ASKED, LIMIT, LONG, as_file, as_replies  # noqa: E402
from _verdict import WRONGS, Verdict, check_effects, check_mirror, check_requests, check_store  # noqa: E402

from tests.fakes.model_server import ModelServer  # noqa: E402

LIVES = 7  # a conversation is killed at most so often before it is let to its end
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

# Each conversation is of one kind, in turn.
KINDS = ("foreground", "background", "foreground http", "background http", "asking", "followed", "moving", "compacting")


class Way:
    """One way to reach the scripted model: inside the process, or over HTTP, where the requests are seen."""

    def __init__(self, name: str, model: str, server: ModelServer | None = None) -> None:
        self.name = name
        self.model = model
        self._server = server
        self.seconds = 1.0  # of a life that is not killed, as of late
        self.lines = 0

    def lived(self, life: Life) -> None:
        """A life came to its end by itself: the machine may be busier or idler than it was."""
        if life.lines > self.lines / 2:
            self.seconds = 0.7 * self.seconds + 0.3 * life.seconds

    def take_requests(self) -> list[list[dict[str, Any]]]:
        """The messages of every request since the last call; none where they cannot be seen."""
        if self._server is None:
            return []
        taken = [request.json["messages"] for request in self._server.requests if request.method == "POST"]
        self._server.requests.clear()
        return taken


class Torture:
    """The whole of it: conversation after conversation, in several lanes, until enough processes were killed."""

    def __init__(self, scratch: Path, seed: int, plant: str, kinds: tuple[str, ...]) -> None:
        self.verdict = Verdict()
        self.remains = Remains(self.verdict.find)
        self.pace = Pace()
        self.kills = 0
        self.conversations = 0
        self._home = scratch / "home"
        self._scratch = scratch
        self._seed = seed
        self._plant = plant
        self.kinds = kinds
        self._lock = threading.Lock()
        self.until = float("inf")  # no conversation is begun after that

    def setup(self, way: Way, name: str) -> Setup:
        """A folder of its own and what runs in it."""
        folder = self._scratch / "work" / name
        folder.mkdir(parents=True)
        setup = Setup(self._home, folder, way.model)
        if not self._plant:
            return setup
        plant, planted = PLANTS[self._plant], str(self._scratch / "planted")
        return setup._replace(plant=self._plant, planted=planted, aims=plant.aims, patience=plant.patience)

    def measure(self, way: Way) -> None:
        """One life that ends by itself: how long a life is, and that the script works at all."""
        life = live(self.setup(way, f"{way.name}-measured"), "", None)
        if life.code != 0:
            raise SystemExit(f"the scripted run itself fails ({life.code}):\n{life.errors}")
        way.seconds, way.lines = life.seconds, life.lines
        way.take_requests()

    def lane(self, ways: dict[str, Way], kills: int) -> None:
        """Conversations one after the other until all lanes together have killed enough."""
        watch = Watch(self._home)
        while True:
            with self._lock:
                if self.kills >= kills or time.monotonic() > self.until:
                    return
                number, left = self.conversations, kills - self.kills
                self.conversations += 1
            kind = self.kinds[number % len(self.kinds)]
            rng = random.Random(f"{self._seed}/{number}")
            made = Conversation(self, watch, rng, kind, ways).run(f"{number:04}-{kind.replace(' ', '-')}", left)
            self.remains.look()
            with self._lock:
                self.kills += made
                if sys.stderr.isatty():
                    print(f"\r{self.kills} of {kills} kills", end="", file=sys.stderr)
                elif made and self.kills // 100 != (self.kills - made) // 100:
                    print(f"{time.strftime('%H:%M:%S')} {self.kills} of {kills} kills", file=sys.stderr)


class Conversation:
    """One conversation of some kind; `run` gives the number of its kills."""

    def __init__(self, torture: Torture, watch: Watch, rng: random.Random, kind: str, ways: dict[str, Way]) -> None:
        self._torture = torture
        self._verdict = torture.verdict
        self._watch = watch
        self._rng = rng
        self._kind = kind
        self._ways = ways

    def run(self, name: str, kills: int) -> int:
        """Do it and look after every kill; at most so many `kills`."""
        kind, way = self._kind.partition(" ")[0], self._ways[_way_of(self._kind)]
        pace = self._torture.pace
        setup = self._torture.setup(way, name)._replace(limit=LIMIT if kind == "compacting" else 0)
        if kind == "foreground":
            return self._foreground(way, setup, kills)
        background = Background(self._watch, self._verdict, self._torture.remains, self._rng, setup)
        if kind == "moving":
            begun = background.begin_moved(seconds=way.seconds)
        else:
            begun = background.begin(pace, asked=kind == "asking")
        if begun:
            background.torment(
                kills,
                seconds=way.seconds,
                followers=2 if kind == "followed" else self._rng.randint(0, 1),
                asked=kind == "asking",
            )
        check_requests(self._verdict, background.conversation or name, way.take_requests())
        return background.kills

    def _foreground(self, way: Way, setup: Setup, kills: int) -> int:
        """Begin one, kill it a few times, then let it end."""
        name, told, made = "", dict[int, bytes](), 0
        for number in range(min(kills, len(setup.aims) or self._rng.randint(2, LIVES))):
            aimed = Moment(0.0, effect=setup.aims[number]) if setup.aims else None
            life = live(setup, name, aimed or random_moment(self._rng, way.seconds, way.lines))
            name = self._after(life, name, told)
            if not life.killed:
                way.lived(life)
                break
            made += 1
        if name:
            last = live(setup, name, None)
            way.lived(last)
            self._after(last, name, told)
            check_mirror(self._verdict, setup.home, name)
        check_requests(self._verdict, name or setup.folder.name, way.take_requests())
        check_effects(self._verdict, setup.folder, self._watch.events(name) if name else ())
        return made

    def _after(self, life: Life, name: str, told: dict[int, bytes]) -> str:
        """Take in what a life told and look at the store; the conversation's id, "" if it has no event yet."""
        if not life.killed and life.code != 0:
            self._verdict.find("not finished", f"{life.conversation}: exit code {life.code}: {life.errors[-300:]}")
        self._torture.remains.add(life.conversation or "a new conversation", [*life.started])
        for seq, line in life.events.items():
            if told.setdefault(seq, line) != line:
                self._verdict.find("duplicated", f"{life.conversation}: event {seq} was told twice, differently")
        self._verdict.heard(len(life.events))
        if not told:
            self._verdict.killed("before anything was told")
            return ""
        name = name or life.conversation
        check_store(self._verdict, self._watch.home, name, told, killed=life.killed)
        return name


def _way_of(kind: str) -> str:
    """The name of the way that conversations of a kind reach their model."""
    return {"asking": "asked", "compacting": "long"}.get(kind, "http" if kind.endswith("http") else "scripted")


def main() -> int:
    """Run it and print the table; 1 when anything that must be 0 is not."""
    parser = argparse.ArgumentParser(prog="scripts/torture/kill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="how many processes to kill (200)")
    parser.add_argument("--seed", type=int, default=20261121, help="of the random moments")
    parser.add_argument("--processes", type=int, default=2, help="how many conversations at a time (2)")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no conversation after so long")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only conversations of this kind")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="run letta-code with a fault and see that it is found")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep the home and the folders here, to look at them")
    options = parser.parse_args()
    # The model server writes to sockets of killed processes; that it says so is no news.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    for name in [name for name in os.environ if name.startswith("LETTA_")]:
        del os.environ[name]  # a person's own settings have no place here
    os.environ["LETTA_SANDBOX"] = "off"  # in one nothing would be asked about, and effects lie beside the work trees
    if options.keep:
        options.keep.mkdir(parents=True)
        return _torture(options.keep.resolve(), options)
    with tempfile.TemporaryDirectory(prefix="letta-kill-", ignore_cleanup_errors=True) as scratch:
        return _torture(Path(scratch).resolve(), options)


def _torture(scratch: Path, options: argparse.Namespace) -> int:
    began = time.monotonic()
    servers = [ModelServer(as_replies(), by_history=True) for _ in range(options.processes)]
    plant_everywhere(scratch / "planted", PLANT)
    torture = Torture(scratch, options.seed, options.plant or "", _kinds(options))
    if options.plant and PLANTS[options.plant].here:
        PLANTS[options.plant].fault()
    torture.until = began + options.minutes * 60
    for server in servers:
        server.__enter__()
    try:
        lanes = _ways(scratch, servers)
        ways = [lanes[0][name] for name in dict.fromkeys(map(_way_of, torture.kinds))]
        for way in ways if not options.plant else ():  # kills that are aimed need no measure
            torture.measure(way)
            for lane in lanes[1:]:
                lane[way.name].seconds, lane[way.name].lines = way.seconds, way.lines
        threads = [threading.Thread(target=torture.lane, args=(ways, options.kills)) for ways in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for server in servers:
            server.__exit__(None, None, None)
    torture.remains.look(wait=True)
    _check_doctor(torture.verdict, scratch)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    _print_table(torture, options, time.monotonic() - began)
    return 0 if torture.verdict.clean else 1


def _kinds(options: argparse.Namespace) -> tuple[str, ...]:
    """The kinds of conversations: those asked for, those that show the fault, or all."""
    return tuple(options.kind or ((PLANTS[options.plant].kind,) if options.plant else KINDS))


def _ways(scratch: Path, servers: list[ModelServer]) -> list[dict[str, Way]]:
    """The ways of each lane: its own model server, so that its requests are seen apart."""
    scripted: dict[str, str] = {}
    for name, text in (("scripted", as_file()), ("asked", as_file(ASKED)), ("long", as_file(LONG))):
        script = scratch / f"{name}.json"
        script.write_text(text)
        scripted[name] = f"scripted:{script}"
    home = scratch / "home"
    home.mkdir(mode=0o700)
    lines = [
        f"  lane{number}:\n    base_url: {server.url}/v1\n    dialect: openai\n"
        for number, server in enumerate(servers)
    ]
    (home / "config.yaml").write_text("endpoints:\n" + "".join(lines))
    return [
        {
            **{name: Way(name, model) for name, model in scripted.items()},
            "http": Way("http", f"lane{number}/fake", server),
        }
        for number, server in enumerate(servers)
    ]


def _check_doctor(verdict: Verdict, scratch: Path) -> None:
    """Store and memory are sound at the end, by the program's own word and by git's."""
    folder = scratch / "work"
    process = Setup(scratch / "home", folder, "").start(["doctor"])
    out, errors = process.communicate()
    if process.returncode:
        verdict.find("damaged", f"letta-code doctor: {out.decode()[-1500:]}{errors.decode()[-300:]}")
    for repository in sorted((scratch / "home").rglob("objects")):
        if not (repository.parent / "HEAD").exists():
            continue
        done = subprocess.run(
            ["git", "--git-dir", str(repository.parent), "fsck", "--no-dangling"], check=False, capture_output=True
        )
        # The empty tree is known to git without an object; its fsck alone misses it.
        said = [line for line in done.stdout.decode().splitlines() if line != f"missing tree {EMPTY_TREE}"]
        if said or done.returncode not in (0, 2):
            verdict.find("damaged", f"git fsck {repository.parent}: {' '.join(said)[:300]}")


def _print_table(torture: Torture, options: argparse.Namespace, seconds: float) -> None:
    verdict = torture.verdict
    at_once = f"{options.processes} at a time"
    print(
        f"{torture.kills} kill -9 in {torture.conversations} conversations, {at_once}, {seconds:.0f} s, "
        f"seed {options.seed}"
    )
    for name, count in sorted(verdict.moments.items()):
        print(f"{f'killed {name}':36}{count:8}")
    print(f"{'acknowledged events':36}{verdict.acknowledged:8}")
    for name, meaning in WRONGS.items():
        print(f"{name:36}{verdict.wrongs[name]:8}   {meaning}")
    for name, times in (("time to reopen", verdict.reopened), ("time to go on", verdict.resumed)):
        if times:
            print(f"{name:36}{_percentiles(times)}")
    for finding in verdict.findings:
        print(f"  {finding}")


def _percentiles(times: list[float]) -> str:
    ordered = sorted(times)
    p50, p95 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.95))
    return f"{p50:8.1f} ms p50, {p95:.1f} ms p95, {ordered[-1]:.1f} ms at most, of {len(ordered)}"


if __name__ == "__main__":
    sys.exit(main())
