"""Progress on stderr, from events."""

from __future__ import annotations

from letta_code.core.display import MemoryBlock, NoteBlock
from letta_code.core.events import ContextCompacted, Event, LiveEvent, ReminderAdded, ToolResult, ToolStarted, Waiting
from letta_code.headless.progress import Progress


def told(*events: Event | LiveEvent, quiet: bool = False) -> list[str]:
    lines: list[str] = []
    progress = Progress(lines.append, quiet=quiet)
    for event in events:
        progress.event(event)
    return lines


def test_a_silent_server_is_named_every_ten_seconds_of_each_call() -> None:
    call = [Waiting(phase="sent"), *(Waiting(phase="first_part", seconds=s + 0.1) for s in range(1, 25))]
    said = [f"  waiting for the model's first words, {seconds} s so far" for seconds in (10, 20)]
    assert told(*call, *call) == said + said
    assert told(*call, quiet=True) == []
    assert told(Waiting(phase="loading", seconds=31.0)) == ["  waiting for the model to be loaded, 31 s so far"]


def test_what_a_tool_warns_of_is_said() -> None:
    blocks = (
        MemoryBlock(label="human"),
        NoteBlock(text="an aside"),
        NoteBlock(text="It was not asked.", level="warning"),
    )
    result = ToolResult(message_id="m", call_id="c", name="memory", status="ok", content=(), blocks=blocks)
    assert told(result) == ["* memory", "  warning: It was not asked."], "it ran before somebody looked on"
    begun = ToolStarted(call_id="c", name="memory", title="Remember")
    assert told(begun, result) == ["* Remember", "  warning: It was not asked."]
    assert told(result, quiet=True) == []


def test_a_compaction_is_said_in_one_line() -> None:
    event = ContextCompacted(
        message_id="m", summary="…", first_kept_seq=9, evicted=12, tokens_before=30_000, tokens_after=9000, note="So."
    )
    assert told(event) == ["* Context compacted: 30,000 → 9,000 tokens, 12 messages summarised; So."]
    assert told(event, quiet=True) == []


def test_an_edit_of_memory_by_others_is_told_without_its_text() -> None:
    text = "Your memory changed:\n`human` was changed by the person (90/5000 characters now):\n+- Tea"
    event = ReminderAdded(message_id="m", kind="memory", text=text)
    assert told(event) == ["* the agent was told: `human` was changed by the person (90/5000 characters now)"]
    assert told(event, quiet=True) == []


def test_an_owner_that_does_not_answer_is_named_once_a_minute_until_it_does() -> None:
    silent = [Waiting(phase="silent", seconds=s, reason=f"process 7 does not answer for {s} s") for s in (15, 40, 80)]
    lines = told(*silent, Waiting(phase="answers"))
    said = [f"  process 7 does not answer for {seconds} s" for seconds in (15, 80)]
    assert lines == [*said, "  it answers again"]
