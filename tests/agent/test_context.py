"""The head, the sections and the history."""

from __future__ import annotations

import os
import subprocess
import sys

from letta_code.agent.context import Context
from letta_code.agent.head import decode_specs, encode_specs, instructions
from letta_code.agent.history import History
from letta_code.core import events as ev
from letta_code.core.messages import TextPart, ToolCall, Usage
from letta_code.llm.model import ToolSpec
from tests.agent.fakes import Quarter

_HEAD = """
from letta_code.agent.head import Head, Toolset
from letta_code.llm.model import ModelInfo
from letta_code.tools.base import Situation, load_tools
from letta_code.workspace.workspace import Capabilities
info = ModelInfo(name="x")
head = Head(Toolset(load_tools(), Situation(capabilities=Capabilities(), model=info)), info, "1").pinned(None)
print(head.key, len(head.tools), head.system, head.tools)
"""


def test_the_head_is_the_same_in_two_processes() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _HEAD],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    (only,) = outputs
    assert instructions() in only


def test_the_instructions_keep_their_budget() -> None:
    assert len(instructions()) / 4 <= 1_200
    assert len(instructions(lean=True)) / 4 <= 300


def test_specifications_survive_the_journal_byte_for_byte() -> None:
    specs = (ToolSpec(name="A", description='d \u2028 "q"', parameters=b'{"b":1,"a":[2,  3]}'),)
    assert decode_specs(encode_specs(specs)) == specs


def _history(*events: ev.KnownEvent) -> History:
    history = History()
    for seq, event in enumerate(events, 1):
        from msgspec.structs import replace

        history.apply(replace(event, seq=seq))
    return history


def _user(text: str) -> ev.UserMessage:
    return ev.UserMessage(message_id=f"m-{text}", content=(TextPart(text=text),))


def test_the_provider_count_is_preferred_and_newer_messages_are_added() -> None:
    history = _history(
        ev.ContextPinned(key="k", system="s" * 400, tools="[]"),
        _user("u" * 40),
        ev.AssistantMessage(message_id="a", model="m", text="hi", usage=Usage(input=500, output=20), usage_exact=True),
        _user("v" * 80),
    )
    context = Context(history, Quarter())
    assert context.tokens() == (500 + 20 + 20 + 4, True)


def test_the_parts_add_up_to_what_the_meter_shows() -> None:
    history = _history(
        ev.ContextPinned(key="k", system="s" * 400, tools="[]"),
        _user("u" * 400),
        ev.AssistantMessage(message_id="a", model="m", text="hi", usage=Usage(input=500, output=20), usage_exact=True),
        _user("v" * 80),
    )
    context = Context(history, Quarter())
    total, _ = context.tokens()
    assert abs(sum(section.tokens for section in context.sections()) - total) <= 4


def test_sections_stand_in_the_order_in_which_they_are_sent() -> None:
    tools = encode_specs([ToolSpec(name="Read", description="Reads.", parameters=b"{}")])
    history = _history(
        ev.ContextPinned(key="k", system="Be good.", tools=tools),
        ev.ReminderAdded(message_id="r", kind="environment", text="Today."),
        _user("Do it."),
        ev.AssistantMessage(
            message_id="a", model="m", tool_calls=(ToolCall(id="c", name="Read", arguments='{"path":"x"}'),)
        ),
        ev.ToolResult(message_id="t", call_id="c", name="Read", status="ok", content=(TextPart(text="1 x"),)),
    )
    sections = Context(history, Quarter()).sections()
    assert [s.kind for s in sections] == ["instructions", "tools", "reminder", "user", "assistant", "tool"]
    assert all(s.tokens > 0 for s in sections)
    assert "Read" in sections[4].text
    assert [s.seq for s in sections] == [0, 0, 2, 3, 4, 5]


def test_each_block_of_memory_is_a_section_of_its_own() -> None:
    memory = '<memory>\nYours.\n<block label="human" chars="3/5000">\nAnn\n</block>\n</memory>'
    pinned = ev.ContextPinned(key="k", system=f"Be good.\n\n{memory}", tools="[]")
    sections = Context(_history(pinned), Quarter()).sections()
    assert [(s.kind, s.title) for s in sections] == [
        ("instructions", "Instructions"),
        ("memory", "(about memory)"),
        ("memory", "human"),
    ]
    assert sections[0].text == "Be good."
    assert "\nAnn\n" in sections[2].text


def test_a_part_that_was_asked_for_again_is_not_sent() -> None:
    stalled = ev.AssistantMessage(message_id="a", model="m", text="Half", finish="stalled")
    whole = ev.AssistantMessage(message_id="b", model="m", text="Whole")
    assert [m.message_id for m in _history(_user("x"), stalled, whole).messages] == ["m-x", "b"]


def test_an_unknown_event_only_moves_the_seq() -> None:
    history = History()
    history.apply(ev.UnknownEvent(raw=b'{"type":"from_2030","seq":7}', type="from_2030", seq=7))
    assert history.last_seq == 7
    assert history.messages == []
