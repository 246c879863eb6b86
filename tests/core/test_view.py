"""Which events count after going back: once, several times, to what was taken back before."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from letta_code.agent.history import History
from letta_code.core import events as ev
from letta_code.core.messages import TextPart, Usage, text_of
from letta_code.core.view import View, view, view_of


def journal(*steps: int) -> list[ev.Event]:
    """A journal: 0 is a message, k > 0 goes back to event k."""
    events: list[ev.Event] = []
    for seq, step in enumerate(steps, 1):
        if step:
            events.append(ev.Rewound(seq=seq, checkpoint_id=f"c{seq}", what=("conversation",), to_seq=step))
        else:
            events.append(ev.UserMessage(seq=seq, message_id=f"m{seq}", content=(TextPart(text=f"said {seq}"),)))
    return events


def slow_view(events: Sequence[ev.Event]) -> list[int]:
    """The definition, word by word: the view as it was at k, then what follows."""
    found: list[int] = []
    for at, event in enumerate(events):
        if isinstance(event, ev.Rewound) and event.to_seq:
            found = slow_view(events[:at][: event.to_seq])
        found.append(event.seq)
    return found


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ((0, 0, 0), [1, 2, 3]),
        ((0, 0, 0, 1, 0), [1, 4, 5]),
        ((0, 0, 0, 1, 0, 3), [1, 2, 3, 6]),  # redo: to what had been taken back
        ((0, 0, 1, 0, 4, 0), [1, 3, 4, 5, 6]),  # within what followed a rewind
        ((0, 0, 0, 2, 1, 0), [1, 5, 6]),
        ((0, 0, 1, 0, 2, 0, 4), [1, 3, 4, 7]),
    ],
)
def test_the_view_is_as_it_was_and_what_follows(steps: tuple[int, ...], left: list[int]) -> None:
    events = journal(*steps)
    assert [event.seq for event in view(events)] == left == slow_view(events)


def test_every_small_journal_agrees_with_the_definition() -> None:
    from itertools import product

    for steps in product(*(range(seq) for seq in range(1, 8))):
        events = journal(*steps)
        assert [event.seq for event in view(events)] == slow_view(events), steps


def test_what_is_not_stored_counts_whatever_was_taken_back() -> None:
    told = ev.Notice(level="info", text="not stored")
    events = [*journal(0, 0, 1), told]
    assert View([(3, 1)], 3).of(events) == [events[0], events[2], told]


def test_a_rewind_of_files_alone_takes_no_message_away() -> None:
    events = [*journal(0, 0), ev.Rewound(seq=3, checkpoint_id="c", what=("code",))]
    assert view_of(events).whole
    assert view(events) == events


def test_history_is_that_of_the_view_but_for_what_it_cost_and_what_was_sent() -> None:
    spent = Usage(input=10, output=1)
    events: list[ev.Event] = [
        ev.UserMessage(seq=1, message_id="a", content=(TextPart(text="one"),), client_id="x"),
        ev.AssistantMessage(seq=2, message_id="b", model="m", text="1", usage=spent, cost=0.5),
        ev.UserMessage(seq=3, message_id="c", content=(TextPart(text="two"),), client_id="y"),
        ev.AssistantMessage(seq=4, message_id="d", model="m", text="2", usage=spent, cost=0.5),
        ev.SettingChanged(seq=5, name="mode", value="auto"),
        ev.Rewound(seq=6, checkpoint_id="c", what=("conversation",), to_seq=2),
    ]
    history = History()
    history.extend(events)
    assert [text_of(m.content) for m in history.messages if hasattr(m, "content")] == ["one"]  # type: ignore[attr-defined]
    assert history.seqs == [1, 2]
    assert (history.last_seq, history.cost, history.usage.input) == (6, 1.0, 20)
    assert history.client_ids == {"x", "y"}
    assert history.mode == "auto"
    assert history.answered_seq == 2
    live = History()
    for event in events:
        live.apply(event)
    before = live.rewritten
    live.become(history)
    assert live.seqs == [1, 2]
    assert live.rewritten == before + 1
