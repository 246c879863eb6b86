"""Ripgrep: its command lines, and lists of files or counts read piece by piece (lines: ripgrep_lines.py)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from letta_code.host.programs import program_outside
from letta_code.workspace.workspace import SearchQuery


def program(path: str, root: str) -> str | None:
    """The `rg` program: the one that came with our environment, else one on PATH; none of the work tree `root`.

    It runs outside the sandbox, and a command may write what lies in the work tree.
    """
    beside = os.path.dirname(sys.executable)
    return program_outside("rg", os.pathsep.join([beside, path]), root)


def listing(rg: str, *, ignored: bool) -> list[str]:
    """The command that lists the files below the working directory, each ended by NUL."""
    return [rg, "--no-config", "--files", "--null", "--no-require-git", "--hidden", "-g", "!.git"] + (
        ["--no-ignore"] if ignored else []
    )


def searching(rg: str, query: SearchQuery, target: str) -> list[str]:
    """The command of a search in `target`.

    Positive globs are not given as `-g`: that would bring back ignored files.  Those about names become a file type,
    those about paths are applied to what comes out (`path_globs`).
    """
    command = [rg, "--no-config", "--no-require-git", "--color=never", "--crlf", "-g", "!.git"]
    command += {"content": ["--json"], "files": ["-l", "--null"], "count": ["--count", "--null"]}[query.mode]
    flags = {
        "--ignore-case": query.ignore_case,
        "--fixed-strings": query.literal,
        "--hidden": query.hidden,
        "--no-ignore": query.no_ignore,
    }
    command += [flag for flag, on in flags.items() if on]
    if query.multiline:
        command += ["--multiline", "--multiline-dotall"]
    if query.mode == "content":
        command += [f"--before-context={query.before}", f"--after-context={query.after}"]
    for glob in query.globs:
        if glob.startswith("!"):
            command += ["-g", glob]
    if query.file_type:
        command += ["--type", query.file_type]
    else:
        names = [glob for glob in query.globs if _of_names(glob)]
        if names and not path_globs(query):
            for glob in names:
                command += ["--type-add", f"asked:{glob}"]
            command += ["--type", "asked"]
    return [*command, "--regexp", query.pattern, "--", target]


def path_globs(query: SearchQuery) -> list[str]:
    """The globs that ripgrep was not told and that its results must match."""
    positive = [glob for glob in query.globs if not glob.startswith("!")]
    return positive if query.file_type or not all(_of_names(glob) for glob in positive) else []


def _of_names(glob: str) -> bool:
    return "/" not in glob and not glob.startswith("!")


class Names:
    """Reads `path NUL path NUL …`."""

    def __init__(self, found: Callable[[str], None]) -> None:
        self._found = found
        self._rest = b""

    def add(self, data: bytes) -> None:
        *names, self._rest = (self._rest + data).split(b"\0")
        for name in names:
            self._found(os.fsdecode(name.removeprefix(b"./")))


class Counts:
    """Reads `path NUL count NEWLINE …`."""

    def __init__(self, found: Callable[[str, int], None]) -> None:
        self._found = found
        self._rest = b""

    def add(self, data: bytes) -> None:
        self._rest += data
        while True:
            name, nul, after = self._rest.partition(b"\0")
            count, newline, rest = after.partition(b"\n")
            if not nul or not newline:
                return
            self._rest = rest
            self._found(os.fsdecode(name.removeprefix(b"./")), int(count))
