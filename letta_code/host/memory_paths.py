"""Which paths a memory repository may hold: none that leads out of its folder, or into git's own."""

from __future__ import annotations

import re

from letta_code.core.errors import LettaError

_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")  # nearly every name: no further look is needed
# What some file systems leave out of a name, so that another one becomes `.git`.
_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_GIT = re.compile(r"(\.git|git~\d+)[. ]*(:.*)?", re.IGNORECASE | re.DOTALL)


class PathRefused(LettaError):
    """A path that memory cannot hold, and why.  Nothing was changed."""

    kind = "memory"

    def __init__(self, path: str, why: str, *, hint: str = "") -> None:
        super().__init__(f"{printable(path)} cannot be kept: {why}", hint=hint)
        self.path = path
        self.why = why


def leads_out(name: str) -> bool:
    """Whether a name in a folder leads anywhere but into that folder; git refuses such names too."""
    if _PLAIN.fullmatch(name):
        return False
    return name in ("", ".", "..") or "/" in name or "\0" in name or bool(_GIT.fullmatch(_IGNORED.sub("", name)))


def path_problem(path: str) -> str:
    """Why a path cannot be one of memory, "" when it can."""
    if any(leads_out(name) for name in path.split("/")):
        return "it leads out of the memory folder, or into git's own"
    if any("\ud800" <= sign <= "\udfff" for sign in path):
        return "its name is not UTF-8"
    return ""


def printable(path: str) -> str:
    """A path as it can be shown, also one that is not UTF-8."""
    return path.encode("utf-8", "backslashreplace").decode()
