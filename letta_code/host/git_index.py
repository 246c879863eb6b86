"""Git's index (version 2 and 3): entries of the files that we write are replaced, all others stay as they are."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from hashlib import sha1
from pathlib import Path

from letta_code.core.messages import Value
from letta_code.host.files import PRIVATE_FILE, read_bounded, write_all

LARGEST = 64 << 20
_SIGN = b"DIRC"
_STAT = struct.Struct(">10I20sH")  # ctime, mtime (s, ns each), device, inode, mode, owner, group, size, name, flags
_MASK = 0xFFFFFFFF


class NotOurs(Exception):
    """The index is in a state that only the person's git may change (an unfinished merge, a split index)."""


class Staged(Value):
    """A file as it stands in the index: its blob, and the stat data that let git skip reading it (None: zeros).

    `mode` is git's octal text.
    """

    sha: str
    mode: str = "100644"
    found: os.stat_result | None = None


def patched(index: Path, changes: Mapping[str, Staged | None]) -> bytes | None:
    """The index file's content with entries replaced, added or (None) removed.

    None when there is no index or it cannot be read (a damaged one, version 4): the caller then makes a whole one.
    Raises `NotOurs`.
    """
    try:
        entries = _entries(read_bounded(index, LARGEST))
    except (OSError, ValueError):
        return None
    return None if entries is None else _content(entries, changes)


def whole(files: Mapping[str, Staged]) -> bytes:
    """The content of an index of these files only."""
    return _content({}, files)


def write(index: Path, content: bytes, ticket: Path) -> bool:
    """Put a content in place by git's own lock file; False when another git holds that.

    The lock is another name of `ticket`, a new file of ours: so one that a killed process left can be told from git's.
    """
    descriptor = os.open(ticket, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        write_all(descriptor, content)
        lock = index.with_name(index.name + ".lock")
        try:
            os.link(ticket, lock)
        except FileExistsError:
            return False
        os.replace(lock, index)
    finally:
        os.close(descriptor)
        ticket.unlink(missing_ok=True)
    return True


def _entries(raw: bytes) -> dict[bytes, bytes] | None:
    """Path → entry without its padding; None for another version."""
    if raw[:4] != _SIGN or int.from_bytes(raw[4:8], "big") not in (2, 3):
        return None
    count, at = int.from_bytes(raw[8:12], "big"), 12
    entries: dict[bytes, bytes] = {}
    for _ in range(count):
        flags = int.from_bytes(raw[at + 60 : at + 62], "big")
        if flags & 0x7000:  # extended flags, or one side of a merge that is not finished
            raise NotOurs
        end = raw.index(b"\0", at + 62)
        entries[raw[at + 62 : end]] = raw[at:end]
        at += (end - at) // 8 * 8 + 8
    while at + 8 <= len(raw) - 20:
        if raw[at : at + 1].islower():  # an extension without which the index means something else
            raise NotOurs
        at += 8 + int.from_bytes(raw[at + 4 : at + 8], "big")
    return entries


def _content(entries: dict[bytes, bytes], changes: Mapping[str, Staged | None]) -> bytes:
    for path, staged in changes.items():
        name = path.encode("utf-8", "surrogateescape")
        if staged is None:
            entries.pop(name, None)
        else:
            entries[name] = _entry(name, staged)
    parts = [_SIGN, (2).to_bytes(4, "big"), len(entries).to_bytes(4, "big")]
    for name in sorted(entries):
        entry = entries[name]
        parts += [entry, b"\0" * (8 - len(entry) % 8)]  # at least one, up to a multiple of eight
    content = b"".join(parts)
    return content + sha1(content, usedforsecurity=False).digest()


def _entry(name: bytes, staged: Staged) -> bytes:
    numbers = [0, 0, 0, 0, 0, 0, int(staged.mode, 8), 0, 0, 0]
    if staged.found is not None:
        s = staged.found
        numbers[:6] = [*divmod(s.st_ctime_ns, 10**9), *divmod(s.st_mtime_ns, 10**9), s.st_dev, s.st_ino]
        numbers[7:] = [s.st_uid, s.st_gid, s.st_size]
    return _STAT.pack(*(n & _MASK for n in numbers), bytes.fromhex(staged.sha), min(len(name), 0xFFF)) + name
