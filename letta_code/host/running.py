"""Processes of this person that run in a folder, as the kernel tells it (Linux; elsewhere none are found)."""

from __future__ import annotations

import os
from pathlib import Path

from letta_code.core.messages import Value

_MOST = 4096  # processes that are looked at
_WORDS = 2_000  # bytes of a command line
_SHELLS = ("sh", "bash", "dash", "zsh", "fish", "ksh")


class Running(Value):
    """One process: `command` is its command line in one line."""

    pid: int
    command: str


def running_in(folder: str, most: int = 5, proc: str = "/proc") -> tuple[Running, ...]:
    """The processes of this user whose working directory is in `folder`, but for those of this terminal's session.

    The newest `most` by id, shells at their prompt left out; a few milliseconds.  The folder is compared as the kernel
    names it (no links).
    """
    try:
        ids = sorted((int(name) for name in os.listdir(proc) if name.isdecimal()), reverse=True)[:_MOST]
    except OSError:
        return ()
    top = os.path.realpath(folder)
    own = _session(os.getpid(), proc)
    found: list[Running] = []
    for pid in ids:
        try:
            where = os.readlink(f"{proc}/{pid}/cwd")  # refused for others' processes
            words = Path(proc, str(pid), "cmdline").read_bytes()[:_WORDS]
        except OSError:
            continue
        if words and (where == top or where.startswith(f"{top.rstrip('/')}/")) and _session(pid, proc) != own:
            command = " ".join(words.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace").split())
            if os.path.basename(command).lstrip("-") in _SHELLS:
                continue
            found.append(Running(pid=pid, command=command))
            if len(found) == most:
                break
    return tuple(found)


def _session(pid: int, proc: str) -> int:
    """The session of a process, 0 where it cannot be told."""
    try:
        text = Path(proc, str(pid), "stat").read_text()
        return int(text[text.rindex(")") + 2 :].split()[3])  # the name in brackets may hold spaces
    except (OSError, ValueError, IndexError):
        return 0
