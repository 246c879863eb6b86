"""Torture memory blocks: many writers, kill -9, stale locks, and a person's git at the same time; then look."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))
sys.path.insert(0, str(HERE))

from _blocks_app import SEED, judge, play  # noqa: E402 - after the path is set
from _blocks_worker import LABEL, PLANTS, make, open_blocks  # noqa: E402 - after the path is set

from letta_code.config.paths import Paths  # noqa: E402
from letta_code.memory.blocks import Blocks  # noqa: E402
from letta_code.memory.edits import Append, Rethink  # noqa: E402
from letta_code.memory.outcome import Written  # noqa: E402
from letta_code.memory.provenance import Provenance  # noqa: E402
from letta_code.safety.vault import Secrets  # noqa: E402
from letta_code.store.database import Store  # noqa: E402

WRITERS, APPENDS = 8, 50
FEW = 5  # acknowledged writes a kill, at least
KILLS_A_HOME = 25  # then a fresh memory is begun, so that looking at it stays quick

# Each must be 0.
WRONGS = {
    "lost": "acknowledged writes that are not in memory",
    "duplicated": "lines that stand there twice",
    "invalid": "repositories that git fsck complains of, or that cannot be read",
    "untidy": "working files or an index that differ from the newest commit afterwards",
    "mistaken": "crashes that were taken for a hand edit",
    "refused": "writes that failed",
    "overwritten": "a person's edits that are neither in the block nor kept beside it",
    "untold": "edits of a person that the model, or the person, was not told of",
}


class Verdict:
    """Counts what is wrong; `findings` are the first few of each kind."""

    def __init__(self) -> None:
        self.wrongs: Counter[str] = Counter()
        self.findings: list[str] = []
        self.figures: dict[str, str] = {}

    def find(self, kind: str, where: str, count: int = 1) -> None:
        """Count one wrong thing."""
        self.wrongs[kind] += count
        if self.wrongs[kind] <= 5:
            self.findings.append(f"{kind}: {' '.join(where.split())[-300:]}")


def git(root: Path, *words: str, stdin: str = "", check: bool = True) -> str:
    """A person's git in the memory folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "Ann", f"GIT_{role}_EMAIL": "ann@example.invalid"}
    done = subprocess.run(
        ["git", "-C", str(root), *words], input=stdin, env=environment, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
    return done.stdout if done.returncode == 0 else ""


class Writer:
    """A process that writes; what it said was acknowledged."""

    def __init__(self, home: Path, plant: str, kind: str, name: str, count: int) -> None:
        words = [sys.executable, str(HERE / "_blocks_worker.py"), str(home), plant, kind, name, str(count)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.acknowledged: list[str] = []
        self.times: list[float] = []
        self.errors = ""

    def kill_after(self, seconds: float) -> None:
        """SIGKILL so long after the first write may have begun."""
        if self._process.stdout is not None and self._process.stdout.readline().strip() == "ready":
            time.sleep(seconds)
        self._process.kill()

    def wait(self) -> int:
        """Its exit code, with all it said taken in; a line that is not whole was not said."""
        out, self.errors = self._process.communicate()
        for line in out.splitlines(keepends=True):
            word, _, rest = line.partition(" ")
            if word == "ack" and line.endswith("\n"):
                self.acknowledged.append(rest.strip())
            elif word == "done":
                self.times = [float(ms) for ms in rest.split()]
        return self._process.returncode


def look(
    verdict: Verdict,
    home: Path,
    where: str,
    acknowledged: Sequence[str],
    *,
    person: bool = False,
    opened: Blocks | None = None,
) -> None:
    """Open memory as the next process would, and compare it with what was acknowledged."""
    try:
        blocks = opened or open_blocks(home)
        notices = blocks.refresh()
        blocks.apply(Append(label="project", text="looked"), Provenance(source="letta"))
        view = blocks.view()
    except Exception as error:  # noqa: BLE001 - whatever stops memory from opening is the finding
        verdict.find("invalid", f"{where}: {error!r}")
        return
    if notices and not person:
        verdict.find("mistaken", f"{where}: {notices}")
    lines = Counter(line for block in view.blocks for line in block.value.split("\n"))
    lines.update(line for block in view.others if block.path.startswith("notes/") for line in block.value.split("\n"))
    for text in acknowledged:
        if not lines[text]:
            verdict.find("lost", f"{where}: {text}")
    for block in view.blocks:
        twice = [line for line, count in Counter(block.value.split("\n")).items() if count > 1 and "." in line]
        if twice and block.label != "project":
            verdict.find("duplicated", f"{where}: {twice[:3]} in {block.label}", len(twice))
    problems = [line for line in git_fsck(blocks.root) if "dangling" not in line and "unreachable" not in line]
    if problems:
        verdict.find("invalid", f"{where}: {problems[:3]}")
    elif status := git(blocks.root, "status", "--short", check=False).strip():
        verdict.find("untidy", f"{where}: {status[:200]}")


def git_fsck(root: Path) -> list[str]:
    """What git's own check says."""
    done = subprocess.run(["git", "-C", str(root), "fsck", "--strict"], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("Checking")]
    return said or (["exit code " + str(done.returncode)] if done.returncode else [])


# ---------------------------------------------------------------- the four parts


def many_writers(verdict: Verdict, home: Path, plant: str) -> None:
    """8 processes x 50 appends keep 400 lines."""
    make(home)
    began = time.monotonic()
    writers = [Writer(home, plant, "appends", f"w{n}", APPENDS) for n in range(WRITERS)]
    for writer in writers:
        if writer.wait():
            verdict.find("refused", f"writer: {writer.errors[-300:]}")
    seconds = time.monotonic() - began
    expected = [f"w{n}.{number}" for n in range(WRITERS) for number in range(APPENDS)]
    look(verdict, home, "many writers", expected)
    value = open_blocks(home).view().find(LABEL).value.split("\n")
    for n in range(WRITERS):
        own = [line for line in value if line.startswith(f"w{n}.")]
        if own != [line for line in expected if line in own]:
            verdict.find("duplicated", f"the lines of writer {n} stand in another order")
    times = sorted(ms for writer in writers for ms in writer.times)
    kept = sum(line in set(expected) for line in value)
    verdict.figures["many writers"] = f"{WRITERS} x {APPENDS} appends keep {kept} lines, {seconds:.1f} s"
    if times:
        verdict.figures["one append among eight"] = f"{_p50(times)} p50, {times[int(len(times) * 0.95)]:.1f} ms p95"


def one_writer(verdict: Verdict, home: Path) -> None:
    """What a write costs when nobody else writes."""
    make(home)
    writer = Writer(home, "", "appends", "w", 100)
    writer.wait()
    times = sorted(writer.times[5:])
    if times:
        verdict.figures["one append alone"] = f"{_p50(times)} p50, {times[int(len(times) * 0.95)]:.1f} ms p95"


def kills(verdict: Verdict, scratch: Path, plant: str, count: int, rng: random.Random) -> None:
    """kill -9 at random moments of two writers; nothing acknowledged is lost, and memory opens."""
    acknowledged: list[str] = []
    told, home, number = 0, scratch / "kills-0", -1
    # On a loaded machine a kill may come before the first write: as many more, up to ten times, as show something.
    while (number := number + 1) < count or (told < FEW * count and number < 10 * count):
        if number % KILLS_A_HOME == 0:
            home, acknowledged = scratch / f"kills-{number}", []
            make(home)
        writers = [Writer(home, plant, "mixed", f"k{number}{letter}", 10_000) for letter in "ab"]
        writers[0].kill_after(rng.uniform(0.0, 0.2))
        writers[1].kill_after(rng.uniform(0.0, 0.1))
        for writer in writers:
            if writer.wait() > 0:
                verdict.find("refused", f"kill {number}: {writer.errors[-300:]}")
            acknowledged += writer.acknowledged
            told += len(writer.acknowledged)
        look(verdict, home, f"kill {number}", acknowledged)
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {count} kills", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    verdict.figures["kill -9"] = f"{number} x 2 processes, {told} acknowledged writes"


def stale_locks(verdict: Verdict, home: Path) -> None:
    """Locks that dead processes left stop nobody."""
    root = make(home).root
    old = time.time() - 120
    names = ["index.lock", "HEAD.lock", "packed-refs.lock", "refs/heads/main.lock"]
    for name in [*names, *names]:
        lock = root / ".git" / name
        lock.touch()
        os.utime(lock, (old, old))
    (root.parent / "memory.lock").write_text('{"pid":1}')
    leftover = root / ".git/letta/scratch/object-dead"
    leftover.write_bytes(b"x")
    blocks = open_blocks(home)
    began = time.monotonic()
    try:
        blocks.apply(Append(label=LABEL, text="after.locks"), Provenance())
    except Exception as error:  # noqa: BLE001 - the finding
        verdict.find("refused", f"stale locks: {error!r}")
    left = [name for name in names if (root / ".git" / name).exists()] + ([leftover.name] if leftover.exists() else [])
    if left:
        verdict.find("untidy", f"stale locks: {left} are still there")
    look(verdict, home, "stale locks", ["after.locks"])
    verdict.figures["stale locks"] = f"{len(names)} of git, 1 of ours: written after {time.monotonic() - began:.2f} s"


def git_meanwhile(verdict: Verdict, home: Path, plant: str, count: int) -> None:
    """A person's git moves the branch, and packs, while four processes write the same block."""
    root = make(home).root
    writers = [Writer(home, plant, "appends", f"g{n}", count) for n in range(4)]
    by_hand: list[str] = []
    number = tries = 0
    while number < count and tries < count * 40:
        tries += 1
        try:
            head = git(root, "rev-parse", "HEAD").strip()
            text = git(root, "show", f"{head}:system/{LABEL}.md") + f"hand.{number}\n"
            commit = _commit_by_plumbing(root, head, text, f"by hand {number}")
            git(root, "update-ref", "HEAD", commit, head, check=False)
            moved = commit in git(root, "rev-list", f"{head}..HEAD").split()
        except subprocess.CalledProcessError as error:
            verdict.find("invalid", f"git meanwhile: {error.stderr.strip()[:200]}")
            continue
        if moved:
            by_hand.append(f"hand.{number}")
            number += 1
        if tries % 25 == 0:
            git(root, "gc", "-q", check=False)
    for writer in writers:
        if writer.wait():
            verdict.find("refused", f"git meanwhile: {writer.errors[-300:]}")
    acknowledged = [text for writer in writers for text in writer.acknowledged]
    look(verdict, home, "git meanwhile", [*acknowledged, *by_hand], person=True)
    verdict.figures["git meanwhile"] = f"{len(acknowledged)} appends, {len(by_hand)} commits by git in {tries} tries"


def _commit_by_plumbing(root: Path, head: str, text: str, subject: str) -> str:
    blob = git(root, "hash-object", "-w", "--stdin", stdin=text).strip()
    system = git(root, "ls-tree", f"{head}:system").splitlines()
    rows = [row.replace(row.split()[2], blob) if row.endswith(f"\t{LABEL}.md") else row for row in system]
    tree = git(root, "mktree", stdin="\n".join(rows) + "\n").strip()
    top = git(root, "ls-tree", head).splitlines()
    rows = [row.replace(row.split()[2], tree) if row.endswith("\tsystem") else row for row in top]
    whole = git(root, "mktree", stdin="\n".join(rows) + "\n").strip()
    return git(root, "commit-tree", whole, "-p", head, "-m", subject).strip()


def hand_edits(verdict: Verdict, home: Path, rounds: int, rng: random.Random) -> None:
    """A line is edited by hand or by git, and often the same by the agent that saw the old one: both are somewhere."""
    root = make(home).root
    agent = open_blocks(home)
    agent.apply(Append(label=LABEL, text="\n".join(f"line {n}" for n in range(10))), Provenance())
    conflicts = 0
    for number in range(rounds):
        base = agent.pin()
        old = agent.view().find(LABEL).value.split("\n")
        by_hand, by_agent = rng.randrange(len(old)), rng.randrange(len(old))
        if rng.random() < 0.4:
            by_agent = by_hand
        path = root / f"system/{LABEL}.md"
        path.write_text(path.read_text().replace(f"\n{old[by_hand]}\n", f"\nhand {number}\n", 1))
        way = rng.choice(["file", "git"])
        if way == "git":
            git(root, "commit", "-q", "-a", "-m", f"hand {number}")
        wanted = "\n".join([*old[:by_agent], f"agent {number}", *old[by_agent + 1 :]])
        outcome = agent.apply(Rethink(label=LABEL, value=wanted), Provenance(), base=base, approved=True)
        view = agent.view()
        lines = set(view.find(LABEL).value.split("\n"))
        if isinstance(outcome, Written) and outcome.conflict:
            conflicts += 1
            lines |= set(view.find(outcome.conflict.removesuffix(".md")).value.split("\n"))
        for said in (f"hand {number}", f"agent {number}"):
            if said not in lines:
                verdict.find("overwritten", f"round {number} ({way}): {said}")
    look(verdict, home, "hand edits", [], person=True)
    verdict.figures["hand edits"] = f"{rounds}, the agent's meanwhile; {conflicts} of the same line, both kept"


def app_meanwhile(verdict: Verdict, home: Path, plant: str, rounds: int) -> None:
    """A real letta-code edits the same block while a person's editor and git do."""
    home.mkdir()
    paths = Paths(home=home / ".letta").ensure()
    with Store.open(
        paths.database, conversations_dir=paths.conversations, agents_dir=paths.agents, redactor=Secrets()
    ) as store:
        agent = asyncio.run(store.agents.ensure_default()).id
    blocks = Blocks(paths.home, agent, "proj-1", "conv-1")
    blocks.ensure()
    blocks.apply(Append(label=LABEL, text="\n".join(f"line {n}." for n in range(SEED))), Provenance())
    git(blocks.root, "add", "-A")  # as a person begins, who keeps this folder with git
    try:
        played = play(paths.home, blocks.root, rounds, plant if plant == "reset" else "", git)
    except (RuntimeError, subprocess.CalledProcessError) as error:
        verdict.find("refused", f"app meanwhile: {error}")
        return
    view = blocks.view()
    values = [block.value for block in (*view.blocks, *view.others)]
    judge(played, [line for value in values for line in value.split("\n")], verdict.find)
    look(verdict, paths.home, "app meanwhile", [], person=True, opened=blocks)
    verdict.figures["the app meanwhile"] = (
        f"{len(played.by_hand)} hand edits by file and git, {len(played.acknowledged)} of the model; "
        f"{played.conflicts} of the same line, both kept; {played.errors} told to the model as errors"
    )


def _p50(times: Sequence[float]) -> str:
    return f"{statistics.median(times):.1f} ms"


def main() -> int:
    """Run it and print the table; 1 when anything that must be 0 is not."""
    parser = argparse.ArgumentParser(prog="scripts/torture/blocks", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many times to kill two writers (200)")
    parser.add_argument("--seed", type=int, default=20261121, help="of the random moments")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="run with a fault, to see that it is found")
    options = parser.parse_args()
    plant, rng = options.plant or "", random.Random(options.seed)
    verdict, began = Verdict(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="letta-blocks-") as folder:
        scratch = Path(folder)
        many_writers(verdict, scratch / "many", plant)
        one_writer(verdict, scratch / "one")
        kills(verdict, scratch, plant, options.kills, rng)
        stale_locks(verdict, scratch / "locks")
        git_meanwhile(verdict, scratch / "git", plant, 20)
        if plant == "reset":
            PLANTS[plant]()  # this part runs in this process
        hand_edits(verdict, scratch / "hand", 100, rng)
        app_meanwhile(verdict, scratch / "app", plant, 24)
    print(
        f"memory blocks, {time.monotonic() - began:.0f} s, seed {options.seed}{f', planted {plant}' if plant else ''}"
    )
    for name, figure in verdict.figures.items():
        print(f"{name:26}{figure}")
    for name, meaning in WRONGS.items():
        print(f"{name:26}{verdict.wrongs[name]:6}   {meaning}")
    for finding in verdict.findings:
        print(f"  {finding}")
    return 1 if verdict.wrongs.total() else 0


if __name__ == "__main__":
    sys.exit(main())
