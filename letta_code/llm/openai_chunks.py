"""Chat completion chunks to stream parts, tolerant of what servers do differently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from letta_code.core.messages import Usage
from letta_code.llm.history import CallIds
from letta_code.llm.model import CallPiece, ReasoningPiece, StreamPart, TextPiece, UsagePiece


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None  # of an answer that was not streamed
    finish_reason: str | None = None


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek
    cache_creation_input_tokens: int | None = None  # litellm, for Claude


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")
    object: str | None = None


_decoder = msgspec.json.Decoder(_Chunk)

_FINISH = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "refusal",
    "refusal": "refusal",
}


# Ends that are the provider's fault, with the status that they stand for.
_BROKEN_OFF = {
    "error": 502,  # OpenRouter
    "insufficient_system_resource": 503,  # DeepSeek
}


class _OpenCall:
    __slots__ = ("arguments", "id", "index", "name", "sent_id")

    def __init__(self, index: int, id: str, sent_id: str, name: str) -> None:
        self.index = index
        self.id = id
        self.sent_id = sent_id
        self.name = name
        self.arguments: list[str] = []

    def complete(self) -> bool:
        try:
            msgspec.json.decode("".join(self.arguments))
        except (msgspec.DecodeError, RecursionError):
            return False
        return True


class ChunkReader:
    """Reads the chunks of one answer; `ids` names its calls."""

    def __init__(self, ids: CallIds) -> None:
        self._ids = ids
        self._by_index: dict[int, _OpenCall] = {}
        self._last: _OpenCall | None = None
        self._calls = 0
        self._spoke = False
        self.finish = ""
        self.ended = False
        self.error = b""

    def read(self, data: bytes) -> Iterator[StreamPart]:
        """The parts in one chunk; see `streaming.Reader`."""
        data = data.strip()
        if data == b"[DONE]":
            self.ended = True
            return
        chunk = _decoder.decode(data)
        if bytes(chunk.error) != b"null":
            self.error = b'{"error":' + bytes(chunk.error) + b"}"
            return
        if chunk.object == "error":  # vLLM
            self.error = data
            return
        for choice in chunk.choices or ():
            delta = choice.delta or choice.message
            if delta is not None:
                yield from self._delta(delta)
            if choice.finish_reason in _BROKEN_OFF:
                told = {"message": choice.finish_reason, "code": _BROKEN_OFF[choice.finish_reason]}
                self.error = msgspec.json.encode({"error": told})
                return
            if choice.finish_reason:
                self.finish = _FINISH.get(choice.finish_reason, "stop")
        if chunk.usage is not None:
            yield UsagePiece(usage=_usage(chunk.usage))

    def reason(self) -> str:
        """How the answer ended, "" when it did not."""
        if self.finish == "stop" and self._calls:
            return "tool_calls"  # some servers end calls with "stop"
        return self.finish or ("stop" if self.ended and self._spoke else "")

    def _delta(self, delta: _Delta) -> Iterator[StreamPart]:
        if reasoning := delta.reasoning_content or delta.reasoning:
            self._spoke = True
            yield ReasoningPiece(text=reasoning)
        if isinstance(delta.content, list):
            yield from self._parts(delta.content)
        elif delta.content:
            self._spoke = True
            yield TextPiece(text=delta.content)
        if delta.refusal:
            self._spoke = True
            yield TextPiece(text=delta.refusal)
        for call in delta.tool_calls or ():
            self._spoke = True
            yield self._call(call)

    def _parts(self, parts: list[dict[str, Any]]) -> Iterator[StreamPart]:
        """Content as a list of parts (Mistral's reasoning models): text, or thinking that holds texts."""
        for part in parts:
            self._spoke = True
            if part.get("type") == "thinking":
                yield ReasoningPiece(text=_thinking(part.get("thinking")))
            elif isinstance(part.get("text"), str):
                yield TextPiece(text=part["text"])

    def _call(self, piece: _Call) -> CallPiece:
        function = piece.function or _Function()
        name = function.name or ""
        arguments = function.arguments
        if isinstance(arguments, dict):  # some servers send the object itself
            arguments = msgspec.json.encode(arguments).decode()
        known = self._last if piece.index is None else self._by_index.get(piece.index)
        if known is None or _is_new(known, piece.id or "", name):
            return self._new_call(piece.index, piece.id or "", name, arguments or "")
        late_name = name if not known.name else ""
        known.name = known.name or name
        if arguments:
            known.arguments.append(arguments)
        return CallPiece(index=known.index, name=late_name, arguments=arguments or "")

    def _new_call(self, index: int | None, id: str, name: str, arguments: str) -> CallPiece:
        call = _OpenCall(self._calls, self._ids.unique(id), id, name)
        call.arguments.append(arguments)
        self._calls += 1
        self._last = call
        self._by_index[call.index if index is None else index] = call
        return CallPiece(index=call.index, id=call.id, name=name, arguments=arguments)


def _is_new(known: _OpenCall, id: str, name: str) -> bool:
    """Whether a piece at a known index starts another call.

    Some servers repeat index 0 for every call and tell them apart by id, some send no ids at all, and some repeat the
    id or the name in every piece of one call; a start always has a name.
    """
    if not name or not known.name:
        return False
    return id != known.sent_id if id else known.complete()


def _thinking(inner: object) -> str:
    if isinstance(inner, str):
        return inner
    try:
        return "".join(part.get("text") or "" for part in msgspec.convert(inner, list[dict[str, str | None]]))
    except msgspec.ValidationError:
        return ""


def _usage(usage: _Usage) -> Usage:
    inputs = usage.prompt_tokens_details or _InputDetails()
    outputs = usage.completion_tokens_details or _OutputDetails()
    return Usage(
        input=usage.prompt_tokens or 0,
        output=usage.completion_tokens or 0,
        cache_read=inputs.cached_tokens or usage.prompt_cache_hit_tokens or 0,
        cache_write=inputs.cache_write_tokens or usage.cache_creation_input_tokens or 0,
        reasoning=outputs.reasoning_tokens or 0,
    )
