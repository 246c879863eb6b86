"""Reading: as much of a journal as there is room for, oldest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from letta_code.agent.transcript import SHORT, Entry, Lengths, entries_of, rendered, shortened
from letta_code.core import events as ev
from letta_code.core.messages import Value
from letta_code.safety.secrets import without_secrets

Count = Callable[[str], int]


class Reading(Value):
    """What is read: the transcript's `text`, with events up to `until`; `left` entries after that are left unread.

    `short` says that long texts were shown shorter than usual, because all of it had to fit.
    """

    text: str
    until: int
    left: int = 0
    short: bool = False


def read(events: Sequence[ev.Event], room: int, count: Count) -> Reading:
    """The transcript of events in at most `room` tokens.

    What does not fit is shown shorter; what does not fit then either is left for the next reading, the newest first:
    what is old is about to be forgotten.  At least one event is read, cut where it must be.
    """
    until = events[-1].seq if events else 0
    for lengths in (Lengths(), SHORT):
        text = _shown(entries_of(events, lengths))
        if count(text) <= room:
            return Reading(text=text, until=until, short=lengths is SHORT)
    groups = [list(group) for _, group in groupby(entries_of(events, SHORT), key=lambda entry: entry.seq)]
    taken = _that_fit(groups, room, count)
    if not taken:
        first = [Entry(seq=e.seq, who=e.who, text=shortened(e.text, room), day=e.day) for e in groups[0][:2]]
        groups[0] = taken = first
    left = sum(len(group) for group in groups if group[0].seq > taken[-1].seq)
    return Reading(text=_shown(taken), until=taken[-1].seq, left=left, short=True)


def _that_fit(groups: Sequence[Sequence[Entry]], room: int, count: Count) -> list[Entry]:
    taken: list[Entry] = []
    for group in groups:
        room -= count(_shown(group)) + 1
        if room < 0:
            break
        taken += group
    return taken


def _shown(entries: Sequence[Entry]) -> str:
    """What is read never needs keys and passwords; another model than the conversation's may read it."""
    return without_secrets(rendered(entries))[0]
