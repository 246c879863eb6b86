"""One reply of a small model: forced by a JSON schema to be one call or an answer, and read back while it comes.

The schema is `{"tool": NAME, "arguments": {…}}` for each tool, or `{"answer": TEXT}`.  Small models write their own
tool calls in ways that llama.cpp's parsers do not find; under the grammar that it makes of the schema they cannot err.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from letta_code.llm.history import CallIds
from letta_code.llm.model import CallPiece, StreamPart, TextPiece, ToolSpec
from letta_code.llm.streaming import Reader

_ANSWER = re.compile(r'\s*\{\s*"answer"\s*:\s*"')
_CALL = re.compile(r'\s*\{\s*"tool"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)')
_LONGEST_HEAD = 400  # characters; a reply that has not said by then what it is, is taken for plain text
# Whole characters of a JSON string.  An escape that is not whole yet, or the first half of a surrogate pair, waits.
_WHOLE = re.compile(
    r"""(?:[^"\\]|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}"""
    r"""|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[0-9a-fA-F]{4}|(?=[^\\])|(?=\\[^u])))*""",
    re.DOTALL,
)
_STRING_END = re.compile(r'(?:[^"\\]|\\.)*?"', re.DOTALL)


def reply_schema(tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """The schema of a reply: one call of one tool, or an answer."""
    definitions: dict[str, Any] = {}
    choices = [_call_schema(tool, definitions) for tool in tools]
    answer = _object({"answer": {"type": "string"}})
    schema: dict[str, Any] = {"oneOf": [*choices, answer]}
    return {**schema, "$defs": definitions} if definitions else schema


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _call_schema(tool: ToolSpec, definitions: dict[str, Any]) -> dict[str, Any]:
    arguments = cast("dict[str, Any]", _bare(msgspec.json.decode(tool.parameters), tool.name))
    for name, definition in cast("dict[str, Any]", arguments.pop("$defs", {})).items():
        definitions[f"{tool.name}.{name}"] = definition
    return _object({"tool": {"const": tool.name}, "arguments": arguments})


def _bare(node: Any, tool: str) -> Any:
    """A schema without its descriptions (they stand in the prompt), its references moved below the common `$defs`."""
    if isinstance(node, list):
        return [_bare(item, tool) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    kept: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", node).items():
        if key == "description" and isinstance(value, str):
            continue
        if key == "$ref" and isinstance(value, str):
            value = value.replace("#/$defs/", f"#/$defs/{tool}.")
        kept[key] = _bare(value, tool)
    return kept


class ReplyParts:
    """A reply's text to stream parts: the answer's words as they come, or the call with its arguments' text."""

    def __init__(self, ids: CallIds) -> None:
        self._ids = ids
        self._state = self._head
        self._text = ""
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.called = False

    def feed(self, text: str) -> Iterator[StreamPart]:
        """The parts that more text brings."""
        self._text += text
        while True:
            state = self._state
            yield from state()
            if self._state == state:
                return

    def end(self) -> Iterator[StreamPart]:
        """What is left when the reply is over: the text of one that never became what it should be."""
        if self._state == self._head and self._text.strip():
            yield TextPiece(text=self._text)
        self._state = self._nothing

    def _head(self) -> Iterator[StreamPart]:
        if found := _ANSWER.match(self._text):
            self._text = self._text[found.end() :]
            self._state = self._answer
        elif found := _CALL.match(self._text):
            self._text = self._text[found.end() :]
            self._state = self._arguments
            self.called = True
            yield CallPiece(index=0, id=self._ids.unique(""), name=str(json.loads(found[1])))
        elif len(self._text) > _LONGEST_HEAD or self._text.lstrip()[:1] not in ("", "{"):
            self._state = self._plain

    def _plain(self) -> Iterator[StreamPart]:
        text, self._text = self._text, ""
        if text:
            yield TextPiece(text=text)

    def _answer(self) -> Iterator[StreamPart]:
        ended = _STRING_END.match(self._text)
        if ended:
            raw, self._text = ended[0][:-1], ""
            self._state = self._nothing
        else:
            whole = _WHOLE.match(self._text)
            cut = whole.end() if whole else 0
            raw, self._text = self._text[:cut], self._text[cut:]
        if raw:
            yield TextPiece(text=_unescaped(raw))

    def _arguments(self) -> Iterator[StreamPart]:
        end = next((at for at, char in enumerate(self._text, start=1) if self._closes(char)), 0)
        if end:
            self._state = self._nothing
        piece, self._text = self._text[: end or None], ""
        if piece:
            yield CallPiece(index=0, arguments=piece)

    def _closes(self, char: str) -> bool:
        """Whether this character ends the arguments' object."""
        if self._in_string:
            if self._escaped:
                self._escaped = False
            elif char == "\\":
                self._escaped = True
            elif char == '"':
                self._in_string = False
            return False
        if char == '"':
            self._in_string = True
        elif char in "{[":
            self._depth += 1
        elif char in "}]":
            self._depth -= 1
            return self._depth == 0
        return False

    def _nothing(self) -> Iterator[StreamPart]:
        self._text = ""
        return iter(())


def _unescaped(raw: str) -> str:
    """A piece of a JSON string; lone surrogates become U+FFFD, since nothing can store or send them."""
    try:
        text = cast(str, json.loads(f'"{raw}"', strict=False))
    except json.JSONDecodeError:
        return raw
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class ForcedReader:
    """A `streaming.Reader` around the one of chat completions: its text is a reply in our form."""

    def __init__(self, inner: Reader, ids: CallIds) -> None:
        self._inner = inner
        self._reply = ReplyParts(ids)
        self._flushed = False
        self.finish = ""
        self.ended = False
        self.error = b""

    def read(self, data: bytes) -> Iterator[StreamPart]:
        """The parts in one event's data."""
        for part in self._inner.read(data):
            if isinstance(part, TextPiece):
                yield from self._reply.feed(part.text)
            else:
                yield part
        inner = self._inner
        self.finish, self.ended, self.error = inner.finish, inner.ended, inner.error
        if (self.finish or self.ended) and not self._flushed:
            self._flushed = True
            yield from self._reply.end()

    def reason(self) -> str:
        """How the answer ended."""
        self._inner.ended = self.ended
        reason = self._inner.reason()
        return "tool_calls" if reason == "stop" and self._reply.called else reason
