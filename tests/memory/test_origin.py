"""Where lines came from: the person's last words before a change, and what was done at it."""

from __future__ import annotations

import pytest

from letta_code.core.events import AssistantMessage, Event, Notice, ReflectionDone, ToolResult, UserMessage
from letta_code.core.messages import TextPart, ToolCall
from letta_code.memory.block import BlockError
from letta_code.memory.history import BlamedLine
from letta_code.memory.origin import QUOTED, moment_of, named_line, origins
from letta_code.memory.provenance import REFLECTION, Change, Provenance
from letta_code.store.journal import StoredEvent


class Journal:
    """Conversations as lists of events; counts what is read."""

    def __init__(self, *events: Event) -> None:
        self.events = [StoredEvent(seq=n, event=event, raw=b"") for n, event in enumerate(events, 1)]
        self.read_events = 0

    def read(self, conversation: str, after: int, limit: int | None) -> list[StoredEvent]:
        found = self.events[after:] if conversation == "conv-1" else []
        found = found[:limit]
        self.read_events += len(found)
        return found


def said(seq: int, *texts: str) -> UserMessage:
    return UserMessage(seq=seq, message_id=f"m{seq}", content=tuple(TextPart(text=text) for text in texts))


def filler(seq: int) -> Notice:
    return Notice(seq=seq, level="info", text="…")


def line(number: int, commit: str, seq: int, conversation: str = "conv-1") -> BlamedLine:
    by = Provenance(source="agent", conversation=conversation, seq=seq)
    return BlamedLine(
        number=number, text=f"line {number}", change=Change(commit=commit, at="", summary="", provenance=by)
    )


def moments(journal: Journal, seq: int) -> list[tuple[str, int, str]]:
    [origin] = origins([line(1, "a", seq)], journal.read)
    return [(moment.who, moment.seq, moment.text) for moment in origin.moments]


def test_the_last_words_before_the_change_are_quoted() -> None:
    journal = Journal(
        said(1, "first"),
        said(2, "attached output", "second"),
        AssistantMessage(seq=3, message_id="a", model="m", text="Yes."),
    )
    assert moments(journal, 3) == [("you", 2, "second"), ("the agent", 3, "Yes.")]
    assert moments(journal, 2) == [("you", 2, "second")]


def test_words_far_back_are_found_and_a_long_run_is_not_read_whole() -> None:
    journal = Journal(said(1, "start"), *(filler(n) for n in range(2, 120)), said(120, "x"))
    journal.events[119] = StoredEvent(
        seq=120, event=ToolResult(seq=120, message_id="t", call_id="c", name="Bash", status="ok", content=()), raw=b""
    )
    assert moments(journal, 120) == [("you", 1, "start"), ("tool Bash", 120, "")]
    far = Journal(said(1, "start"), *(filler(n) for n in range(2, 2001)))
    assert moments(far, 2000) == []
    assert far.read_events < 500


def test_neighbouring_lines_of_a_change_are_one_origin_and_a_change_is_looked_up_once() -> None:
    journal = Journal(said(1, "a"), said(2, "b"))
    found = origins([line(1, "x", 1), line(2, "x", 1), line(3, "y", 2), line(4, "x", 1)], journal.read)
    assert [[one.number for one in origin.lines] for origin in found] == [[1, 2], [3], [4]]
    assert [origin.moments[0].text for origin in found] == ["a", "b", "a"]
    assert journal.read_events == 2


def test_an_event_that_is_not_there_is_said() -> None:
    journal = Journal(said(1, "a"))
    for gone in (line(1, "x", 9), line(1, "x", 1, conversation="conv-2")):
        [origin] = origins([gone], journal.read)
        assert origin.moments == () and "not in this store" in origin.missing
    [origin] = origins([line(1, "x", 0)], journal.read)
    assert origin.missing == ""


def test_moments_are_one_short_line() -> None:
    calls = (
        ToolCall(id="1", name="memory", arguments='{"command": "insert", "label": "human", "text": "x"}'),
        ToolCall(id="2", name="memory_rethink", arguments="{broken"),
        ToolCall(id="3", name="Bash", arguments="{}"),
    )
    did = moment_of(AssistantMessage(message_id="a", model="m", tool_calls=calls))
    assert did and did.text == "[memory insert human] [memory_rethink] [Bash]"
    long = moment_of(said(1, "word\n" * 1000))
    assert long and len(long.text) == QUOTED and "\n" not in long.text
    assert moment_of(filler(1)) is None


def test_a_named_line() -> None:
    assert [named_line(text) for text in ("human", "notes/x:12", " human:1 ")] == [
        ("human", 0),
        ("notes/x", 12),
        ("human", 1),
    ]
    for wrong in ("human:", ":3", "human:0", "human:x", "human:-1", "human:²"):
        with pytest.raises(BlockError, match="names no line"):
            named_line(wrong)


def reflected(number: int, seq: int, reflection: str = "refl-a", since: int = 1) -> BlamedLine:
    by = Provenance(source=REFLECTION, conversation="conv-1", seq=seq, reflection=reflection, since=since)
    change = Change(commit="abc", at="", summary="", provenance=by)
    return BlamedLine(number=number, text="always run curl", change=change)


def done(seq: int, reflection: str, commit: str = "") -> ReflectionDone:
    return ReflectionDone(
        seq=seq, reflection_id=reflection, status="merged", read_until=2, why="A rule of yours.", commit=commit
    )


def test_nobody_is_said_to_have_said_what_a_reflection_concluded() -> None:
    journal = Journal(said(1, "Read the page"), said(2, "thanks"), filler(3), done(4, "refl-b"), done(5, "refl-a"))
    [origin] = origins([reflected(1, 2)], journal.read)
    assert [(moment.who, moment.seq, moment.text) for moment in origin.moments] == [
        ("the reflection refl-a, which read events 1 to 2", 5, "A rule of yours.")
    ]
    old = Journal(said(1, "Read the page"), said(2, "thanks"), done(3, "refl-c", commit="abc"))
    [origin] = origins([reflected(1, 2, reflection="", since=0)], old.read)
    assert [moment.who for moment in origin.moments] == [
        "the reflection refl-c, which read what was said up to event 2"
    ]
    [origin] = origins([reflected(1, 2)], Journal(said(1, "Read the page"), said(2, "thanks")).read)
    assert origin.moments == () and "up to event 2" in origin.missing


def test_a_change_of_a_reflection_names_what_it_read() -> None:
    assert reflected(1, 9, since=4).change.provenance.named == "the reflection in conv-1, which read events 4 to 9"
