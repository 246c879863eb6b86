"""/redo: the last undo, taken back."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.undo import parts_meant, refuse_unasked


@command("redo", usage="[all]")
async def redo(context: CommandContext, arguments: str) -> Outcome:
    """Take the last /undo or /rewind back, as long as nothing new was said.

    Files, messages and memory are again as they were before it; files that changed after it stay as they are.
    """
    what = parts_meant(arguments, "/redo")
    way = context.session.checkpoints.rewinding
    preview = await way.preview(await way.last_undone())
    refuse_unasked(preview, what, "/redo")
    await way.go(preview, what or (), verb="Redone:")
    return Outcome()
