"""/diff: what this conversation changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.core.display import DiffBlock
from letta_code.core.events import Event, ToolResult


@command("diff", usage="[PATH]")
async def diff(context: CommandContext, arguments: str) -> Outcome:
    """Show the changes that this conversation made to files, in their order.

    With PATH only those of files whose path contains it.  Changes that a command made are not among them: `git diff`
    shows those.
    """
    store = context.store
    conversation = context.session.status.conversation_id
    stored = await asyncio.to_thread(store.read, conversation)
    wanted = arguments.strip()
    blocks = tuple(block for block in changes(one.event for one in stored) if wanted in block.path)
    if not blocks:
        return Outcome(say="This conversation has changed no file." if not wanted else f"No change of `{wanted}`.")
    return Outcome(say=summary(blocks), blocks=blocks, show="diff")


def changes(events: Iterable[Event]) -> Iterable[DiffBlock]:
    """The diffs of all calls that took effect."""
    for event in events:
        if isinstance(event, ToolResult) and event.status == "ok":
            yield from (block for block in event.blocks if isinstance(block, DiffBlock))


def summary(blocks: tuple[DiffBlock, ...]) -> str:
    """How much in how many files."""
    files = len({block.path for block in blocks})
    added, removed = sum(block.added for block in blocks), sum(block.removed for block in blocks)
    return f"{files} {'file' if files == 1 else 'files'} changed, +{added} -{removed}"
