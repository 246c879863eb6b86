"""Processes of this person that run in a folder, as the kernel tells it (Linux; elsewhere none are found)."""

from __future__ import annotations

import os
from pathlib import Path

from letta_code.core.messages import Value

_MOST = 4096  # processes that are looked at
_WORDS = 2_000  # bytes of a command line


class Running(Value):
    """One process: `command` is its command line in one line."""

    pid: int
    command: str


def running_in(folder: str, most: int = 5, proc: str = "/proc") -> tuple[Running, ...]:
    """The processes of this user, other than this one and its forebears, whose working directory is in `folder`.

    The newest `most` by id; a few milliseconds.  The folder is compared as the kernel names it (no links).
    """
    try:
        ids = sorted((int(name) for name in os.listdir(proc) if name.isdecimal()), reverse=True)[:_MOST]
    except OSError:
        return ()
    top = os.path.realpath(folder)
    own = _forebears(os.getpid(), proc)
    found: list[Running] = []
    for pid in ids:
        if pid in own:
            continue
        try:
            where = os.readlink(f"{proc}/{pid}/cwd")  # refused for others' processes
            words = Path(proc, str(pid), "cmdline").read_bytes()[:_WORDS]
        except OSError:
            continue
        if words and (where == top or where.startswith(f"{top.rstrip('/')}/")):
            command = words.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
            found.append(Running(pid=pid, command=" ".join(command.split())))
            if len(found) == most:
                break
    return tuple(found)


def _forebears(pid: int, proc: str) -> set[int]:
    found: set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            text = Path(proc, str(pid), "stat").read_text()
            pid = int(text[text.rindex(")") + 2 :].split()[1])  # the name in brackets may hold spaces
        except (OSError, ValueError, IndexError):
            break
    return found
