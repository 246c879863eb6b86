"""/exit: leave."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command


@command("exit", aliases=("quit", "q"))
async def leave(context: CommandContext, arguments: str) -> Outcome:
    """Leave letta-code.

    The conversation is kept; `letta-code --continue` goes on with it.  While the agent works here you are asked whether
    that goes on in the background, or stops; what another process runs goes on there.
    """
    return Outcome(quit=True)
