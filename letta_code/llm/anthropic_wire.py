"""Anthropic Messages on the wire: messages and tools to JSON bytes, and where the prompt-cache marks go.

How our messages map (`history.Balance` orders them first):

| ours | sent as |
| --- | --- |
| system, tools | the fields of that name |
| UserText, Reminder, Summary | role user with text and image blocks; a reminder in tags that its text cannot close |
| AssistantText | role assistant: signed and redacted thinking, then text, then `tool_use`; left out when empty |
| its arguments | as they are; what is no JSON object goes as `{"_invalid": "…"}` |
| results | one role user message with a `tool_result` block for each, pictures inside |

Reasoning without a signature came from another provider and is not sent.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from letta_code.core.messages import AssistantText, ContentPart, ImagePart, Reminder, Summary, TextPart, ToolText
from letta_code.llm.history import EMPTY, Item, Results, arguments_object, reminder_text, sendable
from letta_code.llm.model import ToolSpec

MARK = b',"cache_control":{"type":"ephemeral"}'
_MARK_FIELD = {"cache_control": {"type": "ephemeral"}}
_BEFORE_MARK = len(b"}]}")  # a mark goes inside a message's last block

_json = msgspec.json.Encoder()
_ID = re.compile(r"[^a-zA-Z0-9_-]")


def encode_item(item: Item) -> list[tuple[bytes, bool]]:
    """Wire messages and whether each has role user; every one ends with `}]}`."""
    if isinstance(item, Results):
        return [_message("user", [_result(result) for result in item.items])]
    if isinstance(item, AssistantText):
        blocks = _assistant(item)
        return [_message("assistant", blocks)] if blocks else []
    if isinstance(item, Reminder):
        return [_message("user", [_text(reminder_text(item.text))])]
    if isinstance(item, Summary):
        return [_message("user", [_text(item.text)])]
    return [_message("user", _blocks(item.content))]


def head_of(wire_name: str, system: str, tools: tuple[ToolSpec, ...], max_tokens: int) -> bytes:
    """The body up to the messages, with the two marks that stay where they are: the last tool and the system text."""
    fields: dict[str, Any] = {"model": wire_name, "max_tokens": max_tokens, "stream": True}
    if tools:
        specs: list[dict[str, Any]] = [
            {"name": tool.name, "description": tool.description, "input_schema": msgspec.Raw(tool.parameters)}
            for tool in tools
        ]
        specs[-1] = {**specs[-1], **_MARK_FIELD}
        fields["tools"] = specs
    if system.strip():
        fields["system"] = [{**_text(system), **_MARK_FIELD}]
    return _json.encode(fields)[:-1] + b',"messages":['


def with_marks(messages: bytes | bytearray, turns: tuple[int, ...]) -> list[bytes | memoryview]:
    """The messages in parts, with a mark in the last block of each of the given turns (offsets of their ends).

    The last two user-role turns are marked: the last, so that the next request finds all of this one in the cache, and
    the one before, which is what the request before this one marked.
    """
    view = memoryview(messages)
    parts: list[bytes | memoryview] = []
    start = 0
    for end in turns:
        at = end - _BEFORE_MARK
        parts += [view[start:at], MARK]
        start = at
    return [*parts, view[start:]]


def _message(role: str, blocks: list[dict[str, Any]]) -> tuple[bytes, bool]:
    return _json.encode({"role": role, "content": blocks}), role == "user"


def _assistant(item: AssistantText) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for part in item.reasoning:
        if part.redacted:
            blocks.append({"type": "redacted_thinking", "data": part.redacted})
        elif part.signature:
            blocks.append({"type": "thinking", "thinking": sendable(part.text), "signature": part.signature})
    if item.text.strip():  # a block of blanks alone is refused
        blocks.append({"type": "text", "text": sendable(item.text)})
    for call in item.tool_calls:
        arguments = msgspec.Raw(arguments_object(call.arguments))
        blocks.append({"type": "tool_use", "id": _id(call.id), "name": call.name, "input": arguments})
    has_words = any(block["type"] in ("text", "tool_use") for block in blocks)
    return blocks if has_words else []


def _result(result: ToolText) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": _id(result.call_id)}
    if result.is_error:
        block["is_error"] = True
    block["content"] = _blocks(result.content)
    return block


def _blocks(content: tuple[ContentPart, ...]) -> list[dict[str, Any]]:
    blocks = [_block(part) for part in content if isinstance(part, ImagePart) or part.text.strip()]
    return blocks or [_text(EMPTY)]


def _block(part: ContentPart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return _text(part.text)
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": sendable(text) if text.strip() else EMPTY}


def _id(id: str) -> str:
    """Ids of other providers may hold characters that are refused here."""
    return _ID.sub("_", id)
