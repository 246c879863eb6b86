"""Endings: a bash tells in which folder it ended, and which processes it leaves behind where those end with it."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress

_MOST = 4_000_000  # bytes of a report; a list of many processes is long


class Ending:
    """The report of one command: `hook` is read by its bash first (BASH_ENV), `told` is written by it last.

    So the command's text stays as it was written (line numbers, `$0`), no descriptor and no variable leaks into it, and
    `exit`, a failure or `set -e` still tell.  A command that sets its own EXIT trap or ends in `exec` does not.
    Both have names that nobody can guess: who plants a link where a command will tell makes it write elsewhere.
    """

    def __init__(self, folder: str, telling: str, *, own: int) -> None:
        """`folder` is for the hook, where no confined command writes: one that runs later, outside, would read it too.

        `telling` is where the command tells: for one that no sandbox holds also a folder where no confined one writes.
        `own` are the processes of its PID namespace that are ours, the bash itself too; 0 where it has none.
        """
        self._hook = f"{folder}/ending-{secrets.token_hex(16)}.sh"
        self._told = f"{telling}/.ending-{secrets.token_hex(16)}"
        self._own = own
        quoted = in_double_quotes(self._told).replace("'", "'\\''")
        more = '; builtin printf "\\0"; builtin compgen -G "/proc/[0-9]*"' if own else ""
        text = f"unset BASH_ENV\ntrap '{{ builtin pwd -P{more}; }} 2>/dev/null >|\"{quoted}\"' EXIT\n"
        with open(os.open(self._hook, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(text)

    @property
    def variable(self) -> str:
        """The value of BASH_ENV, in which bash expands what looks like a variable."""
        return in_double_quotes(self._hook)

    def read(self) -> tuple[str, int]:
        """The folder, "" where nothing was told, and how many processes were left; both files go."""
        data = self._data()
        for path in (self._hook, self._told):
            with suppress(OSError):
                os.unlink(path)
        folder, _, listed = data.partition(b"\0")
        path = os.fsdecode(folder.removesuffix(b"\n"))
        return path if path.startswith("/") else "", max(0, len(listed.split()) - self._own)

    def _data(self) -> bytes:
        try:
            descriptor = os.open(self._told, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        with open(descriptor, "rb") as file:
            return file.read(_MOST) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


def in_double_quotes(text: str) -> str:
    """Text as it stands between double quotes in a shell."""
    for char in '\\"$`':
        text = text.replace(char, "\\" + char)
    return text
