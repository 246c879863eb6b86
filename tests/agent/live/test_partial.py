"""The present for a newcomer: all of the answer so far, and of each running call's output the newest part."""

from __future__ import annotations

from letta_code.agent.live.partial import OUTPUT_LIMIT, Grown, Partial
from letta_code.core import events as ev
from letta_code.core.messages import TextPart


def text(offset: int, piece: str, message: str = "m") -> ev.TextDelta:
    return ev.TextDelta(message_id=message, offset=offset, text=piece)


def test_pieces_stand_at_their_offset() -> None:
    grown = Grown()
    for offset, piece in ((0, "abc"), (3, "def"), (2, "CD"), (10, "later")):
        grown.place(offset, piece)
    assert list(grown.pieces()) == [(0, "abCD"), (10, "later")]


def test_the_newest_part_of_a_huge_output_is_kept_at_its_place() -> None:
    partial = Partial()
    partial.take(ev.ToolStarted(call_id="c", name="Bash", title="loud"))
    whole = "".join(f"{n:07d}\n" for n in range(50_000))
    for at in range(0, len(whole), 777):
        partial.take(ev.ToolOutput(call_id="c", offset=at, text=whole[at : at + 777]))
    started, output = partial.now()
    assert isinstance(started, ev.ToolStarted)
    assert isinstance(output, ev.ToolOutput)
    assert len(output.text) == OUTPUT_LIMIT
    assert whole[output.offset :] == output.text


def test_the_present_is_told_whole_and_only_as_long_as_it_is_the_present() -> None:
    partial = Partial()
    waits = ev.Waiting(phase="sent")
    meter = ev.ContextMeter(tokens=5)
    partial.take(waits)
    partial.take(meter)
    assert partial.now() == (waits, meter)
    partial.take(ev.ReasoningDelta(message_id="m", offset=0, text="Hm"))
    partial.take(text(0, "One "))
    partial.take(text(4, "two"))
    assert partial.now() == (ev.ReasoningDelta(message_id="m", offset=0, text="Hm"), text(0, "One two"), meter)
    moving = ev.Waiting(phase="moving")
    partial.take(moving)
    partial.take(ev.DraftDropped(message_id="m"))
    partial.take(text(0, "Again", "n"))
    assert partial.now() == (text(0, "Again", "n"), moving, meter)
    partial.take(ev.AssistantMessage(seq=1, message_id="n", model="x", text="Again"))
    assert partial.now() == (moving, meter)
    partial.take(ev.ToolStarted(call_id="c", name="Bash", title="ls"))
    partial.take(
        ev.ToolResult(seq=2, message_id="t", call_id="c", name="Bash", status="ok", content=(TextPart(text=""),))
    )
    assert partial.now() == (moving, meter)
    partial.take(ev.RunMoved(seq=3))
    assert partial.now() == (meter,)
