"""What a small model is sent: a plain dialogue of user and assistant, the tools described in the system text.

Chat templates of small models know neither tool messages nor two turns of one side in a row (some refuse them), so
calls go as the JSON that the model itself writes, results as user turns, and neighbours of one side are joined.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from letta_code.core.messages import AssistantText, Reminder, Summary, TextPart, ToolCall, ToolText
from letta_code.llm.history import Balance, Item, Results, arguments_object, reminder_text, sendable
from letta_code.llm.local_reply import reply_schema
from letta_code.llm.model import ChatRequest, ToolSpec

_json = msgspec.json.Encoder()
_TEMPERATURE = 0.2
_FORM = (
    "Reply with one JSON object and nothing else.\n"
    'To read, change or run anything, use a tool: {"tool": NAME, "arguments": {…}}. '
    'You get its result and reply again. Example: {"tool": "Read", "arguments": {"path": "src/app.py"}}\n'
    'Only when the work is done, or no tool can help: {"answer": TEXT}. An answer does nothing by itself.'
)


def body_of(request: ChatRequest, max_output: int) -> bytes:
    """The request as JSON; without tools the reply is free text."""
    fields: dict[str, Any] = {
        "model": "local",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": request.max_output or max_output,
        "temperature": _TEMPERATURE,
        "cache_prompt": True,
        # Models that think first would write outside of the form.
        "chat_template_kwargs": {"enable_thinking": False},
    }
    if request.tools:
        schema = reply_schema(request.tools)
        fields["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    fields["messages"] = _messages(request)
    return _json.encode(fields)


def system_text(request: ChatRequest) -> str:
    """The instructions, the form of a reply and the tools."""
    if not request.tools:
        return request.system
    return "\n\n".join((request.system, _FORM, *(tool_text(tool) for tool in request.tools)))


def tool_text(tool: ToolSpec) -> str:
    """A tool in few tokens: name, description, and a line for each argument."""
    schema = cast("dict[str, Any]", msgspec.json.decode(tool.parameters))
    required = cast("list[str]", schema.get("required", []))
    properties = cast("dict[str, dict[str, Any]]", schema.get("properties", {}))
    lines = [f"Tool {tool.name}: {tool.description}"]
    for name, field in properties.items():
        kind = field.get("type", "string")
        optional = "" if name in required else ", optional"
        lines.append(f"- {name} ({kind}{optional}): {field.get('description', '')}".rstrip(": "))
    return "\n".join(lines)


def _messages(request: ChatRequest) -> list[dict[str, str]]:
    turns: list[dict[str, str]] = []
    system = system_text(request)
    if system:
        turns.append({"role": "system", "content": sendable(system)})
    balance = Balance()
    calls: tuple[ToolCall, ...] = ()
    items = [item for message in request.messages for item in balance.add(message)]
    for item in [*items, *balance.rest()]:
        for role, text in _turns(item, calls):
            if turns and turns[-1]["role"] == role:
                turns[-1]["content"] += f"\n\n{text}"
            else:
                turns.append({"role": role, "content": text})
        calls = item.tool_calls if isinstance(item, AssistantText) else ()
    return turns


def _turns(item: Item, calls: tuple[ToolCall, ...]) -> list[tuple[str, str]]:
    if isinstance(item, Results):
        # One call, one result, one call …: a reply of this model is never more than one call.
        pairs = [(_call_text(call), _result_text(result)) for call, result in zip(calls, item.items, strict=True)]
        return [turn for call, result in pairs for turn in (("assistant", call), ("user", result))]
    if isinstance(item, AssistantText):
        if not item.text:
            return []
        return [("assistant", _json.encode({"answer": sendable(item.text)}).decode())]
    if isinstance(item, Reminder):
        return [("user", sendable(reminder_text(item.text)))]
    if isinstance(item, Summary):
        return [("user", sendable(item.text))]
    texts = [
        part.text if isinstance(part, TextPart) else "[a picture, which this model cannot see]" for part in item.content
    ]
    return [("user", sendable("\n".join(texts)))]


def _call_text(call: ToolCall) -> str:
    arguments = msgspec.Raw(arguments_object(call.arguments))
    return _json.encode({"tool": call.name, "arguments": arguments}).decode()


def _result_text(result: ToolText) -> str:
    texts = [part.text if isinstance(part, TextPart) else "[a picture]" for part in result.content]
    said = f"{result.name} failed:" if result.is_error else f"Result of {result.name}:"
    return sendable(f"{said}\n" + "\n".join(texts))
