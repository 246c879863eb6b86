"""/redo: the last undo, taken back."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command


@command("redo")
async def redo(context: CommandContext, arguments: str) -> Outcome:
    """Take the last /undo or /rewind back, as long as nothing new was said.

    Files, messages and memory are again as they were before it.
    """
    way = context.session.checkpoints.rewinding
    await way.go(await way.preview(await way.last_undone()), verb="Redone:")
    return Outcome()
