"""Whether bad files were kept and named: by the bytes they had and the words that a person was given."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from _mutate_everyday import Day
from _mutate_verdict import Verdict

# What may be made anew without a word, because nothing but speed is lost: the index, the cache, locks, SQLite's own.
DERIVED = ("index/", "cache/", "run/", "logs/", "letta.db-shm", "letta.db-wal", "backups/")
# Files that letta-code appends to or rewrites on each day: their bytes are looked for inside what stands there now.
_GROWING = (".jsonl", ".draft")


class Bad(NamedTuple):
    """A mutated file: its name in the home and its bytes, None where it is none any more."""

    name: str
    data: bytes | None


def remember(home: Path, path: Path) -> Bad:
    """What was made of a file."""
    plain = path.is_file() and not path.is_symlink()
    return Bad(str(path.relative_to(home)), path.read_bytes() if plain else None)


def look_for_bad(verdict: Verdict, home: Path, bad: list[Bad], day: Day, where: str) -> None:
    """A file that was rewritten during the day must still be somewhere, and somebody told of it."""
    for one in bad:
        if (
            not one.data
            or ".git/" in one.name
            or one.name.startswith(DERIVED)
            or (one.data.startswith(b"{") and one.name == "config.yaml")
            or one.name.endswith((".lock", ".draft"))
        ):
            continue
        now = home / one.name
        if _holds(now, one.data):
            continue
        kept = [path for path in _others(home, one.name) if _holds(path, one.data)]
        if not kept and not one.name.startswith("letta.db"):  # a database that opens is written on, in its pages
            verdict.find("not kept", f"{where}: {one.name}")
        elif kept and not any(
            path.name in text or one.name in text or path.parent.name in text for path in kept for text in day.said
        ):
            verdict.find("not named", f"{where}: {one.name}, kept as {kept[0].relative_to(home)}")


def _others(home: Path, name: str) -> list[Path]:
    stem = Path(name).name.removesuffix(".jsonl")
    return [path for path in home.rglob(f"*{stem}*") if path.is_file() and not path.is_symlink()]


def _holds(path: Path, data: bytes) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    with contextlib.suppress(OSError):
        return _whole(path, data) in path.read_bytes()
    return False


def _whole(path: Path, data: bytes) -> bytes:
    """What must be there: of a readable copy its whole lines, since an unfinished last one is cut off on purpose."""
    if path.parent.name == "conversations" and path.suffix in (".jsonl", ".old"):
        return data[: data.rfind(b"\n") + 1]
    return data.rstrip(b"\n")
