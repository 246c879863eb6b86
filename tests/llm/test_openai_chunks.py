"""What servers do differently in chat completions chunks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from letta_code.core.messages import Usage
from letta_code.llm.history import CallIds
from letta_code.llm.model import ReasoningPiece, StreamPart, TextPiece, UsagePiece
from letta_code.llm.openai_chunks import ChunkReader
from tests.llm.contract import calls_in


def read(*deltas: dict[str, Any], finish: str = "stop") -> tuple[list[StreamPart], ChunkReader]:
    reader = ChunkReader(CallIds(set()))
    parts: list[StreamPart] = []
    for delta in deltas:
        parts += reader.read(msgspec.json.encode({"choices": [{"index": 0, "delta": delta}]}))
    parts += reader.read(msgspec.json.encode({"choices": [{"delta": {}, "finish_reason": finish}]}))
    parts += reader.read(b"[DONE]")
    return parts, reader


def piece(
    index: int | None = None, id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]}


@pytest.mark.parametrize(
    "deltas",
    [
        [piece(0, "a", "Read", '{"x":'), piece(0, None, None, "1}"), piece(1, "b", "Bash", "{}")],  # as documented
        [piece(0, "a", "Read", '{"x":'), piece(0, "", "", "1}"), piece(1, "b", "Bash", "{}")],  # empty strings
        [piece(0, "a", "Read", '{"x":'), piece(0, "a", "Read", "1}"), piece(1, "b", "Bash", "{}")],  # all repeated
        [piece(0, "a", "Read", '{"x":'), piece(0, "zz", None, "1}"), piece(1, "b", "Bash", "{}")],  # a fresh id a piece
        [piece(0, "a", "Read", '{"x":1}'), piece(0, "b", "Bash", "{}")],  # index 0 for all, whole calls
        [piece(0, "a", "Read", {"x": 1}), piece(1, "b", "Bash", {})],  # objects instead of text
        [piece(None, "a", "Read", '{"x":'), piece(None, None, None, "1}"), piece(None, "b", "Bash", "{}")],  # no index
        [piece(0, "a", None, None), piece(0, None, "Read", '{"x":1}'), piece(1, "b", "Bash", "{}")],  # name later
        [
            {
                "tool_calls": [
                    {"index": 0, "id": "a", "function": {"name": "Read", "arguments": '{"x":1}'}},
                    {"index": 1, "id": "b", "function": {"name": "Bash", "arguments": "{}"}},
                ]
            }
        ],  # both in one piece
        [
            piece(3, "a", "Read", '{"x":'),
            piece(7, "b", "Bash", "{"),
            piece(3, None, None, "1}"),
            piece(7, None, None, "}"),
        ],
    ],
)
def test_calls_of_all_kinds(deltas: list[dict[str, Any]]) -> None:
    parts, reader = read(*deltas)
    calls = [(id, name, msgspec.json.decode(arguments)) for id, name, arguments in calls_in(parts)]
    assert calls == [("a", "Read", {"x": 1}), ("b", "Bash", {})]
    assert reader.reason() == "tool_calls"  # although the server said stop


def test_ids_are_made_up_where_there_are_none() -> None:
    parts, _ = read(piece(0, None, "Read", "{}"), piece(0, None, "Bash", "{}"), piece(1, None, "Grep", "{}"))
    assert calls_in(parts) == [("call_0", "Read", "{}"), ("call_1", "Bash", "{}"), ("call_2", "Grep", "{}")]


def test_index_repeated_without_ids_and_with_the_name_in_every_piece() -> None:
    parts, _ = read(piece(0, None, "Read", ""), piece(0, None, "Read", '{"x":'), piece(0, None, "Read", "1}"))
    assert calls_in(parts) == [("call_0", "Read", '{"x":1}')]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_under_both_names(field: str) -> None:
    parts, _ = read({field: "hm"}, {"content": "yes"})
    assert parts == [ReasoningPiece(text="hm"), TextPiece(text="yes")]


def test_content_in_parts() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    parts, _ = read({"content": [thinking, {"type": "text", "text": "yes"}, {"type": "reference"}]})
    assert parts == [ReasoningPiece(text="hm"), TextPiece(text="yes")]


def test_refusal_text_is_text() -> None:
    parts, reader = read({"refusal": "I will not."}, finish="content_filter")
    assert parts == [TextPiece(text="I will not.")]
    assert reader.reason() == "refusal"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 4},
            Usage(input=9, output=2, cache_read=4),
        ),
        ({"prompt_tokens": 9, "completion_tokens": None, "prompt_tokens_details": None}, Usage(input=9)),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}},
            Usage(input=9, output=5, reasoning=3),
        ),
    ],
)
def test_usage(usage: dict[str, Any], expected: Usage) -> None:
    reader = ChunkReader(CallIds(set()))
    assert list(reader.read(msgspec.json.encode({"choices": [], "usage": usage}))) == [UsagePiece(usage=expected)]


@pytest.mark.parametrize(
    "data",
    [
        b'{"error":{"message":"boom","code":500}}',
        b'{"error":"boom"}',
        b'{"object":"error","message":"boom","code":500}',
        b'{"choices":[{"delta":{},"finish_reason":"error"}]}',
    ],
)
def test_errors_in_the_stream(data: bytes) -> None:
    reader = ChunkReader(CallIds(set()))
    assert list(reader.read(data)) == []
    assert reader.error


def test_fields_that_are_null_or_unknown_are_passed_over() -> None:
    reader = ChunkReader(CallIds(set()))
    delta = b'{"content":null,"tool_calls":null,"x":1}'
    data = b'{"choices":[{"delta":' + delta + b',"logprobs":{}}],"usage":null,"error":null,"y":[]}'
    assert list(reader.read(data)) == []
    assert reader.error == b""
    assert reader.reason() == ""
