"""Anthropic stream events to stream parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from letta_code.core.messages import ReasoningPart, Usage
from letta_code.llm.history import CallIds
from letta_code.llm.model import CallPiece, ReasoningDone, ReasoningPiece, StreamPart, TextPiece, UsagePiece


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Block(msgspec.Struct):
    type: str = ""
    id: str = ""
    name: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    input: dict[str, Any] | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _Message(msgspec.Struct):
    usage: _Usage | None = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_Event)

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


class _Open:
    """A content block that is being written; `call` is the index of its call, -1 for other blocks."""

    __slots__ = ("block", "call", "signature", "text", "wrote")

    def __init__(self, block: _Block, call: int) -> None:
        self.block = block
        self.call = call
        self.text = [block.thinking]
        self.signature = block.signature
        self.wrote = False


class EventReader:
    """Reads the events of one answer; `ids` names its calls.  Unknown events and blocks are passed over."""

    def __init__(self, ids: CallIds) -> None:
        self._ids = ids
        self._open: dict[int, _Open] = {}
        self._calls = 0
        self._usage = Usage()
        self.finish = ""
        self.ended = False
        self.error = b""

    def read(self, data: bytes) -> Iterator[StreamPart]:
        """The parts in one event; see `streaming.Reader`."""
        event = _decoder.decode(data)
        match event.type:
            case "message_start":
                if event.message is not None and event.message.usage is not None:
                    yield self._counted(event.message.usage)
            case "content_block_start":
                if event.content_block is not None:
                    yield from self._start(event.index, event.content_block)
            case "content_block_delta":
                if event.delta is not None:
                    yield from self._delta(event.index, event.delta)
            case "content_block_stop":
                yield from self._stop(event.index)
            case "message_delta":
                if event.delta is not None and event.delta.stop_reason:
                    self.finish = _FINISH.get(event.delta.stop_reason, "stop")
                if event.usage is not None:
                    yield self._counted(event.usage)
            case "message_stop":
                self.ended = True
            case "error":
                self.error = data
            case _:
                return

    def reason(self) -> str:
        """How the answer ended, "" when it did not."""
        return self.finish

    def _start(self, index: int, block: _Block) -> Iterator[StreamPart]:
        call = -1
        if block.type == "tool_use":
            call = self._calls
            self._calls += 1
            yield CallPiece(index=call, id=self._ids.unique(block.id), name=block.name)
        self._open[index] = _Open(block, call)
        if block.type == "text" and block.text:
            yield TextPiece(text=block.text)
        if block.type == "thinking" and block.thinking:
            yield ReasoningPiece(text=block.thinking)

    def _delta(self, index: int, delta: _Delta) -> Iterator[StreamPart]:
        opened = self._open.get(index)
        match delta.type:
            case "text_delta" if delta.text:
                yield TextPiece(text=delta.text)
            case "thinking_delta" if delta.thinking:
                if opened is not None:
                    opened.text.append(delta.thinking)
                yield ReasoningPiece(text=delta.thinking)
            case "signature_delta" if opened is not None:
                opened.signature += delta.signature
            case "input_json_delta" if opened is not None and opened.call >= 0:
                opened.wrote = opened.wrote or bool(delta.partial_json)
                yield CallPiece(index=opened.call, arguments=delta.partial_json)
            case _:
                return

    def _stop(self, index: int) -> Iterator[StreamPart]:
        opened = self._open.pop(index, None)
        if opened is None:
            return
        if opened.block.type == "thinking":
            yield ReasoningDone(part=ReasoningPart(text="".join(opened.text), signature=opened.signature))
        elif opened.block.type == "redacted_thinking":
            yield ReasoningDone(part=ReasoningPart(redacted=opened.block.data))
        elif opened.call >= 0 and not opened.wrote and opened.block.input:
            # Some servers send the whole input with the block's start.
            yield CallPiece(index=opened.call, arguments=msgspec.json.encode(opened.block.input).decode())

    def _counted(self, usage: _Usage) -> UsagePiece:
        """The counts so far; Anthropic counts cached tokens apart from `input_tokens`, here `input` includes them."""
        before = self._usage
        read = _or(usage.cache_read_input_tokens, before.cache_read)
        write = _or(usage.cache_creation_input_tokens, before.cache_write)
        fresh = _or(usage.input_tokens, before.input - before.cache_read - before.cache_write)
        output = _or(usage.output_tokens, before.output)
        self._usage = Usage(input=fresh + read + write, output=output, cache_read=read, cache_write=write)
        return UsagePiece(usage=self._usage)


def _or(value: int | None, before: int) -> int:
    return before if value is None else value
