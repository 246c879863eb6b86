"""Resuming long conversations beside an empty one: headless to the first request, the full screen to its last words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _measure import BENCH, LETTA, PYTHON, ROOT, Run, Server, Table, clean_environment, median, model_server, run
from _tui import PROMPT, Screen

ROUNDS = 9
SAY = "Say done."
LAST = b"endoftheconversation"  # of _long.py
GROW = "import sys; sys.path.insert(0, sys.argv[1]); from _long import grow; from pathlib import Path; "
# Name → events, compactions.  A turn of 8 events has 4 messages: 4,000 events are 2,000 messages.
LONG = {"2,000 messages": (4_000, 0), "10,000 events": (10_000, 0), "10,000 events, 6 compactions": (10_000, 6)}


class Conversation(NamedTuple):
    """One home with one conversation: `id` is empty where nothing was said yet."""

    env: Mapping[str, str]
    id: str

    def argv(self, *more: str) -> list[str]:
        """The command that goes on with it."""
        return [LETTA, *(("--resume", self.id) if self.id else ()), *more]


class Shown(NamedTuple):
    """Milliseconds from the start of the full screen: the prompt, the last words; and the slowest of ten keys."""

    prompt: float
    end: float
    key: float


def main(rounds: int) -> int:
    """Print the table; 0 when every gate held."""
    if not sys.platform.startswith("linux"):
        raise SystemExit("This bench reads a pty as Linux gives it.")
    with tempfile.TemporaryDirectory(prefix="letta-bench-") as scratch:
        folder = Path(scratch)
        project = folder / "project"
        project.mkdir()
        table = Table(f"resuming long conversations: whole processes, medians of {rounds} rounds, interleaved")
        with model_server([{"text": "done", "repeat": 100_000}], folder / "server") as server:
            made = {name: _made(table, server, folder, name) for name in LONG}
            made = {"an empty one": Conversation(_home(folder / "empty", server), ""), **made}
            _screens(table, made, project, rounds)  # first: what is said below moves the last words up
            _headless(table, server, made, project, rounds)
        return table.code


def _home(home: Path, server: Server) -> Mapping[str, str]:
    """A person's home, used once so that nothing is made for the first time in a measured run."""
    letta = home / ".letta"
    letta.mkdir(parents=True, mode=0o700)
    # A window that holds them all: what is measured is the resume, not a compaction.
    room = "context:\n  compact_at_tokens: 50000000\n"
    endpoint = f"model: bench/fake\nendpoints:\n  bench:\n    base_url: {server.url}/v1\n"
    (letta / "config.yaml").write_text(endpoint + room, encoding="utf-8")
    (letta / "credentials.yaml").write_text("bench: sk-bench\n", encoding="utf-8")
    (letta / "credentials.yaml").chmod(0o600)
    return clean_environment(home, TERM="xterm-256color", COLORTERM="truecolor")


def _made(table: Table, server: Server, folder: Path, name: str) -> Conversation:
    events, compactions = LONG[name]
    home = folder / name.replace(" ", "-").replace(",", "")
    env = _home(home, server)
    _checked(run([LETTA, "-p", SAY], env, folder / "project"))
    listed = run([LETTA, "conversations", "--json"], env, folder / "project")
    conversation = json.loads(listed.output)[0]["id"]
    # In a process of its own: this one has to stay small, and the store must not be open while others are measured.
    script = GROW + f"print(grow(Path(sys.argv[2]), sys.argv[3], events={events}, compactions={compactions}))"
    argv = [PYTHON, "-c", script, str(BENCH), str(home / ".letta"), conversation]
    told = subprocess.run(argv, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True)
    size = sum(path.stat().st_size for path in (home / ".letta" / "conversations").glob("*.jsonl")) / 1_048_576
    table.line(f"made: {name}", f"{int(told.stdout):,} messages", f"{size:.1f} MB of events")
    return Conversation(env, conversation)


# ------------------------------------------------------------ headless


def _headless(table: Table, server: Server, made: Mapping[str, Conversation], project: Path, rounds: int) -> None:
    bare: dict[str, list[str]] = {}
    for name, one in made.items():  # byte code and disk caches, and the bytes that the bare client sends
        server.forget()
        _checked(run(one.argv("-p", SAY), one.env, project))
        body = server.requests()[-1]["body"]
        bare[name] = [PYTHON, "-I", str(BENCH / "_null_client.py"), "sync", f"{server.url}/v1/chat/completions", body]
    first: dict[str, list[float]] = {name: [] for name in made}
    least: dict[str, list[float]] = {name: [] for name in made}
    whole: dict[str, list[Run]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, one in made.items():
            for argv, took in ((bare[name], least[name]), (one.argv("-p", SAY), first[name])):
                server.forget()
                done = _checked(run(argv, one.env, project))
                took.append((server.requests()[0]["at"] - done.began) * 1000)
            whole[name].append(done)
    empty = next(iter(made))
    for name in made:
        megabytes = Path(bare[name][-1]).stat().st_size / 1_048_576
        table.line(f"bare httpx.Client, body of {name}", f"{median(least[name]):.1f} ms", f"{megabytes:.1f} MB")
    for name in made:
        _beside(table, f"-p, start to first request: {name}", first[name], first[empty] if name != empty else None)
    for name in made:
        table.line(f"-p, peak memory: {name}", f"{max(one.memory for one in whole[name]):.0f} MB")


def _beside(table: Table, what: str, mine: Sequence[float], empty: Sequence[float] | None) -> None:
    if empty is None:
        table.line(what, f"{median(mine):.1f} ms")
        return
    # Both figures of one round are from the same moment of a machine that others use as well.
    ratio = median(one / other for one, other in zip(mine, empty, strict=True))
    table.line(what, f"{median(mine):.1f} ms {ratio:.2f}x", "at most 1.5x the empty", ratio <= 1.5)


def _checked(done: Run) -> Run:
    if done.code != 0:
        raise SystemExit(f"a measured process failed with {done.code}:\n{done.output}")
    return done


# ------------------------------------------------------------ the full screen


def _screens(table: Table, made: Mapping[str, Conversation], project: Path, rounds: int) -> None:
    shown: dict[str, list[Shown]] = {name: [] for name in made}
    for one in made.values():
        _shown(one, project)  # byte code
    for _ in range(rounds):
        for name, one in made.items():
            shown[name].append(_shown(one, project))
    for name, all_of in shown.items():
        took = median(one.prompt for one in all_of)
        table.line(f"full screen, start to prompt: {name}", f"{took:.0f} ms", "at most 300 ms", took <= 300)
    empty = median(one.prompt for one in next(iter(shown.values())))
    for name, all_of in list(shown.items())[1:]:
        took = median(one.end for one in all_of)
        table.line(f"full screen, start to last words: {name}", f"{took:.0f} ms {took / empty:.2f}x")
    for name, all_of in shown.items():
        table.line(f"slowest of ten keys while it opens: {name}", f"{median(one.key for one in all_of):.0f} ms")


def _shown(one: Conversation, project: Path) -> Shown:
    prompt, end = _times(one, project)
    screen = Screen(one.argv(), one.env, project)
    try:
        screen.until(PROMPT)
        key = max(screen.echo(bytes([key])) for key in b"abcdefghij")
    finally:
        screen.end()
    return Shown(prompt, end, key)


def _times(one: Conversation, project: Path) -> tuple[float, float]:
    screen = Screen(one.argv(), one.env, project)
    try:
        prompt = (screen.until(PROMPT) - screen.began) * 1000
        end = (screen.until(LAST) - screen.began) * 1000 if one.id else prompt
    finally:
        screen.end()
        time.sleep(0.05)
    return prompt, end


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
