"""What is looked for after a disk failed: in the work folder, in the home, in the store and in memory's repository."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import yaml
from _disk_scenario import ALLOWED, Scenario

from letta_code.safety.vault import Secrets
from letta_code.store.database import Store
from letta_code.store.salvage import read_mirror

# Each must be 0.
WRONGS = {
    "crashed": "errors that no person can act on, runs that hang, steps that never work again",
    "half": "files that are neither their old nor their new content, or left-overs beside them",
    "lost": "events that were told and are not in the store as they were told",
    "damaged": "a store, a mirror or a memory repository that does not pass its own check",
    "unfinished": "runs that did not go on by themselves once there was room",
    "silent": "failed writes that nobody was told of and that are missing at the end",
}
_LEFT = (".tmp", "~", "-journal", ".lock.tmp")


class Verdict:
    """Counts what is wrong; `findings` says where, the first few of each kind."""

    def __init__(self) -> None:
        self.wrongs: Counter[str] = Counter()
        self.findings: list[str] = []
        self.told: Counter[str] = Counter()  # how a person learned of it
        self.struck: Counter[str] = Counter()  # which operation failed

    def find(self, kind: str, where: str) -> None:
        """Count one wrong thing."""
        self.wrongs[kind] += 1
        if self.wrongs[kind] <= 12:
            self.findings.append(f"{kind}: {where}")

    def add(self, other: Verdict) -> None:
        """Take in what another process found."""
        self.wrongs += other.wrongs
        self.told += other.told
        self.struck += other.struck
        self.findings += other.findings

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrongs.total()


def look(verdict: Verdict, scenario: Scenario, where: str, *, git: bool) -> None:
    """Everything that one pass left behind."""
    for text in scenario.seen.broken:
        verdict.find("crashed", f"{where}: {text}")
    for kind, text in (*_files(scenario), *_left_over(scenario), *_settings(scenario), *_store(scenario)):
        verdict.find(kind, f"{where}: {text}")
    if git:
        for text in _repositories(scenario):
            verdict.find("damaged", f"{where}: {text}")
    if len(scenario.seen.reasons) < 2 or "by hand" in scenario.seen.reasons:
        verdict.find("unfinished", f"{where}: {scenario.seen.reasons} {scenario.seen.said[-3:]}")


def _files(scenario: Scenario) -> Iterator[tuple[str, str]]:
    for name, allowed in ALLOWED.items():
        path = scenario.work / name
        if path.exists() and path.read_text() not in allowed:
            yield "half", f"{name} has {path.stat().st_size} bytes: {path.read_text()[:60]!r}"
        if not path.exists() and not any("result of" in said for said in scenario.seen.said):
            yield "silent", f"{name} is missing, and no result said so"


def _left_over(scenario: Scenario) -> Iterator[tuple[str, str]]:
    for folder in (scenario.work, scenario.paths.home):
        for path in folder.rglob("*"):
            if path.name.endswith(_LEFT) or ".tmp" in path.name:
                yield "half", f"left over: {path.relative_to(folder.parent)}"


def _settings(scenario: Scenario) -> Iterator[tuple[str, str]]:
    config = scenario.paths.config
    found = yaml.safe_load(config.read_text()) if config.exists() else None
    if found != {"max_turns": 80}:
        yield "half", f"config.yaml holds {found}"


def _store(scenario: Scenario) -> Iterator[tuple[str, str]]:
    home = scenario.paths.home
    with Store.open(
        scenario.paths.database,
        conversations_dir=home / "conversations",
        agents_dir=home / "agents",
        redactor=Secrets(),
    ) as s:
        damage = s._engine._writer._database.damage()  # the check that a doctor would do
        if damage:
            yield "damaged", f"the database: {damage[:2]}"
        names = {name for name, _ in scenario.seen.told}
        for name in names:
            stored = {one.seq: one for one in s.read(name)}
            if sorted(stored) != list(range(1, s.last_seq(name) + 1)) or any(one.damage for one in stored.values()):
                yield "damaged", f"{name}: gaps or damage"
            for (_, seq), event in ((key, e) for key, e in scenario.seen.told.items() if key[0] == name):
                if seq not in stored or stored[seq].event != event:
                    yield "lost", f"{name} event {seq}: {str(event)[:80]}"
            raw = [one.raw for one in stored.values()]
            mirror = home / "conversations" / f"{name}.jsonl"
            if any(str(mirror) in said for said in scenario.seen.said) and len(raw) > _lines(mirror):
                s.acquire_writer(name).release()  # a person was told what mends it: opening the conversation
            yield from _mirror(mirror, raw)


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _mirror(path: Path, raw: list[bytes]) -> Iterator[tuple[str, str]]:
    try:
        rows, problems = read_mirror(path)
    except OSError as error:
        yield "damaged", f"{path.name}: {error}"
        return
    if problems:
        yield "damaged", f"{path.name} line {problems[0].line}: {problems[0].text}"
    if [row.body for row in rows] != raw:
        yield "silent", f"{path.name} has {len(rows)} of {len(raw)} events"


def _repositories(scenario: Scenario) -> Iterator[str]:
    for git_dir in scenario.paths.home.glob("**/.git"):
        done = subprocess.run(
            ["git", "-C", str(git_dir.parent), "fsck", "--strict", "--no-dangling"],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            yield f"git fsck of {git_dir.parent.name}: {(done.stderr or done.stdout)[:200]}"
