"""What is looked for after a day with mutated files: crashes, hangs, silent loss, bad files gone or not named."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec
from _mutate_everyday import Day

from letta_code.core.errors import StoreError
from letta_code.core.events import ConversationStarted, Durable, Notice, decode
from letta_code.store.backing import rescued
from letta_code.store.salvage import read_mirror

# Each must be 0.
WRONGS = {
    "crashed": "errors that are no answer to a person: another exception than the project's own at a border",
    "hung": "rounds that did not end in time",
    "not listed": "conversations with a surviving copy that are not in the list",
    "not opened": "conversations with a surviving copy that do not open",
    "lost": "events that a copy still has and that are not in the conversation",
    "not kept": "bad files whose bytes are nowhere any more",
    "not named": "bad files that were put aside or not used, and that nobody was told of",
    "not told": "losses of the database, of memory or of what a search finds that nobody was told of",
    "written over": "files outside of the home that a link led to, and whose words are gone",
}


MOST_SHOWN = 40  # findings
_HOLE = b"damaged_event"


class Verdict:
    """Counts what is wrong; `findings` says where, the first few of each kind."""

    def __init__(self) -> None:
        self.wrongs: Counter[str] = Counter()
        self.findings: list[str] = []
        self.mutations: Counter[str] = Counter()
        self.rounds = 0
        self.told = 0  # rounds in which a person was told of something
        self.opened = 0
        self.slowest = 0.0

    def find(self, kind: str, where: str) -> None:
        """Count one wrong thing."""
        self.wrongs[kind] += 1
        if self.wrongs[kind] <= 15:
            self.findings.append(f"{kind}: {where}")

    def add(self, other: Verdict) -> None:
        """Take in what another process found."""
        self.wrongs += other.wrongs
        self.mutations += other.mutations
        self.findings += other.findings[: max(0, MOST_SHOWN - len(self.findings))]
        self.rounds += other.rounds
        self.told += other.told
        self.opened += other.opened
        self.slowest = max(self.slowest, other.slowest)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrongs.total()


class Truth(NamedTuple):
    """The home before anything was done to it: what its database has (by conversation and seq) and a day with it."""

    events: dict[str, dict[int, bytes]]
    day: Day


class Copies(NamedTuple):
    """What a mutated home still has: `all` in whatever copy, `database` in the database alone; by id and seq."""

    all: dict[str, dict[int, bytes]]
    database: dict[str, dict[int, bytes]]


def surviving(home: Path) -> Copies:
    """What the copies of a mutated home still have.

    Reading the database changes it (its log is taken in), so this is done with a copy of the home.
    """
    database = _in_database(home / "letta.db", shared=True)
    found = {name: dict(rows) for name, rows in database.items()}
    for path in sorted((home / "backups").glob("letta-*.db")):
        for name, rows in _in_database(path).items():
            found[name] = {**rows, **found.get(name, {})}
    for path in (home / "conversations").glob("conv-*.jsonl"):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                rows = read_mirror(path)[0]
                name = _whose([row.body for row in rows[:1]], path.stem)
                for row in rows:
                    found.setdefault(name, {}).setdefault(row.seq, row.body)
    return Copies(found, database)


def _whose(first: Sequence[bytes], otherwise: str) -> str:
    """The conversation that a copy is of by its own first event: two may have been swapped."""
    for body in first:
        with contextlib.suppress(msgspec.DecodeError):
            event = decode(body)
            if isinstance(event, ConversationStarted):
                return event.conversation_id
    return otherwise


def _in_database(path: Path, *, shared: bool = False) -> dict[str, dict[int, bytes]]:
    if path.is_file() and not path.is_symlink():
        with contextlib.suppress(StoreError, apsw.Error, OSError):
            found = rescued(path, {}, shared=shared).events
            return {name: {row.seq: row.body for row in rows} for name, rows in found.items()}
    return {}


def look(
    verdict: Verdict, day: Day, survivors: Mapping[str, Mapping[int, bytes]], known: Collection[str], where: str
) -> None:
    """Compare a day with what survived before it, of the conversations that are known."""
    for crash in day.crashes:
        verdict.find("crashed", f"{where}: {crash}")
    verdict.told += bool(day.said)
    for name, rows in survivors.items():
        if name not in known:
            continue  # a bit of an id was flipped: the event is whole, and of no conversation that there ever was
        if name not in day.listed:
            verdict.find("not listed", f"{where}: {name} ({len(rows)} events); said: {' | '.join(day.said)[:300]}")
            continue
        if name in day.refused:
            verdict.find("not opened", f"{where}: {name}: {day.refused[name][:300]}")
            continue
        verdict.opened += 1
        told = day.events[name]
        missing = [seq for seq, raw in rows.items() if seq not in told or (_is_hole(told[seq]) and _HOLE not in raw)]
        if missing:
            verdict.find("lost", f"{where}: {name}: events {missing[:5]} of {len(rows)}")


def look_for_silence(
    verdict: Verdict, day: Day, copies: Copies, truth: Truth, *, mutated: Sequence[str], where: str
) -> None:
    """What the database lost, what memory and the searches have not any more: somebody must have been told."""

    def told(*words: str) -> bool:
        return any(word in text for text in day.said for word in words)

    def find(what: str) -> None:
        verdict.find("not told", f"{where}: {what}; said: {' | '.join(day.said)[:300]}")

    for name, rows in truth.events.items():
        gone = rows.keys() - copies.database.get(name, {}).keys()
        if "letta.db-wal" in mutated:  # what only the log had and no copy has, nobody can know of
            gone &= copies.all.get(name, {}).keys()
        if gone and not told("letta.db", name):
            find(f"the database lost {len(gone)} events of {name}")
    differing = [label for label, text in truth.day.memory.items() if day.memory.get(label) != text]
    if differing and not told("memory", "/.git"):
        find(f"blocks are other ones: {', '.join(differing)}")
    for where_found, number in truth.day.found.items():
        kept_twice = {"talk": "conversations/", "archive": "passages.jsonl"}[where_found]
        if sum(name.startswith("letta.db") or kept_twice in name for name in mutated) > 1:
            continue  # both copies
        if day.found.get(where_found, 0) < number and not told("search", "index", "letta.db", kept_twice):
            find(f"a search of {where_found} finds {day.found.get(where_found, 0)} of {number}")


def _is_hole(event: Durable) -> bool:
    return isinstance(event, Notice) and event.code == _HOLE.decode()
