"""What git's trees do not say: permission bits and empty folders, kept in the message of a commit over the tree."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from letta_code.host.git_objects import Objects
from letta_code.host.git_packs import GitDamage
from letta_code.host.snapshot_restore import PLAIN, PROGRAM, State
from letta_code.host.snapshot_store import EMPTY_TREE, SnapshotStore

BITS = 0o777  # what is kept of a mode: never set-user-id and its like
_BY = b"letta-code <letta-code@localhost> 0 +0000"  # the same for the same files
_NAMES = 200  # paths that one git process is given


class Extras(NamedTuple):
    """Permission bits by path where they are not `usual` (those of plain files and of programs), and empty folders."""

    usual: tuple[int, int]
    modes: Mapping[bytes, int]
    empty: tuple[bytes, ...] = ()

    def bits(self, path: bytes, mode: str) -> int:
        """Permission bits of a file that git calls `mode`, -1 for what has none."""
        if mode not in (PLAIN, PROGRAM):
            return -1
        return self.modes.get(path, self.usual[mode == PROGRAM])


def usual_of(modes: Mapping[bytes, int]) -> tuple[int, int]:
    """The bits that most plain files and most programs have."""
    plain, program = Counter[int](), Counter[int]()
    for bits in modes.values():
        (program if bits & 0o100 else plain)[bits] += 1
    return _most(plain, 0o644), _most(program, 0o755)


def _most(counted: Counter[int], otherwise: int) -> int:
    return max(counted, key=lambda bits: (counted[bits], bits == otherwise, bits), default=otherwise)


def store_extras(store: SnapshotStore, tree: str, extras: Extras) -> str:
    """Put a tree and what it does not say into one object; returns its name."""
    if tree == EMPTY_TREE:
        return tree
    lines = [b"usual %o %o" % extras.usual]
    lines += [b"mode %o %s" % (bits, _quoted(path)) for path, bits in sorted(extras.modes.items())]
    lines += [b"folder " + _quoted(path) for path in sorted(extras.empty)]
    head = [b"tree " + tree.encode(), b"author " + _BY, b"committer " + _BY, b""]
    feed = b"\n".join([*head, *lines, b""])
    return store.git("hash-object", "-t", "commit", "-w", "--stdin", top=store.root, feed=feed).decode().strip()


def extras_of(objects: Objects, name: str) -> tuple[str, Extras | None]:
    """The tree below a snapshot's name, and what is said over it (None for one of an older version)."""
    if name == EMPTY_TREE:
        return name, Extras((0o644, 0o755), {})
    try:
        content = objects.read(name, "commit")
    except GitDamage:
        return name, None
    usual, modes, empty = (0o644, 0o755), dict[bytes, int](), list[bytes]()
    head, _, message = content.partition(b"\n\n")
    for line in message.splitlines():
        match line.split(b" "):
            case [b"usual", plain, program]:
                usual = (int(plain, 8), int(program, 8))
            case [b"mode", bits, path]:
                modes[unquote_to_bytes(path)] = int(bits, 8) & BITS
            case [b"folder", path]:
                empty.append(unquote_to_bytes(path))
            case _:
                pass
    return head.split()[1].decode("ascii"), Extras(usual, modes, tuple(empty))


def only_modes(
    store: SnapshotStore, tree: str, older: Extras, newer: Extras, known: set[bytes]
) -> dict[bytes, tuple[State, State]]:
    """Paths outside `known` that differ in nothing but permission bits, as they are in both."""
    differ = sorted(path for path, _ in older.modes.items() ^ newer.modes.items() if path not in known)
    found: dict[bytes, tuple[State, State]] = {}
    for at in range(0, len(set(differ)), _NAMES):
        names = map(os.fsdecode, sorted(set(differ))[at : at + _NAMES])
        for row in store.git("ls-tree", "-r", "-z", tree, "--", *names, top=store.root).split(b"\0")[:-1]:
            head, _, path = row.partition(b"\t")
            mode, _, blob = head.decode("ascii").split(" ")
            then, now = older.bits(path, mode), newer.bits(path, mode)
            if then != now:
                found[path] = (State(mode, blob, then), State(mode, blob, now))
    return found


def _quoted(path: bytes) -> bytes:
    return quote_from_bytes(path, safe="/").encode("ascii")
