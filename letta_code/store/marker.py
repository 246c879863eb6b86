"""Marker: the file that says that an agent's folder is ours, and what a lost database needs to know of the agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from letta_code.core.ids import utc_time
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


def write_marker(folder: Path, marker: Marker) -> None:
    """Write or replace the marker of an agent's folder; raises `OSError`."""
    atomic_write(folder / MARKER, msgspec.json.encode(marker) + b"\n", durable=False)


def read_marker(folder: Path) -> Marker | None:
    """What an agent's folder says of its agent; None where the folder is not ours or says nothing that fits it."""
    path = folder / MARKER
    try:
        data, made = read_bounded(path, _LARGEST), path.stat().st_mtime
    except OSError:
        return None
    try:
        found = msgspec.json.decode(data, type=Marker)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = Marker(id=folder.name)  # the file being there is what marks it
    if found.id != folder.name:
        return None  # a copy of another agent's folder
    return found if found.created_at else msgspec.structs.replace(found, created_at=utc_time(made))


def marked(directory: Path) -> Iterator[Marker]:
    """The markers of all our agents in a folder, in the order of their names."""
    if directory.is_dir():
        for folder in sorted(directory.iterdir()):
            marker = read_marker(folder)
            if marker is not None:
                yield marker
