"""Whether bad files were kept and named: by the bytes they had and the words that a person was given.

What may go without a word is what holds nothing of anybody: caches, locks and what is made anew from something else.
SQLite's log is not kept as a file either: what was in it is looked for event by event (`_mutate_verdict`).
"""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml
from _mutate_everyday import Day
from _mutate_files import readable
from _mutate_verdict import Verdict

from letta_code.core.errors import LettaError
from letta_code.host.memory_git import Repository

DERIVED = ("index/", "cache/", "run/", "logs/", "letta.db-shm", "letta.db-wal")
_GIT_CACHES = ("/.git/index", "/.git/letta/")
_DATABASE = b"SQLite format 3\0"
_EVENT = b'{"crc":"'  # how a line of a readable copy begins


class Bad(NamedTuple):
    """A mutated file: its name in the home and its bytes, None where it is no file any more."""

    name: str
    data: bytes | None


def remember(home: Path, path: Path) -> Bad:
    """What was made of a file."""
    if not path.is_file() or path.is_symlink():
        return Bad(str(path.relative_to(home)), None)
    with readable(path):
        return Bad(str(path.relative_to(home)), path.read_bytes())


def look_for_bad(verdict: Verdict, home: Path, bad: list[Bad], day: Day, where: str) -> None:
    """A file that was rewritten during the day must still be somewhere, and somebody told of it."""
    for one in bad:
        now = home / one.name
        if not one.data or _is_derived(one.name) or _holds(now, one.data) or _is_in_use(now, one, day):
            continue
        kept = [path for path in _others(home, one.name) if _holds(path, one.data)]
        if not kept:
            verdict.find("not kept", f"{where}: {one.name}")
        elif not any(word in text for path in kept for word in _names(home, path, one) for text in day.said):
            verdict.find("not named", f"{where}: {one.name}, kept as {kept[0].relative_to(home)}")


def _is_derived(name: str) -> bool:
    return name.startswith(DERIVED) or name.endswith((".lock", "/lock")) or any(part in name for part in _GIT_CACHES)


def _is_in_use(now: Path, one: Bad, day: Day) -> bool:
    """Whether the file was no bad one after all: it was understood, and then written on."""
    assert one.data is not None
    if one.name == "letta.db":  # one that opens is written on, in its pages; its events are looked for one by one
        return one.data.startswith(_DATABASE)
    if one.name in ("config.yaml", "credentials.yaml"):
        return _says_still(now, one.data)
    if one.name.endswith(".draft"):  # it stood at the prompt, before a person's eyes, and then they typed on
        return one.data.decode("utf-8", "replace") in day.draft
    if "/.git/objects/" in one.name:  # written once more with what its name promises
        return _is_object(now)
    if "/.git/refs/" in one.name:  # it named a commit that the branch still has
        return _is_in_history(now, one.data)
    return False


def _is_in_history(now: Path, old: bytes) -> bool:
    root, _, ref = str(now).partition("/.git/")
    with contextlib.suppress(OSError, LettaError):
        repository = Repository(Path(root))
        return any(commit.sha.encode() == old.strip() for commit in repository.commits(repository.head(ref)))
    return False


def _says_still(now: Path, old: bytes) -> bool:
    """Whether all that a file said is in it still, if in other words."""
    before, after = _mapping(old), _mapping(now.read_bytes() if now.is_file() else b"")
    if before is None or after is None:
        return False
    return all(after.get(key) == value for key, value in before.items() if key != "max_turns")


def _mapping(data: bytes) -> dict[Any, Any] | None:
    """What a file of settings says, None for one that is no such file."""
    with contextlib.suppress(UnicodeDecodeError, yaml.YAMLError):
        value = yaml.safe_load(data.decode("utf-8-sig")) or {}  # one that holds comments alone says nothing
        return cast("dict[Any, Any]", value) if isinstance(value, dict) else None
    return None


def _is_object(path: Path) -> bool:
    with contextlib.suppress(OSError, zlib.error):
        return hashlib.sha1(zlib.decompress(path.read_bytes())).hexdigest() == path.parent.name + path.name
    return False


def _names(home: Path, kept: Path, one: Bad) -> tuple[str, ...]:
    """Words of which a person must have read one: the file, where it is kept, or the folder of what is kept."""
    aside = () if kept.parent in (home, home / Path(one.name).parent) else (kept.parent.name,)
    return (kept.name, one.name, *aside)


def _others(home: Path, name: str) -> list[Path]:
    stem = Path(name).name.removesuffix(".jsonl").removesuffix(".md")  # conflicts/<block>@<commit>.md as well
    return [path for path in home.rglob(f"*{stem}*") if path.is_file() and not path.is_symlink()]


def _holds(path: Path, data: bytes) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    with contextlib.suppress(OSError), readable(path):
        return _whole(path, data) in path.read_bytes()
    return False


def _whole(path: Path, data: bytes) -> bytes:
    """What must be there: of a readable copy not its last line where that is the beginning of an event."""
    if path.parent.name == "conversations" and path.suffix in (".jsonl", ".old"):
        end = data.rfind(b"\n") + 1
        return data[:end] if data[end:].startswith(_EVENT) or _EVENT.startswith(data[end:]) else data
    return data
