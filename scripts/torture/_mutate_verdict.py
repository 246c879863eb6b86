"""What is looked for after a day with mutated files: crashes, hangs, silent loss, bad files gone or not named."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import apsw
from _mutate_everyday import Day

from letta_code.core.errors import StoreError
from letta_code.core.events import Durable, Notice
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


def surviving(home: Path) -> dict[str, dict[int, bytes]]:
    """What the copies of a mutated home still have: by conversation and seq, whatever copy it is in.

    Reading the database changes it (its log is taken in), so this is done with a copy of the home.
    """
    found: dict[str, dict[int, bytes]] = {}
    sources = [home / "letta.db", *sorted((home / "backups").glob("letta-*.db"))]
    for path in sources:
        if not path.is_file() or path.is_symlink():
            continue
        with contextlib.suppress(StoreError, apsw.Error, OSError):
            for name, rows in rescued(path, {}).events.items():
                for row in rows:
                    found.setdefault(name, {}).setdefault(row.seq, row.body)
    for path in (home / "conversations").glob("conv-*.jsonl"):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                for row in read_mirror(path)[0]:
                    found.setdefault(path.stem, {}).setdefault(row.seq, row.body)
    return found


def look(verdict: Verdict, day: Day, survivors: Mapping[str, Mapping[int, bytes]], where: str) -> None:
    """Compare a day with what survived before it."""
    for crash in day.crashes:
        verdict.find("crashed", f"{where}: {crash}")
    verdict.told += bool(day.said)
    for name, rows in survivors.items():
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


def _is_hole(event: Durable) -> bool:
    return isinstance(event, Notice) and event.code == _HOLE.decode()
