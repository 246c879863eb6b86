"""What memory costs: a turn, the start, tools' tokens, a write, a search, a step after another conversation's edit."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _disk import bare_commit
from _lived import A_CONVERSATION, BLOCKS, lived, words
from _measure import BENCH, LETTA, PYTHON, Table, clean_environment, endpoint_home, median, model_server, run
from _prompt import OF_MEMORY, parts_of
from _turn import gaps, replies

from letta_code.config.paths import Paths
from letta_code.memory.block import project_key
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append
from letta_code.memory.opening import open_desk
from letta_code.memory.provenance import Provenance
from letta_code.safety.vault import Secrets
from letta_code.store.database import Store

MESSAGES = 100_000
PROMPT = "Say done."
TURNS = 20
TURN_ROUNDS = 9
START_ROUNDS = 21
EDITS = 60
TOOLS = tuple(name.strip() for name in OF_MEMORY)


def main(messages: int) -> int:
    """Print the tables; 0 when every goal held."""
    with tempfile.TemporaryDirectory(prefix="letta-bench-") as scratch:
        folder = Path(scratch)
        project = folder / "project"
        project.mkdir()
        began = time.monotonic()
        agent = lived(folder / "lived" / ".letta", project, messages)
        print(f"a home with {BLOCKS} blocks and {messages:,} messages was made in {time.monotonic() - began:.0f} s")
        tables = [
            _turn(folder, project),
            _start(folder, project, messages),
            _tokens(folder, project),
            _writes_and_searches(folder / "lived" / ".letta", project, agent, messages),
        ]
    return max(table.code for table in tables)


# ---------------------------------------------------------------- a turn


def _turn(folder: Path, project: Path) -> Table:
    """Turns without memory edits, in processes with and without memory, in turn."""
    found: dict[str, list[float]] = {"off": [], "on": []}
    for number in range(TURN_ROUNDS):
        for kind, taken in found.items():
            home = folder / f"turn-{kind}-{number}"
            shutil.copytree(folder / "lived" / ".letta" / "agents", home / ".letta" / "agents")
            taken.append(median(_played(home, folder / "played", kind)))
            shutil.rmtree(home)
    added = median(on - off for on, off in zip(found["on"], found["off"], strict=True))
    table = Table(
        f"a turn without memory edits, {TURNS} turns of read, edit and shell, medians of {TURN_ROUNDS} rounds"
    )
    table.line("without memory", f"{median(found['off']):.2f} ms")
    table.line(f"with {BLOCKS} blocks", f"{median(found['on']):.2f} ms")
    table.line("memory adds", f"{added:.2f} ms", "at most 2 ms", added <= 2)
    return table


def _played(home: Path, project: Path, kind: str) -> list[float]:
    """Milliseconds of our own for each turn, but for the first, which also pays for what is loaded once."""
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    lines = "".join(f"# line {number}\n" for number in range(200))
    (project / "app.py").write_text(f"VERSION = 0\n{lines}", encoding="utf-8")
    with model_server(replies(TURNS), home / "server") as server:
        endpoint_home(home, server.url)
        argv = [PYTHON, str(BENCH / "_with_memory.py"), kind, "-p", "Go.", "--mode", "full", "--quiet"]
        done = run(argv, clean_environment(home), project)
        if done.code != 0:
            raise SystemExit(f"letta-code failed with {done.code}:\n{done.output[-2000:]}")
        requests = server.requests()
    has = b"matter-4" in Path(requests[-1]["body"]).read_bytes()
    if has != (kind == "on"):
        raise SystemExit(f"memory should be {kind} and is not")
    return gaps(requests)[1:]


# ---------------------------------------------------------------- the start


def _start(folder: Path, project: Path, messages: int) -> Table:
    """From the start of the process to the first request, an agent that lived beside one that did not, in turn."""
    homes = {"an empty agent": folder / "empty", f"{BLOCKS} blocks, {messages:,} messages": folder / "lived"}
    first: dict[str, list[float]] = {name: [] for name in homes}
    whole: dict[str, list[float]] = {name: [] for name in homes}
    with model_server([{"text": "done", "repeat": 10_000}], folder / "server") as server:
        for number in range(START_ROUNDS + 1):
            for name, home in homes.items():
                endpoint_home(home, server.url)
                server.forget()
                done = run([LETTA, "-p", PROMPT], clean_environment(home), project)
                if done.code != 0:
                    raise SystemExit(f"letta-code failed with {done.code}:\n{done.output[-2000:]}")
                told = Path(server.requests()[0]["body"]).read_bytes().count(b"<block label")
                if (told >= BLOCKS) != (home == folder / "lived"):
                    raise SystemExit(f"the request of {name} has {told} blocks")
                if number:  # the first one makes the home, or brings it to the disk's cache
                    first[name].append((server.requests()[0]["at"] - done.began) * 1000)
                    whole[name].append(done.seconds * 1000)
    table = Table(f"start of a new conversation, whole processes, medians of {START_ROUNDS} rounds, interleaved")
    names = list(homes)
    for what, took in (("to the first request", first), ("whole run", whole)):
        ratio = median(big / small for small, big in zip(took[names[0]], took[names[1]], strict=True))
        table.line(f"{what}: {names[0]}", f"{median(took[names[0]]):.1f} ms")
        gate, good = ("at most 1.2x", ratio <= 1.2) if took is first else ("", None)
        table.line(f"{what}: {names[1]}", f"{median(took[names[1]]):.1f} ms {ratio:4.2f}x", gate, good)
    return table


# ---------------------------------------------------------------- tokens


def _tokens(folder: Path, project: Path) -> Table:
    """What the first request of a new agent holds, as the server got it."""
    home = folder / "new"
    with model_server([{"text": "done"}], folder / "server-of-new") as server:
        endpoint_home(home, server.url)
        run([LETTA, "-p", PROMPT], clean_environment(home), project)
        parts = parts_of(json.loads(Path(server.requests()[0]["body"]).read_bytes()))
    table = Table("tokens of a new agent's first request (cl100k_base)")
    tools = [parts.get(f"tool {name}", 0) for name in TOOLS]
    for name, count in zip(TOOLS, tools, strict=True):
        table.line(f"tool {name}", str(count) if count else "is not sent")
    table.line("tools of memory", str(sum(tools)), "all six, at most 900", all(tools) and sum(tools) <= 900)
    table.line("memory in the instructions", str(parts.get("memory", 0)))
    table.line("all", str(sum(parts.values())), "under 6,000", sum(parts.values()) < 6000)
    return table


# ---------------------------------------------------------------- writes and searches


def _writes_and_searches(home: Path, project: Path, agent: str, messages: int) -> Table:
    """In this process: what a tool call pays."""
    table = Table(f"writes and searches, {BLOCKS} blocks, {messages:,} messages")
    disk = bare_commit(home).p50
    table.line("bare commit of this disk", f"{disk:.2f} ms")
    key = project_key(str(project))
    mine = Blocks(home, agent, key, "conv-mine")
    by = Provenance(conversation="conv-mine", seq=1)
    numbers = iter(range(10_000))
    table.line("one block write, p50", _p50(lambda: mine.apply(Append(label="todo", text=f"- {next(numbers)}"), by)))
    paths = Paths(home=home)
    store = Store.open(
        paths.database, conversations_dir=paths.conversations, agents_dir=paths.agents, redactor=Secrets()
    )
    with store:
        asyncio.run(_steps(table, store, home, agent, str(project)))
        desk = open_desk(store, home, agent, str(project), "conv-search")
        began = time.monotonic()
        hits = desk.recall.search("fact777")
        table.line(
            f"the very first search, which indexes {messages:,} messages", f"{(time.monotonic() - began) * 1000:.0f} ms"
        )
        table.line("  of them left for the next one", f"{hits.left:,}")
        began = time.monotonic()
        left = desk.recall.catch_up()
        table.line("  indexing those", f"{time.monotonic() - began:.1f} s", "nothing left", left == 0)
        rng = random.Random(7)
        one = _p50(lambda: desk.recall.search(f"fact{rng.randrange(messages)}"))
        table.line("conversation_search, one rare word, p50", one)
        table.line("conversation_search, four words, p50", _p50(lambda: desk.recall.search(words(rng, 4))))
        table.line("conversation_search, the newest, p50", _p50(lambda: desk.recall.search("")))
        found = desk.recall.search("fact777").found
        first = f"{found[0].conversation_id} {found[0].seq}" if found else "nothing"
        place = f"conv-lived-{777 // A_CONVERSATION * A_CONVERSATION:06} {777 % A_CONVERSATION + 2}"
        table.line("  finds what was said", "yes" if first == place else first, place, first == place)
    return table


async def _steps(table: Table, store: Store, home: Path, agent: str, root: str) -> None:
    """What a step asks of memory before its request: with nothing new, and after another conversation's edit."""
    desk = open_desk(store, home, agent, root, "conv-mine")
    other = Blocks(home, agent, project_key(root), "conv-other")
    shown = desk.show()
    desk.knows(shown.pin)
    quiet: list[float] = []
    told: list[float] = []
    for number in range(EDITS):
        began = time.perf_counter()
        news = await desk.news()
        quiet.append((time.perf_counter() - began) * 1000)
        if news.text:
            raise SystemExit("something was told where nothing changed")
        edit = Append(label=f"matter-{number % 40}", text=f"more {number}")
        await asyncio.to_thread(other.apply, edit, Provenance(conversation="conv-other", seq=number))
        began = time.perf_counter()
        news = await desk.news()
        told.append((time.perf_counter() - began) * 1000)
        if f"more {number}" not in news.text:
            raise SystemExit("an edit of another conversation was not told")
        desk.knows(news.pin)
    table.line("a step with nothing new, p50", f"{median(quiet):.2f} ms", "at most 2 ms", median(quiet) <= 2)
    table.line("a step after another conversation's edit, p50", f"{median(told):.2f} ms")


def _p50(deed: Callable[[], object], count: int = 50) -> str:
    times: Sequence[float] = []
    for _ in range(3):
        deed()
    times = [_milliseconds(deed) for _ in range(count)]
    return f"{median(times):.2f} ms"


def _milliseconds(deed: Callable[[], object]) -> float:
    began = time.perf_counter()
    deed()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else MESSAGES))
