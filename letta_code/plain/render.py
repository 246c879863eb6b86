"""What happens, as lines that only ever grow: for dumb terminals, screen readers and pipes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import singledispatch

from letta_code.commands.wording import compacted, reminded
from letta_code.core.display import (
    DiffBlock,
    DisplayBlock,
    FileBlock,
    ImageBlock,
    MatchesBlock,
    MemoryBlock,
    NoteBlock,
    QuestionBlock,
    ShellBlock,
    TextBlock,
    TodoBlock,
)
from letta_code.core.events import (
    AssistantMessage,
    ContextCompacted,
    DraftDropped,
    Event,
    LiveEvent,
    Notice,
    ReminderAdded,
    RunFinished,
    RunResumed,
    StopReason,
    TextDelta,
    ToolResult,
    ToolStarted,
    Waiting,
)
from letta_code.core.messages import ContentPart, text_of
from letta_code.safety.terminal import readable, visible

Say = Callable[[str], None]

_SILENT_SECONDS = 10
_SILENT_AGAIN = 60  # seconds between two lines about an owner that does not answer
MOST_LINES = 60  # of one block; the whole is in the file or in `/diff`
_MARKS = {"pending": "[ ]", "in_progress": "[>]", "done": "[x]"}
_ENDS = {
    StopReason.INTERRUPTED: "Interrupted.",
    StopReason.DENIED: "Stopped: it was not allowed.",
    StopReason.MAX_TURNS: "Stopped: the limit of model calls was reached.",
    StopReason.TIME_LIMIT: "Stopped: the time limit was reached.",
    StopReason.REPEATED_CALL: "Stopped: the same call came again and again.",
    StopReason.REPEATED_ERROR: "Stopped: the same error came again and again.",
    StopReason.LENGTH: "The answer was cut at the model's output limit.",
    StopReason.REFUSAL: "The model refused.",
}


class Lines:
    """Turns events into lines of text, given to `say` one at a time and never taken back."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._drafts: dict[str, str] = {}  # message id: text that came so far
        self._said: dict[str, int] = {}  # message id: characters of it that were said
        self._attempt = 0
        self._storage = False
        self._compacting = False
        self._silent_next = 0.0  # how long its owner must not have answered for a line about that
        self._waited = 0  # times ten seconds of this call that were told

    def event(self, event: Event | LiveEvent) -> None:
        """Say what one event means, if anything."""
        match event:
            case TextDelta():
                self._delta(event)
            case AssistantMessage():
                self._message(event)
            case DraftDropped(message_id=message_id):
                if self._said.pop(message_id, 0):
                    self._say("(That answer broke off and is asked for again.)")
                self._drafts.pop(message_id, None)
            case ToolStarted(title=title, name=name):
                self._say(f"* {_one_line(title or name)}")
            case ToolResult():
                self._result(event)
            case RunFinished():
                self._finished(event)
            case _:
                self._other(event)

    def typed(self, content: tuple[ContentPart, ...]) -> None:
        """What the person said elsewhere, as if it had been typed here; what went along with it is left out."""
        for number, line in enumerate(readable(text_of((content[-1],) if content else ())).split("\n")):
            self._say(f"{'… ' if number else '> '}{line}")

    def _other(self, event: Event | LiveEvent) -> None:
        match event:
            case Waiting(phase="retry") if event.attempt != self._attempt:
                self._attempt = event.attempt
                self._say(f"Waiting {event.seconds:.0f} s before try {event.attempt}: {_one_line(event.reason)}")
            case Waiting(phase="sent"):
                self._waited = 0
            case Waiting(phase="first_part" | "loading" as phase, seconds=seconds):
                self._silent(phase, seconds)
            case Waiting(phase="storage") if not self._storage:
                self._storage = True
                self._say(f"Waiting for the disk: {_one_line(event.reason)}")
            case Waiting(phase="moving"):
                self._say("This run goes to another process when its step ends.")
            case Waiting(phase="silent", seconds=seconds) if seconds >= self._silent_next:
                self._silent_next = seconds + _SILENT_AGAIN
                self._say(f"{event.reason[:1].upper()}{event.reason[1:]}.")
            case Waiting(phase="answers"):
                self._silent_next = 0.0
                self._say("It answers again.")
            case RunResumed(reason="died"):
                self._say("The process of this run had died; the run was gone on with by itself.")
            case Waiting(phase="compacting") if not self._compacting:
                self._compacting = True
                self._say("Making room in the context.")
            case ReminderAdded(kind="memory", text=text):
                self._say(f"The agent was told: {_one_line(reminded(text))}")
            case ContextCompacted():
                self._compacting = False
                self._say(f"{compacted(event)}." + (f" {_one_line(event.note)}" if event.note else ""))
            case Waiting(phase="done"):
                self._compacting = False
            case Notice(level=level, text=text, hint=hint):
                self._say(f"{level}: {_one_line(text)}" + (f" {_one_line(hint)}" if hint else ""))
            case _:
                pass

    def _silent(self, phase: str, seconds: float) -> None:
        """A server that says nothing: a line every ten seconds."""
        if seconds // _SILENT_SECONDS <= self._waited:
            return
        self._waited = int(seconds // _SILENT_SECONDS)
        what = "the model to be loaded" if phase == "loading" else "the model's first words"
        self._say(f"Waiting for {what}: {seconds:.0f} s so far.")

    def _delta(self, event: TextDelta) -> None:
        known = self._drafts.get(event.message_id, "")
        if event.offset > len(known):
            return  # a piece was missed: the whole message comes in the end
        text = known[: event.offset] + event.text if len(known) < event.offset + len(event.text) else known
        self._drafts[event.message_id] = text
        said = self._said.get(event.message_id, 0)
        end = text.rfind("\n") + 1
        if end > said:
            self._text(text[said : end - 1])
            self._said[event.message_id] = end

    def _message(self, event: AssistantMessage) -> None:
        draft = self._drafts.pop(event.message_id, "")
        said = self._said.pop(event.message_id, 0)
        if event.text[:said] != draft[:said]:
            said = 0
        if rest := event.text[said:].rstrip("\n"):
            self._text(rest)
        if event.finish in ("interrupted", "stalled", "broken") and event.text:
            self._say(f"(The answer is not whole: {event.finish}.)")

    def _text(self, text: str) -> None:
        for line in readable(text).split("\n"):
            self._say(line)

    def _result(self, event: ToolResult) -> None:
        if event.status == "denied":
            self._say(f"  not done: {_one_line(event.title or event.name)}")
            return
        for block in event.blocks:
            for line in block_lines(block):
                self._say(f"  {line}")
        if event.status != "ok" and not event.blocks:
            self._say(f"  {event.status}: {_one_line(text_of(event.content))}")

    def _finished(self, event: RunFinished) -> None:
        self._attempt, self._storage, self._compacting = 0, False, False
        if event.reason == StopReason.ERROR:
            self._say(f"error: {_one_line(event.error, 600)}")
        elif event.reason in _ENDS:
            self._say(_ENDS[event.reason])
        if event.hint and event.reason != StopReason.DONE:
            self._say(f"  {_one_line(event.hint, 600)}")


def _one_line(text: str, limit: int = 200) -> str:
    first = visible(text.strip().partition("\n")[0])
    return first if len(first) <= limit else first[: limit - 1] + "…"


def block_lines(block: DisplayBlock) -> list[str]:
    """A display block as lines without control characters, at most `MOST_LINES` and a count of the rest."""
    lines = [line for text in lines_of(block) for line in readable(text).split("\n")]
    if len(lines) <= MOST_LINES:
        return lines
    return [*lines[:MOST_LINES], f"… {len(lines) - MOST_LINES} more lines"]


@singledispatch
def lines_of(block: DisplayBlock) -> Iterable[str]:
    """One renderer a kind of block; a kind without one is named."""
    return [f"[{type(block).__name__}]"]


@lines_of.register
def _(block: TextBlock) -> Iterable[str]:
    return [*([block.title] if block.title else []), block.text.rstrip("\n")]


@lines_of.register
def _(block: DiffBlock) -> Iterable[str]:
    renamed = f" (was {block.old_path})" if block.old_path else ""
    cut = [f"… {block.cut} more lines"] if block.cut else []
    head = f"{block.status} {visible(block.path)}{visible(renamed)}, +{block.added} -{block.removed}"
    return [head, *block.diff.rstrip("\n").split("\n"), *cut]


@lines_of.register
def _(block: ShellBlock) -> Iterable[str]:
    output = [block.output.rstrip("\n")] if block.output.strip() else []
    if block.background_id:
        return [*output, f"running in the background as {block.background_id}"]
    whole = [f"whole output: {block.full_output}"] if block.full_output else []
    if block.exit_code is None and not block.seconds:  # it has not run, or not by itself
        return [*output, *whole]
    end = "killed" if block.exit_code is None else f"exit code {block.exit_code}"
    return [*output, f"{end}, {block.seconds:.1f} s", *whole]


@lines_of.register
def _(block: FileBlock) -> Iterable[str]:
    count = block.text.count("\n") + (0 if block.text.endswith("\n") or not block.text else 1)
    total = f" of {block.total_lines}" if block.total_lines else ""
    return [f"{visible(block.path)}, {count}{total} lines"]


@lines_of.register
def _(block: MatchesBlock) -> Iterable[str]:
    more = max(block.total - len(block.lines), 0)
    return [*block.lines, *([f"… {more} more"] if more else [])]


@lines_of.register
def _(block: TodoBlock) -> Iterable[str]:
    return [f"{_MARKS.get(item.status, '[?]')} {item.text}" for item in block.items]


@lines_of.register
def _(block: ImageBlock) -> Iterable[str]:
    size = f", {block.width} x {block.height}" if block.width else ""
    return [f"image {visible(block.path)}{size}"]


@lines_of.register
def _(block: QuestionBlock) -> Iterable[str]:
    return [block.question, *([f"answer: {block.answer}"] if block.answer else [])]


@lines_of.register
def _(block: NoteBlock) -> Iterable[str]:
    return [f"{block.level}: {block.text}"]


@lines_of.register
def _(block: MemoryBlock) -> Iterable[str]:
    fill = f" {block.chars}/{block.limit}" if block.limit else ""
    return [f"memory {block.label} ({block.status}{fill})", *block.diff.splitlines()]
