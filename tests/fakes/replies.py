"""What the fake model server answers, as data, and how each dialect puts it into server-sent events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec


class Call(msgspec.Struct, frozen=True):
    """A tool call of a reply; `arguments` is the JSON text as the model would write it."""

    name: str
    arguments: str = "{}"
    id: str = ""


class Reply(msgspec.Struct, frozen=True):
    """One answer or fault.

    `fault` (after `after` events of the stream): `cut` closes the socket, `stall` goes silent, `comments` sends only
    SSE comments from then on, `garbage` sends what is no JSON, `error` an error object inside the stream, `end` ends
    the stream politely in the middle.  `hang_up` closes before any answer.
    """

    text: str = ""
    reasoning: str = ""
    signature: str = ""
    tools: tuple[Call, ...] = ()
    usage: dict[str, int] = msgspec.field(default_factory=lambda: {"input": 100, "output": 20})
    counted: bool = False  # the input is told as a quarter of the request's bytes, so that a context fills up
    finish: str = ""
    status: int = 200
    message: str = ""
    code: str = ""
    headers: dict[str, str] = {}
    content_type: str = "text/event-stream"
    body: str | None = None  # instead of anything made from the fields above; with `content_type`
    fault: str = ""
    after: int = 0
    torn: int = 0  # bytes a packet; 0: one packet an event
    newline: str = "\n"
    first_byte: float = 0.0  # seconds before the head of the response
    pause: float = 0.0  # seconds before every event
    piece: int = 7  # characters of text a piece
    repeat: int = 1


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _pieces(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def events(reply: Reply, dialect: str, number: int) -> Iterator[tuple[str, str]]:
    """The events of a reply as `(event name, data)`; chat completions leave the name empty."""
    return _anthropic(reply, number) if dialect == "anthropic" else _openai(reply, number)


def error_body(reply: Reply, dialect: str) -> str:
    """The JSON of a refusal."""
    if dialect == "anthropic":
        return _json({"type": "error", "error": {"type": reply.code or "api_error", "message": reply.message}})
    return _json({"error": {"message": reply.message, "type": reply.code or "error", "code": reply.code or None}})


def _openai(reply: Reply, number: int) -> Iterator[tuple[str, str]]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> tuple[str, str]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return "", _json(
            {
                "id": f"chatcmpl-{number}",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "fake",
                "choices": [choice],
            }
        )

    yield chunk({"role": "assistant", "content": ""})
    for piece in _pieces(reply.reasoning, reply.piece):
        yield chunk({"reasoning_content": piece})
    for piece in _pieces(reply.text, reply.piece):
        yield chunk({"content": piece})
    # All calls are opened first and then written piece by piece in turn, as providers with parallel calls may do.
    writing: list[tuple[int, Iterator[str]]] = []
    for index, call in enumerate(reply.tools):
        function = {"name": call.name, "arguments": ""}
        opened = {"index": index, "id": call.id or f"call_{number}_{index}", "type": "function", "function": function}
        yield chunk({"tool_calls": [opened]})
        writing.append((index, _pieces(call.arguments, reply.piece)))
    while writing:
        for index, pieces in list(writing):
            piece = next(pieces, None)
            if piece is None:
                writing.remove((index, pieces))
                continue
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, reply.finish or ("tool_calls" if reply.tools else "stop"))
    usage = {
        "prompt_tokens": reply.usage.get("input", 0),
        "completion_tokens": reply.usage.get("output", 0),
        "total_tokens": reply.usage.get("input", 0) + reply.usage.get("output", 0),
        "prompt_tokens_details": {"cached_tokens": reply.usage.get("cache_read", 0)},
        "completion_tokens_details": {"reasoning_tokens": reply.usage.get("reasoning", 0)},
    }
    yield (
        "",
        _json(
            {
                "id": f"chatcmpl-{number}",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "fake",
                "choices": [],
                "usage": usage,
            }
        ),
    )
    yield "", "[DONE]"


def _anthropic(reply: Reply, number: int) -> Iterator[tuple[str, str]]:
    def event(type: str, **fields: object) -> tuple[str, str]:
        return type, _json({"type": type, **fields})

    read, write = reply.usage.get("cache_read", 0), reply.usage.get("cache_write", 0)
    usage = {
        "input_tokens": reply.usage.get("input", 0) - read - write,  # Anthropic counts the cached ones apart
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": write,
        "output_tokens": 1,
    }
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "content": [], "model": "fake"}
    yield event("message_start", message={**message, "stop_reason": None, "usage": usage})
    yield event("ping")
    for index, (block, deltas) in enumerate(_anthropic_blocks(reply, number)):
        yield event("content_block_start", index=index, content_block=block)
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    stop = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}.get(reply.finish, reply.finish)
    reason = stop or ("tool_use" if reply.tools else "end_turn")
    final = {"output_tokens": reply.usage.get("output", 0)}
    yield event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=final)
    yield event("message_stop")


def _anthropic_blocks(reply: Reply, number: int) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    if reply.reasoning:
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(reply.reasoning, reply.piece)]
        deltas.append({"type": "signature_delta", "signature": reply.signature or "sig"})
        yield {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if reply.text:
        yield (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": piece} for piece in _pieces(reply.text, reply.piece)],
        )
    for at, call in enumerate(reply.tools):
        block = {"type": "tool_use", "id": call.id or f"call_{number}_{at}", "name": call.name, "input": {}}
        pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(call.arguments, reply.piece)]
        yield block, [{"type": "input_json_delta", "partial_json": ""}, *pieces]
