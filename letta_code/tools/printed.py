"""What a command printed, as text for a model and for a person: bounded, clean, and live while it runs."""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import Callable

from letta_code.safety.terminal import strip_controls
from letta_code.workspace.workspace import ExecResult

SHOWN = 16_000  # characters of an output that a model sees in all
HEAD = 5_000  # of these from its beginning; the end, where errors stand, gets the rest
LIVE = 200_000  # characters of a running command that a face is told
LIVE_INTERVAL = 0.05  # seconds between two tellings

_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\r\n])")
_BACKSPACED = re.compile("[^\n\x08]\x08")


def clean(data: bytes, *, terminal: bool = True) -> str:
    """Output as plain text: invalid UTF-8 replaced, no controls; of a `terminal` with its overwriting done."""
    text = data.decode("utf-8", "replace")
    if not terminal:
        return strip_controls(text)
    if "\r" in text:
        text = _OVERWRITTEN.sub("", text.replace("\r\n", "\n"))  # a bar that redraws itself: its last state
    if "\b" in text:
        text = _BACKSPACED.sub("", _BACKSPACED.sub("", text))  # man pages print bold as `x BS x`
    return strip_controls(text)


def shortened(result: ExecResult, *, terminal: bool = True) -> str:
    """Head and tail of a result, cut between lines, with a line between them that names the file with the whole."""
    if not result.dropped:
        return clean(result.head + result.tail, terminal=terminal)
    head, tail = clean(result.head, terminal=terminal), clean(result.tail, terminal=terminal)
    # A character or a line may be cut in two at the seams: show whole lines only.
    first_end, last_start = head.rfind("\n"), tail.find("\n")
    if first_end > len(head) // 2:
        head = head[:first_end]
    if 0 <= last_start < len(tail) // 2:
        tail = tail[last_start + 1 :]
    whole = f"; the whole output is in {result.spool} (Read or Grep it)" if result.spool else ""
    if result.spool_dropped:
        whole += f", except {result.spool_dropped:,} bytes in its middle"
    return f"{head}\n[… {result.dropped:,} of {result.total:,} bytes left out{whole} …]\n{tail}"


class Live:
    """Tells a face what a running command prints: at most 20 times a second, and not all of a huge output."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []
        self._left = LIVE
        self._timer: asyncio.TimerHandle | None = None

    def add(self, data: bytes) -> None:
        """More output."""
        if self._left <= 0:
            return
        text = self._decoder.decode(data[: self._left])
        self._left -= len(text)
        self._parts.append(text)
        if self._left <= 0:
            self._parts.append("\n[… more output follows in the result …]\n")
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LIVE_INTERVAL, self.flush)

    def flush(self) -> None:
        """Tell what has not been told."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._parts:
            text = strip_controls("".join(self._parts))
            self._parts.clear()
            self._tell(text)
