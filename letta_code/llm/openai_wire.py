"""Chat completions on the wire: messages and tools to JSON bytes.

How our messages map (`history.Balance` orders them first):

| ours | sent as |
| --- | --- |
| system | the first message, role system |
| UserText | role user; a string, or parts with `image_url` data URIs when there are pictures |
| Reminder | role user, in `<system-reminder>` tags that its text cannot close |
| Summary | role user |
| AssistantText | role assistant with `tool_calls`; left out when empty |
| its arguments | as they are; what is no JSON object goes as `{"_invalid": "…"}` |
| its reasoning | not sent, but as `reasoning_content` beside calls where the provider demands it (DeepSeek, Moonshot) |
| results | role tool, in the order of the calls |
| pictures in results | one role user message after the results: a tool message takes only text |
"""

from __future__ import annotations

import binascii
import re
from typing import Any

import msgspec

from letta_code.core.messages import AssistantText, ContentPart, ImagePart, Reminder, Summary, TextPart, ToolText
from letta_code.llm.history import EMPTY, Item, Results, arguments_object, reminder_text, sendable
from letta_code.llm.model import ToolSpec

_json = msgspec.json.Encoder()


class OpenAIEncoder:
    """Encodes items for chat completions; `send_reasoning` and `call_id` as in `Provider`."""

    def __init__(self, *, send_reasoning: bool = False, call_id: str = "") -> None:
        self._send_reasoning = send_reasoning
        self._call_id = call_id

    def __call__(self, item: Item) -> list[tuple[bytes, bool]]:
        """Wire messages and whether each has role user."""
        if isinstance(item, Results):
            return self._results(item.items)
        if isinstance(item, AssistantText):
            message = self._assistant(item)
            return [(_json.encode(message), False)] if message else []
        if isinstance(item, Reminder):
            return [_user(sendable(reminder_text(item.text)))]
        if isinstance(item, Summary):
            return [_user(sendable(item.text) or EMPTY)]
        return [_user(_content(item.content))]

    def _assistant(self, item: AssistantText) -> dict[str, Any] | None:
        if not item.text and not item.tool_calls:
            return None
        message: dict[str, Any] = {"role": "assistant", "content": sendable(item.text) if item.text else None}
        if self._send_reasoning and item.tool_calls:
            reasoning = "".join(part.text for part in item.reasoning)
            if reasoning:
                message["reasoning_content"] = sendable(reasoning)
        if item.tool_calls:
            message["tool_calls"] = [
                {
                    "id": self._id(call.id),
                    "type": "function",
                    "function": {"name": call.name, "arguments": arguments_object(call.arguments).decode()},
                }
                for call in item.tool_calls
            ]
        return message

    def _results(self, items: tuple[ToolText, ...]) -> list[tuple[bytes, bool]]:
        pieces: list[tuple[bytes, bool]] = []
        pictures: list[dict[str, Any]] = []
        for item in items:
            id = self._id(item.call_id)
            pieces.append((_json.encode({"role": "tool", "tool_call_id": id, "content": _result_text(item)}), False))
            found = [_part(part) for part in item.content if type(part) is ImagePart]
            if found:
                pictures += [{"type": "text", "text": f"Pictures from the result of {item.name} ({id}):"}, *found]
        if pictures:
            pieces.append((_json.encode({"role": "user", "content": pictures}), True))
        return pieces

    def _id(self, id: str) -> str:
        """The id, or nine characters made from it where the provider would refuse it (a conversation may change its
        model in the middle)."""
        if not self._call_id or re.fullmatch(self._call_id, id):
            return id
        return f"c{binascii.crc32(id.encode()):08x}"


def head_of(wire_name: str, system: str, tools: tuple[ToolSpec, ...], extra: dict[str, Any]) -> bytes:
    """The body up to and with the system message: everything that stays the same while the messages grow."""
    fields: dict[str, Any] = {"model": wire_name, "stream": True, **extra}
    if tools:
        fields["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": msgspec.Raw(tool.parameters),
                },
            }
            for tool in tools
        ]
    head = _json.encode(fields)[:-1] + b',"messages":['
    if system:
        head += _json.encode({"role": "system", "content": sendable(system)})
    return head


def _user(content: str | list[dict[str, Any]]) -> tuple[bytes, bool]:
    return _json.encode({"role": "user", "content": content}), True


def _content(content: tuple[ContentPart, ...]) -> str | list[dict[str, Any]]:
    if len(content) == 1 and isinstance(content[0], TextPart):  # nearly always
        return sendable(content[0].text) or EMPTY
    if all(isinstance(part, TextPart) for part in content):
        return "\n".join(sendable(part.text) for part in content if isinstance(part, TextPart)) or EMPTY
    return [_part(part) for part in content if isinstance(part, ImagePart) or part.text]


def _part(part: ContentPart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": sendable(part.text)}
    return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{part.data}"}}


def _result_text(item: ToolText) -> str:
    if len(item.content) == 1 and isinstance(item.content[0], TextPart):  # nearly always
        return sendable(item.content[0].text) or EMPTY
    texts = [sendable(part.text) if isinstance(part, TextPart) else "[picture: see below]" for part in item.content]
    return "\n".join(texts) or EMPTY
