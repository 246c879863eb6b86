"""Targets: the points that a conversation can go back to: its checkpoints, the last run, what was just undone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from letta_code.core import events as ev
from letta_code.core.errors import UsageError
from letta_code.core.messages import Value, text_of
from letta_code.core.view import View, view

CODE, CONVERSATION, MEMORY = "code", "conversation", "memory"
PARTS = (CODE, CONVERSATION, MEMORY)
_LISTING = "/checkpoints lists them."


class Target(Value):
    """A point to go back to.

    `number` counts the conversation's checkpoints from the oldest on (0 for a run that has none: nothing was changed
    then, and the checkpoint has no id); `words` begin the message it stands before ("" where nothing followed);
    `counts` is False for a point in what was taken back; `what` are the parts that are meant, () for all; `apart` says
    that only the files which the run (or the rewind) itself changed are meant, not what the person did after it.
    """

    checkpoint: ev.CheckpointMade
    number: int = 0
    words: str = ""
    counts: bool = True
    what: tuple[str, ...] = ()
    apart: bool = False

    @property
    def named(self) -> str:
        """The point in words."""
        if self.checkpoint.name:
            return f"“{self.checkpoint.name}”"
        if self.checkpoint.kind == "rewind":
            return f"before you went back {self.words}".rstrip()
        if self.words:
            return f"before “{self.words}”"
        return f"checkpoint {self.number}" if self.number else "before the last run"


def targets(events: Sequence[ev.Event], counting: View) -> list[Target]:
    """All checkpoints of a journal, oldest first."""
    said = [event for event in events if isinstance(event, ev.UserMessage)]
    made = [event for event in events if isinstance(event, ev.CheckpointMade)]
    found: list[Target] = []
    for number, checkpoint in enumerate(made, 1):
        following = next((event for event in said if event.seq > checkpoint.until_seq), None)
        words = first_words(text_of(following.content)) if following and checkpoint.kind != "rewind" else ""
        found.append(Target(checkpoint=checkpoint, number=number, words=words, counts=counting.counts(checkpoint.seq)))
    led = {event.undo: event.checkpoint_id for event in events if isinstance(event, ev.Rewound)}
    by_id = {one.checkpoint.checkpoint_id: one for one in found}
    return [_led(one, by_id.get(led.get(one.checkpoint.checkpoint_id, ""))) for one in found]


def _led(one: Target, to: Target | None) -> Target:
    """A point that a rewind left says where that led."""
    if one.checkpoint.kind != "rewind" or to is None:
        return one
    return msgspec.structs.replace(one, words=f"to checkpoint {to.number}")


def chosen(found: Sequence[Target], wanted: str) -> Target:
    """The target of a number, a name or an id (or an id's beginning); raises `UsageError`."""
    if not found:
        raise UsageError("There is no checkpoint yet.", hint="/save makes one; each run that changes files has one.")
    if wanted.isdecimal():
        if not 1 <= int(wanted) <= len(found):
            raise UsageError(f"There is no checkpoint {wanted}: there are {len(found)}.", hint=_LISTING)
        return found[int(wanted) - 1]
    named = [one for one in found if one.checkpoint.name.casefold() == wanted.casefold()]
    named = named or [one for one in found if len(wanted) > 5 and one.checkpoint.checkpoint_id.startswith(wanted)]
    if len(named) != 1:
        raise UsageError(f"There is no checkpoint {wanted!r}.", hint=_LISTING)
    return named[0]


def last_run(events: Sequence[ev.Event], found: Sequence[Target]) -> Target:
    """The point before the last run that still counts; raises `UsageError` where there is none."""
    first, run, at = 0, "", ""
    ended: tuple[int, str, str] | None = None
    for event in view(events):
        match event:
            case ev.UserMessage(seq=seq):
                first, at = first or seq, at or event.at
            case ev.RunStarted(seq=seq, run_id=run_id):
                first, run, at = first or seq, run_id, at or event.at
            case ev.RunFinished():
                ended, first, at = (first or event.seq, run or event.run_id, at), 0, ""
            case ev.Rewound(to_seq=to) if to:
                first, at = 0, ""
            case _:
                pass
    if ended is None:
        raise UsageError("There is nothing to undo: no run stands in this conversation.")
    seq, run_id, when = ended
    for one in found:
        if one.checkpoint.kind == "run" and one.checkpoint.run_id == run_id and one.checkpoint.until_seq == seq - 1:
            return msgspec.structs.replace(one, apart=True)
    message = next((e for e in events if isinstance(e, ev.UserMessage) and e.seq >= seq), None)
    before = ev.CheckpointMade(checkpoint_id="", kind="run", until_seq=seq - 1, run_id=run_id, at=when)
    return Target(checkpoint=before, words=first_words(text_of(message.content)) if message else "", apart=True)


def last_undone(events: Sequence[ev.Event], found: Sequence[Target]) -> Target:
    """The state that the last rewind left; raises `UsageError` when something was said since, or nothing undone."""
    by_id = {one.checkpoint.checkpoint_id: one for one in found}
    again: set[str] = set()
    for event in reversed(view(events)):
        match event:
            case ev.UserMessage() | ev.RunStarted():
                break
            case ev.Notice(code="rewind", level="warning", hint=hint):
                raise UsageError("There is nothing to redo: going back was cut off.", hint=hint)
            case ev.Rewound():
                to = by_id.get(event.checkpoint_id)
                if to is not None and to.checkpoint.kind == "rewind":
                    again.add(event.checkpoint_id)  # this one took a rewind back itself
                elif event.undo in by_id and event.undo not in again:
                    left = by_id[event.undo]
                    return Target(checkpoint=left.checkpoint, number=left.number, what=event.what, apart=True)
            case _:
                pass
    raise UsageError("There is nothing to redo.", hint="/redo takes the last undo back, until something new was said.")


def first_words(text: str, most: int = 60) -> str:
    """The beginning of a message on one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
