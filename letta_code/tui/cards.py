"""Cards: what stands in the transcript, as plain values that widgets draw."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from letta_code.core.display import DisplayBlock
from letta_code.core.events import ContextCompacted, ReflectionDone


class Growing(msgspec.Struct):
    """Text that comes in pieces by offset; pieces may come twice or out of order."""

    text: str = ""
    ahead: dict[int, str] = msgspec.field(default_factory=dict[int, str])

    def add(self, offset: int, piece: str) -> bool:
        """Put a piece at its offset (in characters); True when the text grew."""
        before = len(self.text)
        self._join(offset, piece)
        while self.ahead:
            start = min(self.ahead)
            if start > len(self.text):
                break
            self._join(start, self.ahead.pop(start))
        return len(self.text) > before

    def _join(self, offset: int, piece: str) -> None:
        end = len(self.text)
        if offset > end:
            known = self.ahead.get(offset, "")
            self.ahead[offset] = piece if len(piece) > len(known) else known
        elif offset + len(piece) > end:
            self.text += piece[end - offset :]


class Tail(msgspec.Struct):
    """The last part of a running command's output; a jump in the offsets is a part that was not told."""

    text: str = ""
    length: int = 0
    keep: int = 16_000

    def add(self, offset: int, piece: str) -> bool:
        """Put a piece at its offset (in characters); True when something was added."""
        if offset + len(piece) <= self.length:
            return False
        if offset > self.length:
            self.text += "\n…\n" if self.text else "…\n"
        else:
            piece = piece[self.length - offset :]
            offset = self.length
        self.text = (self.text + piece)[-self.keep :]
        self.length = offset + len(piece)
        return True


class UserCard(msgspec.Struct, gc=False):
    """What a person said; `attached` names what went with it (commands that were run, images)."""

    key: str
    text: str
    attached: tuple[str, ...] = ()


class AssistantCard(msgspec.Struct, gc=False):
    """What the model says; `done` when it is whole, `finish` as in `AssistantMessage`."""

    key: str
    text: str = ""
    done: bool = False
    finish: str = ""


class ReasoningCard(msgspec.Struct, gc=False):
    """What the model thinks; folded to one line."""

    key: str
    text: str = ""
    done: bool = False


class ToolCard(msgspec.Struct, gc=False):
    """One call.

    `status`: writing (by the model), waiting, approval, running, then ok, error, denied, interrupted or unknown.
    `typed` counts the characters of its arguments so far; `text` is what the model was told, for a call without blocks.
    `since` is when it began to run, on the state's clock.
    """

    key: str
    name: str
    title: str = ""
    status: str = "waiting"
    typed: int = 0
    output: str = ""
    blocks: tuple[DisplayBlock, ...] = ()
    text: str = ""
    seconds: float = 0.0
    since: float = 0.0
    by_person: bool = False

    @property
    def open(self) -> bool:
        """Whether its result is still to come."""
        return self.status in ("writing", "waiting", "approval", "running")


class NoticeCard(msgspec.Struct, gc=False):
    """Something the person should know: `level` is info, warning or error; `hint` what to do."""

    key: str
    level: str
    text: str
    hint: str = ""


class EndCard(msgspec.Struct, gc=False):
    """The end of a run, in one quiet line."""

    key: str
    text: str


class SayCard(msgspec.Struct, gc=False):
    """A command's words (Markdown) and blocks for the person, never told to the model."""

    key: str
    text: str = ""
    blocks: tuple[DisplayBlock, ...] = ()


class CompactedCard(msgspec.Struct, gc=False):
    """The context was compacted."""

    key: str
    event: ContextCompacted


class EvictedCard(msgspec.Struct, gc=False):
    """The line below what the model does not see any more."""

    key: str


class ReflectionCard(msgspec.Struct, gc=False):
    """What a background reading found; `verdict` is "" while nobody has decided, then merged or rejected.

    `text` and `hint` are what was said of it, where something was.
    """

    key: str
    event: ReflectionDone
    verdict: str = ""
    text: str = ""
    hint: str = ""


class MemoryCard(msgspec.Struct, gc=False):
    """The model was told of an edit of its memory that it had not made.

    `text` is what it was told, `here` the conversation that this is.
    """

    key: str
    text: str
    here: str = ""


Card: TypeAlias = (
    UserCard
    | AssistantCard
    | ReasoningCard
    | ToolCard
    | NoticeCard
    | EndCard
    | SayCard
    | CompactedCard
    | EvictedCard
    | ReflectionCard
    | MemoryCard
)


class Queued(msgspec.Struct, frozen=True):
    """A message that waits for the next step boundary."""

    client_id: str
    text: str


class FileChange(msgspec.Struct):
    """What this conversation did to one file: `blocks` are its diffs in order."""

    path: str
    blocks: list[DisplayBlock] = msgspec.field(default_factory=list[DisplayBlock])
    added: int = 0
    removed: int = 0
    status: str = "modified"
