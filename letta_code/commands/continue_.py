"""/continue: go on with what was interrupted."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.core.errors import UsageError

_WORDS = "Go on where you were interrupted. Look at the state first: what was under way may have taken effect."


@command("continue")
async def go_on(context: CommandContext, arguments: str) -> Outcome:
    """Go on with the work that was interrupted or cut off."""
    if context.session.status.running:
        raise UsageError("The work goes on already.")
    return Outcome(send=f"{_WORDS} {arguments.strip()}".strip())
