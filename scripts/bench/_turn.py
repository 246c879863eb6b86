"""What letta-code itself costs a turn: from the last byte of an answer to the next request, seen by the server."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _disk import bare_commit
from _measure import (
    BENCH,
    LETTA,
    PYTHON,
    Table,
    clean_environment,
    endpoint_home,
    median,
    model_server,
    run,
)

LONG = 1000
SHORT = 20
ROUNDS = 5
LONG_ROUNDS = 3
KINDS = ("read", "edit", "shell")


class Loop(NamedTuple):
    """One run of a loop: milliseconds of our own for each turn, the bodies sent, the peak in MB."""

    turns: list[float]
    bodies: list[str]
    memory: float
    seconds: float


def replies(count: int) -> list[dict[str, Any]]:
    """Turns that read, edit and run in turn, no two alike, and a last word."""
    found: list[dict[str, Any]] = []
    for number in range(count):
        kind = KINDS[number % 3]
        edit = number // 3
        arguments: dict[str, Any] = {
            "read": {"path": "app.py", "offset": 1 + edit % 30, "limit": 20 + edit // 30},
            "edit": {"path": "app.py", "old": f"VERSION = {edit}\n", "new": f"VERSION = {edit + 1}\n"},
            "shell": {"command": f"echo {number}"},
        }[kind]
        name = {"read": "Read", "edit": "Edit", "shell": "Bash"}[kind]
        found.append({"tools": [{"name": name, "arguments": json.dumps(arguments)}], "piece": 1000})
    return [*found, {"text": "done"}]


def main(turns: int) -> int:
    """Print the tables; 0 when every gate held."""
    with tempfile.TemporaryDirectory(prefix="letta-bench-") as scratch:
        folder = Path(scratch)
        disk = bare_commit(folder).p50
        table = Table(f"a turn of letta-code: {SHORT} turns of read, edit and shell, medians of {ROUNDS} rounds")
        _short(table, folder, disk)
        _long(table, folder, turns)
        return table.code


def _short(table: Table, folder: Path, disk: float) -> None:
    ours: list[Loop] = []
    bare: list[Loop] = []
    for number in range(ROUNDS):
        ours.append(_played(folder / f"short-{number}", SHORT))
        bare.append(_null(folder / f"null-{number}", ours[-1].bodies, SHORT))
    cost = median(value for loop in ours for value in loop.turns)
    null = median(value for loop in bare for value in loop.turns)
    gate = 10 + 2 * disk
    table.line("bare commit of this disk", f"{disk:.2f} ms")
    table.line("a turn of a bare httpx client", f"{null:.2f} ms")
    for at, kind in enumerate(KINDS):
        value = median(one for loop in ours for one in loop.turns[at::3])
        table.line(f"a turn of letta-code: {kind}", f"{value:.2f} ms")
    table.line("a turn of letta-code, all", f"{cost:.2f} ms", f"10 ms + 2 commits = {gate:.1f} ms", cost <= gate)
    table.line("peak memory", f"{max(loop.memory for loop in ours):.1f} MB")


def _long(table: Table, folder: Path, turns: int) -> None:
    loops = [_played(folder / f"long{number}", turns) for number in range(LONG_ROUNDS)]
    # The very first turns also pay for what is loaded once; the next 20 do not, and the gate takes the cheaper.
    firsts = [median(loop.turns[:20]) for loop in loops]
    seconds = [median(loop.turns[20:40]) for loop in loops]
    lasts = [median(loop.turns[-20:]) for loop in loops]
    # The quietest of the runs on either side: what other programs took is no cost of ours.
    least, last = min(*firsts, *seconds), min(lasts)
    bodies = loops[0].bodies
    # What a bare client needs for the very same bodies is no cost of ours: 400 kB take longer to send than 10.
    rounds = range(LONG_ROUNDS)
    bare_first = min(median(_null(folder / f"null-first{n}", bodies[:41], 40).turns[20:]) for n in rounds)
    bare_last = min(median(_null(folder / f"null-last{n}", bodies[-21:], 20).turns) for n in rounds)
    own, own_last = least - bare_first, last - bare_last
    size = Path(bodies[-1]).stat().st_size / 1000
    table.line(f"one conversation of {len(loops[0].turns)} turns", f"{median(loop.seconds for loop in loops):.1f} s")
    table.line("its first 20 turns", f"{min(firsts):.2f} ms")
    table.line("its next 20 turns", f"{min(seconds):.2f} ms, a bare client with these bodies {bare_first:.2f} ms")
    table.line(f"its last 20 turns ({size:.0f} kB)", f"{last:.2f} ms, a bare client with these {bare_last:.2f} ms")
    table.line("last 20 turns against the first, all", f"{last / least:.2f}x")
    table.line("last 20 turns against the first, own", f"{own_last / own:.2f}x", "at most 1.2x", own_last <= 1.2 * own)
    table.line("peak memory", f"{max(loop.memory for loop in loops):.1f} MB")


def _played(folder: Path, count: int) -> Loop:
    """The loop with letta-code."""
    project, home = folder / "project", folder / "home"
    project.mkdir(parents=True)
    lines = "".join(f"# line {number}\n" for number in range(200))
    (project / "app.py").write_text(f"VERSION = 0\n{lines}", encoding="utf-8")
    with model_server(replies(count), folder / "server") as server:
        endpoint_home(home, server.url)
        argv = [LETTA, "-p", "Go.", "--mode", "full", "--quiet"]
        done = run(argv, clean_environment(home), project)
        if done.code != 0:
            raise SystemExit(f"letta-code failed with {done.code}:\n{done.output[-2000:]}")
        requests = server.requests()
    expected = f"VERSION = {len(range(1, count, 3))}\n"
    if not (project / "app.py").read_text(encoding="utf-8").startswith(expected):
        raise SystemExit("not all edits were made")
    return Loop(gaps(requests), [one["body"] for one in requests], done.memory, done.seconds)


def _null(folder: Path, bodies: Sequence[str], count: int) -> Loop:
    """The same bodies from a bare client, to the same answers."""
    with model_server(replies(count), folder / "server") as server:
        url = f"{server.url}/v1/chat/completions"
        argv = [PYTHON, "-I", str(BENCH / "_null_client.py"), "async", url, *bodies]
        done = run(argv, clean_environment(folder), folder)
        requests = server.requests()
    if done.code != 0:
        raise SystemExit(f"the bare client failed with {done.code}:\n{done.output[-2000:]}")
    return Loop(gaps(requests), [], done.memory, done.seconds)


def gaps(requests: Sequence[Mapping[str, Any]]) -> list[float]:
    """Milliseconds between the end of an answer and the next request, in order."""
    return [(after["at"] - before["sent"]) * 1000 for before, after in pairwise(requests)]


def _say_while_it_lasts() -> None:
    """A long run should not look like a hang."""

    def dots() -> None:
        while True:
            time.sleep(10)
            print(".", end="", file=sys.stderr, flush=True)

    threading.Thread(target=dots, daemon=True).start()


if __name__ == "__main__":
    _say_while_it_lasts()
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else LONG))
