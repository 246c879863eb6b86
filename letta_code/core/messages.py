"""Messages: what a conversation is made of, as the model sees it."""

from __future__ import annotations

from typing import TypeAlias, dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))  # what pyright cannot see in a base
class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of every value that is stored or sent: immutable, fields by name, defaults left out of the JSON.

    Python's collector does not walk them (`gc`): a value can hold no cycle, and a conversation has many thousands.
    """


class TextPart(Value, tag_field="kind", tag="text"):
    """Text, written by a person, a model or a tool."""

    text: str


class ImagePart(Value, tag_field="kind", tag="image"):
    """A picture for a model that can see: `data` is base64, `media_type` such as image/png."""

    media_type: str
    data: str
    name: str = ""


class ReasoningPart(Value, tag_field="kind", tag="reasoning"):
    """A model's reasoning.

    `signature` and `redacted` are the provider's opaque bytes (Anthropic's signed and encrypted thinking), sent back
    unchanged in the same turn.
    """

    text: str = ""
    signature: str = ""
    redacted: str = ""


ContentPart: TypeAlias = TextPart | ImagePart


class ToolCall(Value):
    """One call that a model asked for; `arguments` is the JSON text exactly as the model wrote it, valid or not."""

    id: str
    name: str
    arguments: str


class Usage(Value):
    """Tokens of one model call as the provider counted them; `input` includes the cached ones."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def plus(self, other: Usage) -> Usage:
        """The sum of two usages, field by field."""
        return Usage(
            input=self.input + other.input,
            output=self.output + other.output,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
            reasoning=self.reasoning + other.reasoning,
        )


class UserText(Value, tag_field="role", tag="user"):
    """What a person said."""

    message_id: str
    content: tuple[ContentPart, ...]


class Reminder(Value, tag_field="role", tag="system-reminder"):
    """What the harness tells the model about the world (date, cwd, changed files); sent as a tagged user message."""

    message_id: str
    kind: str
    text: str


class AssistantText(Value, tag_field="role", tag="assistant"):
    """What the model answered: text, reasoning and the calls it asked for."""

    message_id: str
    text: str = ""
    reasoning: tuple[ReasoningPart, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()


class ToolText(Value, tag_field="role", tag="tool"):
    """The result of one call, as the model reads it."""

    message_id: str
    call_id: str
    name: str
    content: tuple[ContentPart, ...]
    is_error: bool = False


class Summary(Value, tag_field="role", tag="summary"):
    """What stands for messages that left the context; `answers` counts the model's answers among them."""

    message_id: str
    text: str
    answers: int = 0


Message: TypeAlias = UserText | Reminder | AssistantText | ToolText | Summary


def text_of(content: tuple[ContentPart, ...]) -> str:
    """All text parts joined by newlines; images are named in brackets."""
    return "\n".join(p.text if isinstance(p, TextPart) else f"[image {p.name or p.media_type}]" for p in content)
