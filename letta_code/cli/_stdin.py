"""What was piped in beside a prompt: `git log -1 | letta-code -p "what is this"`."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable

FIRST_SECONDS = 0.05  # for the first byte or the end: many programs start us with an open pipe that they never use
SILENT_SECONDS = 10.0  # between two pieces, once something came
MOST_BYTES = 1024 * 1024


def with_stdin(prompt: str, warn: Callable[[str], None], descriptor: int = 0) -> str:
    """The prompt, and after a blank line what stdin holds where that is a file, a pipe or a socket.

    It never hangs: a pipe that is open and silent is left alone, one that falls silent is cut there, and an endless one
    is cut at 1 MB; each is said to `warn`.
    """
    if not _holds_text(descriptor):
        return prompt
    text = _read(descriptor, warn).decode("utf-8-sig", "replace").strip("\n")
    return f"{prompt}\n\n{text}" if text.strip() else prompt


def _holds_text(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False  # closed
    return stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _read(descriptor: int, warn: Callable[[str], None]) -> bytes:
    kept = bytearray()
    try:
        while len(kept) <= MOST_BYTES:
            if not select.select([descriptor], [], [], SILENT_SECONDS if kept else FIRST_SECONDS)[0]:
                warn(_silent(len(kept)))
                return bytes(kept)
            piece = os.read(descriptor, 65536)
            if not piece:
                return bytes(kept)
            kept += piece
    except (OSError, ValueError):
        return bytes(kept)  # closed, or written only
    warn(f"stdin is longer than {MOST_BYTES // 1024} KB: the prompt has its first {MOST_BYTES // 1024} KB")
    return bytes(kept[:MOST_BYTES])


def _silent(so_far: int) -> str:
    if so_far:
        return f"stdin says nothing more and does not end: the prompt has the {so_far} bytes that came"
    return "stdin is open but silent and was not read; for slow output: { echo PROMPT; COMMAND; } | letta-code -p"
