"""Apart: what a run changed and what the person changed after it, so that an undo takes back only the run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from letta_code.core import events as ev
from letta_code.core.messages import Value
from letta_code.core.view import view

if TYPE_CHECKING:
    from letta_code.host.snapshots import Snapshots
    from letta_code.tools.base import Tool

_NAMED = 3


class Apart(Value):
    """What `paths` an undo may set back; `theirs` are those of them that changed after the run, too: they stay."""

    paths: frozenset[str]
    theirs: tuple[str, ...] = ()


def end_name(checkpoint_id: str) -> str:
    """The name in the store of what a run (or a rewind) left, beside its checkpoint's."""
    return f"{checkpoint_id}.end"


def tell_apart(store: Snapshots, then: str, end: str, now: str) -> Apart:
    """What changed between the trees `then` and `end`, less what changed since `end`; raises `WorkspaceError`."""
    run = {change.path for change in store.changes(end, then)}
    since = {change.path for change in store.changes(end, now)}
    differ = {change.path for change in store.changes(now, then)}
    return Apart(paths=frozenset((run & differ) - since), theirs=tuple(sorted(run & differ & since)))


def effects(events: Sequence[ev.Event], after: int, tools: Mapping[str, Tool[Any]]) -> str:
    """The tools that were called after an event and may have changed files, in words; "" for none."""
    names = [
        event.name
        for event in view(events)
        if isinstance(event, ev.ToolResult) and event.seq > after and event.status != "denied"
    ]
    found = list(dict.fromkeys(name for name in names if _may_edit(tools.get(name))))
    more = " and others" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def _may_edit(tool: Tool[Any] | None) -> bool:
    """One that is not known any more (an extension's) may have done anything."""
    return tool is None or (not tool.reads_only and tool.edits_files)
