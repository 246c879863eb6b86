"""What a headless run prints: the answer, one JSON object, or every event as a line of JSON."""

from __future__ import annotations

import os

import msgspec

from letta_code.core.events import Event, LiveEvent, RunStarted, encode
from letta_code.core.messages import Value
from letta_code.headless.progress import Progress
from letta_code.headless.result import EXIT_DONE, Result
from letta_code.headless.writer import Writer
from letta_code.safety.terminal import readable


class Output:
    """stdout in one of three forms (text, json, stream-json), and progress on stderr."""

    def __init__(self, form: str, out: Writer, progress: Progress) -> None:
        self._form = form
        self._out = out
        self._json = msgspec.json.Encoder()
        self.owes_result = True  # of the run that is under way, or of the first
        self.progress = progress
        self.only_progress = False  # the result was the last line: what still comes goes to stderr

    def line(self, value: Value) -> None:
        """A line of stream-json that is no event."""
        if self._form == "stream-json":
            self._out.write(self._json.encode(value) + b"\n")

    async def event(self, event: Event | LiveEvent) -> None:
        """One event, as it happens; waits while the reader is far behind."""
        self.progress.event(event)
        if isinstance(event, RunStarted):
            self.owes_result = True
        if self._form == "stream-json" and not self.only_progress:
            self._out.write(encode(event) + b"\n")
            await self._out.room()

    def result(self, result: Result) -> None:
        """How it ended.  As text only an answer goes to stdout; what went wrong goes to stderr in every form."""
        self.owes_result = False
        if self._form != "text":
            self._out.write(self._json.encode(result) + b"\n")
        elif result.exit_code == EXIT_DONE or result.stop_reason in ("length", "refusal"):
            self._out.write(_printable(result.result).encode("utf-8", "replace") + b"\n")
        if result.error is not None and not self._out.broken:  # when the reader has gone there is nobody to tell
            self.progress.failure(result.error)

    def last_words(self, result: Result, seconds: float) -> None:
        """The result of a run that is ended in the middle, unless it has one; waits at most so long for stdout."""
        if self.owes_result and self._form != "text":
            self.result(result)
        self._out.flush(seconds)


def _printable(text: str) -> str:
    """The text as it is for a pipe; without control characters for a terminal, which would obey them."""
    try:
        terminal = os.isatty(1)
    except OSError:
        terminal = False
    if not terminal:
        return text
    return readable(text)
