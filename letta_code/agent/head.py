"""Head: what stands before all messages (instructions and tools), the same bytes in every process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from letta_code.core.events import ContextPinned
from letta_code.llm.model import ModelInfo, ToolSpec
from letta_code.tools.base import Situation, Tool

if TYPE_CHECKING:
    from letta_code.memory.desk import Shown


class _Spec(msgspec.Struct, frozen=True):
    name: str
    description: str
    parameters: msgspec.Raw


@cache
def instructions(lean: bool = False) -> str:
    """The instructions to the model, from `prompts/`; the short ones for small local models."""
    name = "lean.md" if lean else "system.md"
    return (Path(__file__).parent / "prompts" / name).read_text(encoding="utf-8").strip()


class Toolset:
    """The tools of a conversation: `sent` go with each request, `deferred` are found by tool_search."""

    def __init__(self, tools: Mapping[str, Tool[Any]], situation: Situation) -> None:
        lean = situation.model.lean
        usable = {n: t for n, t in tools.items() if t.applies(situation) and (t.lean or not lean)}
        self.deferred = {n: t for n, t in usable.items() if t.deferred}
        self.sent = {n: t for n, t in usable.items() if not t.deferred and (self.deferred or not t.deferred_only)}
        self.known = {**self.sent, **self.deferred}


class Head:
    """Instructions and tools of a model, under a key that is equal wherever they are."""

    def __init__(self, toolset: Toolset, info: ModelInfo, version: str) -> None:
        self._instructions = instructions(info.lean)
        self._tools = encode_specs([tool.spec for tool in toolset.sent.values()])
        digest = sha256(f"{self._instructions}\0{self._tools}".encode()).hexdigest()[:16]
        self.key = f"{version}:{digest}"

    def pinned(self, memory: Shown | None, reason: str = "") -> ContextPinned:
        """The head as an event, with memory as it is now: once a conversation, when the key changes, after compaction.

        Memory stands last: the instructions and tools before it are the same in all conversations.
        """
        parts = (self._instructions, memory.text) if memory else (self._instructions,)
        pin = memory.pin if memory else ""
        return ContextPinned(key=self.key, system="\n\n".join(parts), tools=self._tools, memory=pin, reason=reason)


def encode_specs(specs: Sequence[ToolSpec]) -> str:
    """Specifications as the JSON array that the journal keeps."""
    raw = [_Spec(name=s.name, description=s.description, parameters=msgspec.Raw(s.parameters)) for s in specs]
    return msgspec.json.encode(raw).decode()


def decode_specs(tools: str) -> tuple[ToolSpec, ...]:
    """The specifications of a stored JSON array, byte for byte as they were."""
    specs = msgspec.json.decode(tools, type=list[_Spec])
    return tuple(ToolSpec(name=s.name, description=s.description, parameters=bytes(s.parameters)) for s in specs)
