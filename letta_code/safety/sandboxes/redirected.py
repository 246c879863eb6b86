"""Redirected: whether a shell opens files by name for what it runs, which another command can make lead elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from letta_code.safety.places import is_sink
from letta_code.safety.shell_syntax import read_shell


def writes_by_name(argv: Sequence[str], cwd: str) -> bool:
    """Whether a command for bash redirects into a file, or cannot be read to its end."""
    if not argv or not argv[0].endswith("bash"):
        return False
    if len(argv) < 2 or argv[-2] != "-c":
        return True  # a script
    reading = read_shell(argv[-1], cwd)
    return not reading.whole or any(
        one.writes and not (one.literal and is_sink(one.target)) for one in reading.redirects
    )
