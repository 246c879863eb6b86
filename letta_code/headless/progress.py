"""Progress on stderr: one line a tool, waiting and warnings, so that a person who looks on knows what goes on."""

from __future__ import annotations

from collections.abc import Callable

from letta_code.core.display import NoteBlock
from letta_code.core.events import (
    ContextCompacted,
    Event,
    LiveEvent,
    Notice,
    ReminderAdded,
    ToolResult,
    ToolStarted,
    Waiting,
)
from letta_code.core.messages import text_of
from letta_code.core.requests import ApprovalRequest, Request
from letta_code.headless.result import Denial, Failure
from letta_code.safety.terminal import visible

Say = Callable[[str], None]

_SILENT_SECONDS = 10
_SILENT_AGAIN = 60  # seconds between two lines about an owner that does not answer


class Progress:
    """Turns events into lines; with `quiet` only errors are said."""

    def __init__(self, say: Say, *, quiet: bool = False) -> None:
        self._say = say
        self._quiet = quiet
        self._attempt = 0
        self._started = set[str]()  # calls whose beginning was said, and not their end
        self._storage = False
        self._silent_next = 0.0  # how long its owner must not have answered for a line about that
        self._waited = 0  # times ten seconds of this call that were told

    def event(self, event: Event | LiveEvent) -> None:
        """Say what one event means, if anything."""
        if self._quiet:
            return
        match event:
            case ToolStarted(title=title, name=name):
                self._started.add(event.call_id)
                self._say(f"* {one_line(title or name)}")
            case ToolResult():
                self._result(event)
            case Waiting(phase="retry") if event.attempt != self._attempt:
                self._attempt = event.attempt
                self._say(f"  waiting {event.seconds:.0f} s, then try {event.attempt}: {one_line(event.reason)}")
            case Waiting(phase="sent"):
                self._waited = 0
            case Waiting(phase="first_part" | "loading" as phase, seconds=seconds):
                self._silent(phase, seconds)
            case Waiting(phase="silent", seconds=seconds) if seconds >= self._silent_next:
                self._silent_next = seconds + _SILENT_AGAIN
                self._say(f"  {one_line(event.reason)}")
            case Waiting(phase="answers"):
                self._silent_next = 0.0
                self._say("  it answers again")
            case Waiting(phase="storage") if not self._storage:
                self._storage = True
                self._say(f"  waiting for the disk: {one_line(event.reason)}")
            case ContextCompacted():
                self._compacted(event)
            case ReminderAdded(kind="memory"):
                from letta_code.commands.wording import reminded  # rare too

                self._say(f"* the agent was told: {one_line(reminded(event.text))}")
            case Notice(level="info", code="memory"):
                pass  # what the model was told of it is said, and all of it stands in memory's history
            case Notice():
                self.notice(event)
            case _:
                pass

    def _result(self, event: ToolResult) -> None:
        """A call that went wrong, and what a tool warns the person of (a memory edit that nobody was asked about)."""
        if event.call_id not in self._started and event.status != "denied":  # it ran before somebody looked on
            self._say(f"* {one_line(event.title or event.name)}")
        self._started.discard(event.call_id)
        if event.status in ("error", "interrupted", "unknown"):
            self._say(f"  {event.status}: {one_line(text_of(event.content))}")
        for block in event.blocks:
            if isinstance(block, NoteBlock) and block.level != "info":
                self._say(f"  {block.level}: {one_line(block.text, 400)}")

    def _compacted(self, event: ContextCompacted) -> None:
        from letta_code.commands.wording import compacted  # rare, and not needed for a first request

        self._say(f"* {compacted(event)}" + (f"; {one_line(event.note)}" if event.note else ""))

    def _silent(self, phase: str, seconds: float) -> None:
        """A server that says nothing: a line every ten seconds."""
        if seconds // _SILENT_SECONDS <= self._waited:
            return
        self._waited = int(seconds // _SILENT_SECONDS)
        what = "the model to be loaded" if phase == "loading" else "the model's first words"
        self._say(f"  waiting for {what}, {seconds:.0f} s so far")

    def notice(self, notice: Notice) -> None:
        """Say a warning; errors are said even when quiet."""
        if self._quiet and notice.level != "error":
            return
        self._say(f"{notice.level}: {one_line(notice.text, 400)}")
        if notice.hint:
            self._say(f"  {one_line(notice.hint)}")

    def denied(self, denial: Denial) -> None:
        """Say that a call was not made, why, and what would allow it."""
        if self._quiet:
            return
        self._say(f"! not allowed: {one_line(denial.title)}")
        if denial.reason:
            self._say(f"  {one_line(denial.reason)}")
        if denial.advice:
            self._say(f"  {one_line(denial.advice, 400)}")

    def asks(self, request: Request, run_id: str) -> None:
        """Say that a run waits for an answer, and how it is given from another terminal."""
        if self._quiet:
            return
        approval = isinstance(request, ApprovalRequest)
        self._say(f"? waits for an answer: {one_line(request.title if approval else request.question, 400)}")
        if approval and request.reason:
            self._say(f"  {one_line(request.reason, 400)}")
        if not approval:
            for number, choice in enumerate(request.choices, 1):
                self._say(f"  {number}. {one_line(choice.label)}")
        self._say(f"  letta-code runs answer {run_id} {'yes|no' if approval else 'TEXT'}")

    def trace(self, text: str) -> None:
        """Say where a bug is."""
        for line in text.splitlines():
            self._say(one_line(line, 400))

    def failure(self, failure: Failure) -> None:
        """Say why the run did not end well."""
        self._say(f"error: {one_line(failure.message, 400)}")
        if failure.hint:
            self._say(f"  {one_line(failure.hint, 400)}")


def one_line(text: str, limit: int = 160) -> str:
    """The first line of a text, control characters made visible: a file name may hold an escape sequence."""
    first = text.strip().partition("\n")[0]
    shown = visible(first[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
