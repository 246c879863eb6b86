"""/new: start over in a new conversation."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command


@command("new", aliases=("clear",))
async def new(context: CommandContext, arguments: str) -> Outcome:
    """Start a new conversation in this folder.

    The old one is kept: /resume goes back to it.
    """
    return Outcome(open="new")
