"""View: which events of a journal still count, after the person went back (the journal itself only ever grows)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from letta_code.core.events import Event, Rewound

EventT = TypeVar("EventT", bound=Event)


class View:
    """The events that count: after a `Rewound` to `k` all that counted at `k`, then what follows.

    `rewinds` are pairs (seq of the `Rewound`, its `to_seq`) in order; `last` is the journal's last seq.
    """

    def __init__(self, rewinds: Sequence[tuple[int, int]], last: int) -> None:
        spans: list[tuple[int, int]] = []
        for seq, to in reversed(rewinds):
            if seq <= last:  # else it was itself taken back
                spans.append((seq, last))
                last = to
        self.spans = ((1, last), *reversed(spans))
        self.whole = not spans

    def counts(self, seq: int) -> bool:
        """Whether an event is still part of the conversation; one that is not stored (seq 0) is."""
        return self.whole or not seq or any(first <= seq <= last for first, last in self.spans)

    def of(self, events: Iterable[EventT]) -> list[EventT]:
        """Those of some events that count."""
        return [event for event in events if self.counts(event.seq)]


def goes_back(event: Event) -> bool:
    """Whether an event takes messages out of the conversation."""
    return type(event) is Rewound and event.to_seq > 0


def view(events: Sequence[Event]) -> list[Event]:
    """The events that count of a whole journal."""
    return view_of(events).of(events)


def view_of(events: Sequence[Event]) -> View:
    """Which events of a whole journal count."""
    back = [(event.seq, event.to_seq) for event in events if isinstance(event, Rewound) and event.to_seq]
    return View(back, max((event.seq for event in events), default=0) if back else 0)
