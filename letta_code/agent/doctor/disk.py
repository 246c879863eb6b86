"""Disk: room where the home is, and what takes it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from letta_code.agent.doctor.base import Finding, Look, Telling, check
from letta_code.agent.saving.restoring import BEFORE
from letta_code.agent.saving.salvaging import DAMAGED
from letta_code.core.counts import size
from letta_code.host.probe import size_of

_said = Telling("disk")
_LOW, _VERY_LOW = 500_000_000, 50_000_000  # bytes
_FOLDERS = ("conversations", "agents", "shared", "index", "checkpoints", "backups", "logs", "cache", "run")
_LARGE_LOGS = 50_000_000


@check("disk", 5)
def disk(look: Look) -> Iterator[Finding]:
    """Free bytes and entries, then the home by its parts."""
    place = _there(look.paths.home)
    free = shutil.disk_usage(place).free
    entries = os.statvfs(place)
    says = f"{size(free)} are free where {look.paths.home} is."
    if free < _LOW:
        means = "When nothing is free, messages cannot be saved: letta-code stops before it loses one."
        yield _said("room", "wrong" if free < _VERY_LOW else "warning", says, means, "letta-code clean --yes")
    elif entries.f_files and entries.f_favail < 1000:
        yield _said("room", "warning", f"Only {entries.f_favail} files can still be made there.", mend="df -i")
    else:
        yield _said("room", "ok", says)
    yield from _parts(look.paths.home)


def _there(path: Path) -> Path:
    while not path.exists() and path.parent != path:
        path = path.parent
    return path


def _parts(home: Path) -> Iterator[Finding]:
    if not home.is_dir():
        return
    amounts = {"database": sum(size_of(one)[0] for one in home.glob("letta.db*"))}
    amounts |= {name: size_of(home / name)[0] for name in _FOLDERS}
    aside = [one for start in (BEFORE, DAMAGED) for one in home.glob(f"{start}*")]
    amounts["moved aside"] = sum(size_of(one)[0] for one in aside)
    listed = ", ".join(f"{name} {size(amount)}" for name, amount in amounts.items() if amount)
    yield _said("home", "ok", f"{size(sum(amounts.values()))} in it: {listed or 'nothing'}.")
    if amounts["logs"] > _LARGE_LOGS:
        yield _said("logs", "warning", f"The logs have {size(amounts['logs'])}.", mend="letta-code clean --yes")
