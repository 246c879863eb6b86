"""A small model's reply: the schema that forces it, and reading it back at any chunking."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_code.llm.history import CallIds
from letta_code.llm.local_reply import ForcedReader, ReplyParts, reply_schema
from letta_code.llm.model import CallPiece, StreamPart, TextPiece, ToolSpec, UsagePiece
from letta_code.llm.openai_chunks import ChunkReader

READ = ToolSpec(
    name="Read",
    description="Read a file.",
    parameters=b'{"type":"object","properties":{"path":{"type":"string","description":"which"}},"required":["path"]}',
)
MANY = ToolSpec(
    name="Many",
    description="x",
    parameters=b'{"type":"object","properties":{"all":{"type":"array","items":{"$ref":"#/$defs/One"}}},"required":["all"],'
    b'"$defs":{"One":{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}}}',
)


def read_all(*pieces: str, taken: set[str] | None = None) -> list[StreamPart]:
    parts = ReplyParts(CallIds(taken or set()))
    found = [part for piece in pieces for part in parts.feed(piece)]
    return [*found, *parts.end()]


def text_of(parts: list[StreamPart]) -> str:
    assert all(isinstance(part, TextPiece) for part in parts)
    return "".join(part.text for part in parts if isinstance(part, TextPiece))


def call_of(parts: list[StreamPart]) -> tuple[str, str, str]:
    calls = [part for part in parts if isinstance(part, CallPiece)]
    assert len(calls) == len(parts) and {call.index for call in calls} == {0}
    return calls[0].id, calls[0].name, "".join(call.arguments for call in calls)


def chunked(text: str, cuts: list[int]) -> list[str]:
    places = sorted({cut % (len(text) + 1) for cut in cuts})
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def test_the_schema_is_one_call_or_an_answer() -> None:
    schema = reply_schema((READ,))
    call, answer = schema["oneOf"]
    assert call["properties"]["tool"] == {"const": "Read"}
    assert call["properties"]["arguments"]["properties"] == {"path": {"type": "string"}}
    assert call["required"] == ["tool", "arguments"] and call["additionalProperties"] is False
    assert answer["required"] == ["answer"]


def test_references_of_two_tools_cannot_mix() -> None:
    schema = reply_schema((MANY, READ))
    assert set(schema["$defs"]) == {"Many.One"}
    items: Any = schema["oneOf"][0]["properties"]["arguments"]["properties"]["all"]["items"]
    assert items == {"$ref": "#/$defs/Many.One"}


@given(
    st.text(max_size=80), st.lists(st.integers(0, 500), max_size=30), st.booleans(), st.sampled_from(["", " ", "\n  "])
)
def test_an_answer_comes_whole_at_any_chunking(text: str, cuts: list[int], ascii_only: bool, space: str) -> None:
    raw = space + "{" + space + '"answer":' + space + json.dumps(text, ensure_ascii=ascii_only) + space + "}"
    # Halves of surrogate pairs, which nothing can store, become U+FFFD; two that meet are one character.
    told = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert text_of(read_all(*chunked(raw, cuts))) == told


_values = st.recursive(
    st.text(max_size=20) | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=8), _values, max_size=4), st.lists(st.integers(0, 500), max_size=30), st.booleans()
)
def test_a_call_comes_byte_for_byte_at_any_chunking(arguments: dict[str, Any], cuts: list[int], indent: bool) -> None:
    raw = json.dumps(arguments, indent=2 if indent else None)
    parts = read_all(*chunked('{"tool": "Read", "arguments": ' + raw + "}", cuts))
    assert call_of(parts) == ("call_0", "Read", raw)


def test_an_answer_comes_while_it_is_written() -> None:
    parts = ReplyParts(CallIds(set()))
    assert list(parts.feed('{"answer": "Hel')) == [TextPiece(text="Hel")]
    assert list(parts.feed("lo")) == [TextPiece(text="lo")]


def test_a_second_call_of_a_conversation_has_another_id() -> None:
    parts = read_all('{"tool": "Read", "arguments": {}}', taken={"call_0"})
    assert call_of(parts)[0] == "call_1"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Just words.", "Just words."),
        ('{"answer": "torn at \\u00', "torn at "),
        ('{"answer": "half \\ud83d', "half "),
        ('{"answer": "lone \\ud83d."}', "lone \ufffd."),
        ('{"oth', '{"oth'),
        ('{"answer": ""}', ""),
        ("", ""),
        ('{"answer": "done"} and more', "done"),
    ],
)
def test_what_is_not_as_it_should_be_is_not_lost(raw: str, text: str) -> None:
    assert text_of(read_all(*raw)) == text


def test_a_torn_call_is_told_as_far_as_it_came() -> None:
    """Never repaired: the loop answers arguments that are no JSON with an error."""
    assert call_of(read_all('{"tool": "Read", "arguments": {"path": "a')) == ("call_0", "Read", '{"path": "a')


def event(**choice: Any) -> bytes:
    return msgspec.json.encode({"choices": [choice]})


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ('{"tool": "Read", "arguments": {}}', "stop", "tool_calls"),
        ('{"answer": "x"}', "stop", "stop"),
        ('{"answer": "x', "length", "length"),
        ('{"tool": "Read", "arguments": {', "length", "length"),
    ],
)
def test_the_reader_says_how_it_ended(text: str, finish: str, reason: str) -> None:
    ids = CallIds(set())
    reader = ForcedReader(ChunkReader(ids), ids)
    for char in text:
        list(reader.read(event(delta={"content": char})))
    assert reader.reason() == ""
    list(reader.read(event(delta={}, finish_reason=finish)))
    assert reader.finish and reader.reason() == reason
    usage = list(reader.read(b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}'))
    assert isinstance(usage[0], UsagePiece)
    list(reader.read(b"[DONE]"))
    assert reader.ended


def test_an_error_inside_the_stream_is_seen() -> None:
    ids = CallIds(set())
    reader = ForcedReader(ChunkReader(ids), ids)
    list(reader.read(b'{"error":{"message":"no","code":500}}'))
    assert b"no" in reader.error
