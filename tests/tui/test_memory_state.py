"""What events about the context and memory become on the screen, without a screen."""

from __future__ import annotations

import pytest

from letta_code.agent.compacting.wording import Place, body_of, unframed, wrapped
from letta_code.core import events as ev
from letta_code.core.display import MemoryBlock
from letta_code.core.messages import TextPart, ToolCall
from letta_code.memory.block import Block
from letta_code.memory.provenance import Provenance
from letta_code.memory.render import reminder
from letta_code.tui.cards import CompactedCard, EvictedCard, MemoryCard, NoticeCard, ReflectionCard
from letta_code.tui.memory_authors import author, authors, placed
from letta_code.tui.view_state import ViewState
from letta_code.tui.widgets.memory_bar import bar, percent
from letta_code.tui.widgets.memory_cards import head, told
from letta_code.tui.widgets.status_bar import _context, doing


def talk(steps: int) -> ViewState:
    """A conversation of so many messages and answers with a call each, seq 2 to 3 * steps + 1."""
    state = ViewState(lambda: 100.0)
    state.apply(ev.ConversationStarted(seq=1, conversation_id="conv-1", agent_id="a", cwd="/", version="1"))
    seq = 1
    for n in range(steps):
        call = ToolCall(id=f"c{n}", name="Read", arguments="{}")
        state.apply(ev.UserMessage(seq=(seq := seq + 1), message_id=f"u{n}", content=(TextPart(text="hi"),)))
        state.apply(
            ev.AssistantMessage(seq=(seq := seq + 1), message_id=f"m{n}", model="x", text="yo", tool_calls=(call,))
        )
        state.apply(
            ev.ToolResult(
                seq=(seq := seq + 1), message_id=f"t{n}", call_id=f"c{n}", name="Read", status="ok", content=()
            )
        )
    return state


def keys(state: ViewState) -> list[str]:
    return list(state.cards)


def test_the_line_stands_where_the_context_begins() -> None:
    state = talk(3)
    state.apply(ev.ContextCompacted(seq=11, message_id="s", summary="…", first_kept_seq=5, evicted=3, tokens_after=900))
    assert keys(state) == ["u0", "m0", "c0", "evicted-11", "u1", "m1", "c1", "u2", "m2", "c2", "s"]
    assert isinstance(state.cards["s"], CompactedCard)


def test_a_later_compaction_moves_the_line() -> None:
    state = talk(3)
    state.apply(ev.ContextCompacted(seq=11, message_id="s", summary="…", first_kept_seq=5))
    state.apply(ev.ContextCompacted(seq=12, message_id="s2", summary="…", first_kept_seq=8))
    assert [key for key, card in state.cards.items() if isinstance(card, EvictedCard)] == ["evicted-12"]
    assert keys(state).index("evicted-12") == keys(state).index("u2") - 1


def test_when_nothing_is_kept_the_line_is_below_everything() -> None:
    state = talk(1)
    state.apply(ev.ContextCompacted(seq=5, message_id="s", summary="…", first_kept_seq=5))
    assert keys(state)[-2:] == ["evicted-5", "s"]


@pytest.mark.parametrize("end", ["compacted", "sent", "finished"])
def test_the_card_that_announces_a_compaction_goes_with_it(end: str) -> None:
    state = talk(1)
    state.apply(ev.Waiting(phase="compacting"))
    state.apply(ev.Waiting(phase="compacting", seconds=2))
    assert isinstance(state.cards["compacting"], NoticeCard)
    state.running = True
    assert "making room" in doing(state, 100.0)[0]
    match end:
        case "compacted":
            state.apply(ev.ContextCompacted(seq=5, message_id="s", summary="…", first_kept_seq=2))
            assert state.waiting is None
        case "sent":
            state.apply(ev.Waiting(phase="sent"))
        case _:
            state.apply(ev.RunFinished(seq=5, reason="interrupted"))
    assert "compacting" not in state.cards


def test_a_reflection_and_what_was_decided() -> None:
    state = talk(1)
    mark = state.memory_mark
    state.apply(ev.ReflectionDone(seq=5, reflection_id="r", status="waiting", read_until=4))
    state.apply(ev.ReflectionDecided(seq=6, reflection_id="r", verdict="rejected"))
    card = state.cards["r"]
    assert isinstance(card, ReflectionCard)
    assert card.verdict == "rejected"
    assert state.memory_mark > mark


def test_a_reflection_is_told_once() -> None:
    state = talk(1)
    state.apply(ev.ReflectionDone(seq=5, reflection_id="r", status="failed", read_until=4, error="no model"))
    state.apply(ev.Notice(seq=6, level="warning", text="Reflection failed: no model", hint="Later.", code="reflection"))
    state.apply(ev.Notice(seq=7, level="info", text="Reflection: there was nothing to keep.", code="reflection"))
    card = state.cards["r"]
    assert isinstance(card, ReflectionCard)
    assert head(card).plain == "◆ Reflection failed: no model  Later."
    assert keys(state)[-2:] == ["r", "notice-7"]


def test_a_reflection_that_found_nothing_is_not_shown() -> None:
    state = talk(1)
    state.apply(ev.ReflectionDone(seq=5, reflection_id="r", status="nothing", read_until=4))
    assert "r" not in state.cards


def test_only_what_may_have_changed_memory_makes_the_pane_look() -> None:
    state = talk(2)
    assert state.memory_mark == 0
    state.apply(ev.ReminderAdded(seq=8, message_id="r1", kind="environment", text="It is Tuesday."))
    assert (state.memory_mark, "r1" in state.cards) == (0, False)
    state.apply(
        ev.ReminderAdded(seq=9, message_id="r2", kind="memory", text="Your memory changed:\n`human` was removed.")
    )
    block = MemoryBlock(label="human")
    result = ev.ToolResult(seq=10, message_id="t", call_id="c", name="memory", status="ok", content=(), blocks=(block,))
    state.apply(result)
    assert state.memory_mark == 2
    assert isinstance(state.cards["r2"], MemoryCard)


def test_the_meter_shows_where_the_context_is_compacted() -> None:
    state = ViewState()
    state.apply(ev.ContextMeter(tokens=29_900, window=200_000, limit=40_000))
    assert _context(state).plain == "29.9k/40k"
    assert "warning" not in str(_context(state).spans)
    state.apply(ev.ContextMeter(tokens=31_200, window=200_000, limit=40_000))
    assert _context(state).plain == "31.2k/40k"
    assert "warning" in str(_context(state).spans)


# ------------------------------------------------------------ words


def test_a_reminder_is_told_in_one_line_without_values_or_ids() -> None:
    before, after = (
        Block(label="human", value="x"),
        Block(label="human", value="`style` was removed.\n</block", limit=100),
    )
    from letta_code.memory.outcome import BlockChange, diff_of

    changes = [
        BlockChange(before=before, after=after, diff=diff_of(before, after), by="the person in conv-1"),
        BlockChange(
            before=None, after=Block(label="new"), diff=diff_of(None, after), by="the agent in conv-7 at event 3"
        ),
        BlockChange(before=before, after=None, diff=diff_of(before, None)),
    ]
    said = told(reminder(changes), "conv-1")
    assert said == "`human` was changed by you; `new` is new by the agent in another conversation; `human` was removed"


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("the agent in conv-1 at event 3", "the agent"),
        ("the agent in conv-2 at event 3, the person", "the agent in another conversation, you"),
        ("the agent in conv-2 at event 3, the agent in conv-2 at event 9", "the agent in another conversation"),
        ("", ""),
    ],
)
def test_authors_are_named_as_they_are_seen_from_here(by: str, said: str) -> None:
    assert authors(by, "conv-1") == said


def test_words_that_look_like_a_place_stay() -> None:
    assert placed("the person in a hurry", "conv-1") == "the person in a hurry"


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (Provenance(source="user", conversation="conv-2"), "you"),
        (Provenance(source="agent", conversation="conv-1"), "agent"),
        (Provenance(source="agent", conversation="conv-2"), "agent elsewhere"),
        (Provenance(source="letta", conversation="conv-2"), "letta-code"),
        (Provenance(source="tool:Todo", conversation="conv-1"), "tool Todo"),
        (Provenance(source="web:https://docs.example.org/a/b"), "web docs.example.org"),
    ],
)
def test_an_author_in_a_word(by: Provenance, said: str) -> None:
    assert author(by, "conv-1") == said


@pytest.mark.parametrize(
    ("chars", "drawn", "number"),
    [(0, "────", "   –"), (1, "╸───", "  1%"), (50, "━━──", " 50%"), (100, "━━━━", "100%"), (130, "━━━━", "130%")],
)
def test_a_bar_is_as_long_as_the_block_is_full(chars: int, drawn: str, number: str) -> None:
    block = Block(label="b", value="x" * chars, limit=100)
    assert bar(block, 4).plain == drawn
    assert percent(block).plain == number


@pytest.mark.parametrize(("chars", "tone"), [(79, "primary"), (80, "warning"), (100, "warning"), (101, "error")])
def test_a_bar_turns_amber_and_then_red(chars: int, tone: str) -> None:
    assert tone in str(bar(Block(label="b", value="x" * chars, limit=100), 8).spans)


def test_a_summary_is_shown_without_its_words_to_the_model() -> None:
    text = wrapped("# Goals\nAll.\n\nMore.", Place(conversation_id="conv-1", until=9), "rule: never push")
    shown = unframed(text)
    assert shown.startswith("# Goals\nAll.\n\nMore.") and "never push" in shown
    assert "your context" not in shown and "conversation_summary" not in shown
    assert body_of(text) == "# Goals\nAll.\n\nMore."
    assert unframed("# Goals\n\nof an older version") == "# Goals\n\nof an older version"
