"""Head: what stands before all messages (instructions and tools), the same bytes in every process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from letta_code.core.events import ContextPinned
from letta_code.llm.model import ModelInfo, ToolSpec
from letta_code.tools.base import Situation, Tool


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


def pin(toolset: Toolset, info: ModelInfo, version: str) -> ContextPinned:
    """The head as an event: made once a conversation, and again only when its key changes."""
    system = instructions(info.lean)
    tools = encode_specs([tool.spec for tool in toolset.sent.values()])
    digest = sha256(f"{system}\0{tools}".encode()).hexdigest()[:16]
    return ContextPinned(key=f"{version}:{digest}", system=system, tools=tools)


def encode_specs(specs: Sequence[ToolSpec]) -> str:
    """Specifications as the JSON array that the journal keeps."""
    raw = [_Spec(name=s.name, description=s.description, parameters=msgspec.Raw(s.parameters)) for s in specs]
    return msgspec.json.encode(raw).decode()


def decode_specs(tools: str) -> tuple[ToolSpec, ...]:
    """The specifications of a stored JSON array, byte for byte as they were."""
    specs = msgspec.json.decode(tools, type=list[_Spec])
    return tuple(ToolSpec(name=s.name, description=s.description, parameters=bytes(s.parameters)) for s in specs)
