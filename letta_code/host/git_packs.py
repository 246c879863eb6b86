"""Packed git objects, read only: what `git gc` makes of loose ones."""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from letta_code.core.errors import LettaError

_INDEX_SIGN = b"\xfftOc\x00\x00\x00\x02"
_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_OFFSET_DELTA, _NAMED_DELTA = 6, 7
_HEAD_BYTES = 32  # an object's head and the name of its base fit in


class GitDamage(LettaError):
    """The repository holds something that cannot be read, or was made by a git that this reader does not know."""

    kind = "memory"


class Pack:
    """One pack and its index (version 2), mapped into memory; raises `GitDamage` for anything else."""

    def __init__(self, index: Path) -> None:
        self.path = index.with_suffix(".pack")
        self._index = _mapped(index)
        self._data = _mapped(self.path)
        if self._index[:8] != _INDEX_SIGN or self._data[:4] != b"PACK":
            raise GitDamage(f"{index} is not a pack index of version 2", hint="Run `git fsck` in that folder.")
        self._count = self._number(4, 8 + 255 * 4)
        self._names = 8 + 256 * 4
        self._offsets = self._names + self._count * 24  # 20 bytes of name and 4 of checksum each

    def _number(self, size: int, at: int) -> int:
        return int.from_bytes(self._index[at : at + size], "big")

    def find(self, sha: str) -> int | None:
        """Where the object starts in the pack; None when it is not in it."""
        name = bytes.fromhex(sha)
        low = self._number(4, 8 + (name[0] - 1) * 4) if name[0] else 0
        high = self._number(4, 8 + name[0] * 4)
        while low < high:
            middle = (low + high) // 2
            at = self._names + middle * 20
            found = self._index[at : at + 20]
            if found == name:
                offset = self._number(4, self._offsets + middle * 4)
                if offset & 0x80000000:  # packs above 2 GB keep long offsets in a table of their own
                    offset = self._number(8, self._offsets + self._count * 4 + (offset & 0x7FFFFFFF) * 8)
                return offset
            low, high = (middle + 1, high) if found < name else (low, middle)
        return None

    def read(self, offset: int, other: Callable[[str], tuple[str, bytes]]) -> tuple[str, bytes]:
        """Kind and content of the object at `offset`; `other` gives a base that stands in another place."""
        deltas: list[bytes] = []
        while True:
            kind, size, at = self._head(offset)
            if kind == _OFFSET_DELTA:
                distance, at = self._distance(at)
                deltas.append(self._inflated(at, size))
                offset -= distance
                continue
            if kind == _NAMED_DELTA:
                base = self._data[at : at + 20].hex()
                deltas.append(self._inflated(at + 20, size))
                name, content = other(base)
            elif kind in _KINDS:
                name, content = _KINDS[kind], self._inflated(at, size)
            else:
                raise GitDamage(f"{self.path} holds an object of an unknown kind ({kind})")
            for delta in reversed(deltas):
                content = _applied(delta, content)
            return name, content

    def _head(self, offset: int) -> tuple[int, int, int]:
        raw = self._data[offset : offset + _HEAD_BYTES]
        first = raw[0]
        kind, size, shift, used = first >> 4 & 7, first & 15, 4, 1
        while raw[used - 1] & 0x80:
            size |= (raw[used] & 0x7F) << shift
            shift, used = shift + 7, used + 1
        return kind, size, offset + used

    def _distance(self, at: int) -> tuple[int, int]:
        byte = self._data[at]
        distance = byte & 0x7F
        while byte & 0x80:
            at += 1
            byte = self._data[at]
            distance = (distance + 1) << 7 | byte & 0x7F
        return distance, at + 1

    def _inflated(self, at: int, size: int) -> bytes:
        # One byte more than promised, so that a stream that is too long is seen.
        content = zlib.decompressobj().decompress(memoryview(self._data)[at:], size + 1)
        if len(content) != size:
            raise GitDamage(f"{self.path} holds an object of {len(content)} bytes that should have {size}")
        return content


def _mapped(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    except ValueError as error:  # an empty file cannot be mapped
        raise GitDamage(f"{path} is empty", hint="Run `git fsck` in that folder.") from error
    finally:
        os.close(descriptor)


def _applied(delta: bytes, base: bytes) -> bytes:
    """The content that a delta makes of its base."""
    at, (base_size, size) = 0, (0, 0)
    base_size, at = _delta_size(delta, 0)
    size, at = _delta_size(delta, at)
    parts: list[bytes] = []
    while at < len(delta):
        order = delta[at]
        at += 1
        if not order & 0x80:  # the next `order` bytes as they are
            parts.append(delta[at : at + order])
            at += order
            continue
        numbers = bytearray(8)
        for bit in range(7):  # four bytes of offset, three of length, each only where its bit is set
            if order >> bit & 1:
                numbers[bit] = delta[at]
                at += 1
        start, length = struct.unpack("<II", numbers)
        parts.append(base[start : start + (length or 0x10000)])
    content = b"".join(parts)
    if len(base) != base_size or len(content) != size:
        raise GitDamage("A packed object does not fit its base", hint="Run `git fsck` in that folder.")
    return content


def _delta_size(delta: bytes, at: int) -> tuple[int, int]:
    size = shift = 0
    while True:
        byte = delta[at]
        size |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return size, at
