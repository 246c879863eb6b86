"""Marker: the file that says that an agent's folder is ours, and what a lost database needs to know of the agent."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from letta_code.core.ids import made_at, utc_time
from letta_code.core.messages import Value
from letta_code.host.files import atomic_write, read_bounded

# Other programs keep folders of the same shape in ~/.letta/agents: one without this file is not ours.
MARKER = ".letta-code-agent"
_LARGEST = 64 * 1024


class Marker(Value, frozen=True):
    """What the file holds; the first versions wrote the id alone."""

    id: str
    name: str = ""
    description: str = ""
    created_at: str = ""
    deleted_at: str = ""


def write_marker(folder: Path, marker: Marker) -> str:
    """Write or replace the marker of an agent's folder; raises `OSError`.

    What stood there and is no marker is kept beside it: returns where, "" when nothing was.
    """
    path = folder / MARKER
    kept = ""
    if os.path.lexists(path) and not _is_marker(path):
        aside = path.with_name(f"{MARKER}.corrupt-{time.time_ns()}")
        path.rename(aside)
        kept = str(aside)
    atomic_write(path, msgspec.json.encode(marker) + b"\n", durable=False)
    return kept


def is_whole(folder: Path) -> bool:
    """Whether the file in an agent's folder says all that it said: no part of it was lost or changed."""
    return _is_marker(folder / MARKER)


def _is_marker(path: Path) -> bool:
    try:
        data = read_bounded(path, _LARGEST)
        if data.strip() != path.parent.name.encode():  # as the first versions wrote it
            msgspec.json.decode(data, type=Marker)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def read_marker(folder: Path) -> Marker | None:
    """What an agent's folder says of its agent; None where the folder is not ours or says nothing that fits it."""
    path = folder / MARKER
    try:
        data, made = read_bounded(path, _LARGEST), path.stat().st_mtime
    except OSError:
        return None
    found = _said(data) or _said(data.partition(b"\n")[0])  # its tail may be damaged
    if found is None:
        found = Marker(id=folder.name)  # the file being there is what marks it
    if found.id != folder.name:
        return None  # a copy of another agent's folder
    if found.created_at:
        return found
    # The id knows how old the agent is: which one is the oldest, and so the default, must not change by damage.
    return msgspec.structs.replace(found, created_at=utc_time(made_at(found.id) or made))


def _said(data: bytes) -> Marker | None:
    try:
        return msgspec.json.decode(data, type=Marker)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def marked(directory: Path) -> Iterator[Marker]:
    """The markers of all our agents in a folder, in the order of their names."""
    if directory.is_dir():
        for folder in sorted(directory.iterdir()):
            marker = read_marker(folder)
            if marker is not None:
                yield marker
