"""ChatModel: the one protocol through which the agent speaks to a model, and the values it passes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from letta_code.core.messages import Message, ReasoningPart, Usage, Value


class ToolSpec(Value):
    """A tool as a model is told of it.  `parameters` is the JSON schema as bytes of sorted JSON, made once."""

    name: str
    description: str
    parameters: bytes


class ModelInfo(Value):
    """What is known of a model; 0, None and "" mean unknown.

    `window` and `max_output` are in tokens, prices in US dollars a token.  `edit_family` is `edit` or `apply_patch`.
    `lean` models get few tools and one call forced by a JSON schema.  `loopback` endpoints are on this machine.
    """

    name: str
    window: int = 0
    max_output: int = 0
    input_price: float | None = None
    output_price: float | None = None
    cache_read_price: float | None = None
    cache_write_price: float | None = None
    sees_images: bool = False
    edit_family: str = "edit"
    lean: bool = False
    loopback: bool = False
    encoding: str = ""  # tiktoken encoding that fits, "" for the default

    def cost(self, usage: Usage) -> float | None:
        """US dollars for a usage, None where no price is known."""
        if self.input_price is None or self.output_price is None:
            return None
        read = self.cache_read_price if self.cache_read_price is not None else self.input_price
        write = self.cache_write_price if self.cache_write_price is not None else self.input_price
        fresh = max(usage.input - usage.cache_read - usage.cache_write, 0)
        return (
            fresh * self.input_price
            + usage.cache_read * read
            + usage.cache_write * write
            + usage.output * self.output_price
        )


class ChatRequest(Value):
    """One model call.

    `system` and `tools` are the pinned head; `messages` only ever grows at its end within a pinned context, so that a
    client may keep the encoded form of old messages (by message_id).  `max_output` 0 leaves it to the client.  `aside`
    says what a request beside the conversation is for (compaction, reflection), "" for the conversation itself.
    """

    system: str
    tools: tuple[ToolSpec, ...]
    messages: Sequence[Message]
    max_output: int = 0
    conversation_id: str = ""
    aside: str = ""


class TextPiece(Value, tag_field="kind", tag="text"):
    """More text."""

    text: str


class ReasoningPiece(Value, tag_field="kind", tag="reasoning"):
    """More reasoning, to be shown folded."""

    text: str


class ReasoningDone(Value, tag_field="kind", tag="reasoning_done"):
    """A whole reasoning part with its opaque signature, to be sent back in the same turn."""

    part: ReasoningPart


class CallPiece(Value, tag_field="kind", tag="call"):
    """More of the call at `index`: its id and name come with the first piece, argument text in all."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class UsagePiece(Value, tag_field="kind", tag="usage"):
    """The provider's count so far; a later one replaces an earlier one."""

    usage: Usage


class Finish(Value, tag_field="kind", tag="finish"):
    """The answer is complete: stop, tool_calls, length or refusal."""

    reason: str


StreamPart: TypeAlias = TextPiece | ReasoningPiece | ReasoningDone | CallPiece | UsagePiece | Finish


@runtime_checkable
class LoadsFirst(Protocol):
    """A model that must be read into memory before it can answer (one on this machine)."""

    @property
    def loading(self) -> bool:
        """Whether that is going on now."""
        ...


@runtime_checkable
class TellsBytes(Protocol):
    """A model whose client can tell the bytes that it would send."""

    def body(self, request: ChatRequest) -> bytes:
        """The request as it is sent."""
        ...


class ChatModel(Protocol):
    """A model that can be asked.  Implementations never retry by themselves."""

    @property
    def info(self) -> ModelInfo:
        """What is known of the model."""
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator[StreamPart]:
        """The parts of one answer, ending with `Finish`.

        Raises a `ProviderError` (core/errors.py) for every fault; closing the iterator ends the request.
        """
        ...

    async def close(self) -> None:
        """Give back connections; the model may not be used afterwards."""
        ...
