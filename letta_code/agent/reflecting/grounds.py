"""Grounds: whether what a reflection read was said by the person and the agent, or came from somewhere else too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from letta_code.core import events as ev
from letta_code.safety.taint import Taints

# Their results are the person's answers, or say only that the agent's own words were kept.
_OWN_TOOLS = frozenset({"AskUser", "Todo", "memory", "memory_apply_patch", "memory_rethink"})


def outside(events: Iterable[ev.Event]) -> bool:
    """Whether the events hold texts of others: results of tools, and what was attached to a message."""
    return any(_from_outside(event) for event in events)


def _from_outside(event: ev.Event) -> bool:
    match event:
        case ev.UserMessage():  # what was attached stands before the words, in parts of its own
            return len(event.content) > 1
        case ev.ToolResult():
            return event.name not in _OWN_TOOLS
        case ev.AssistantMessage():  # files of memory may hold what once came from outside
            return any(call.name == "memory" and '"view"' in call.arguments for call in event.tool_calls)
        case _:
            return False


def tainted(taints: Taints) -> tuple[str, ...]:
    """Why a person is asked about all that came of a conversation which holds text from outside."""
    return (f"the conversation holds text from outside that may have asked for it: {taints.named}",)


def asked_about(labels: Sequence[str]) -> tuple[str, ...]:
    """Why a person is asked about changes of blocks that act everywhere."""
    named = ", ".join(f"`{label}`" for label in labels)
    return (f"it changes {named} for every conversation, and not all that was read are your words",) if labels else ()
