"""/takeover: the conversation that another process runs goes on here."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command


@command("takeover")
async def take_over(context: CommandContext, arguments: str) -> Outcome:
    """Take this conversation over from the process that runs it.

    It comes at the end of the step that goes on now, with its run; the other terminal watches from then on.
    """
    await context.session.take_over("person")
    return Outcome()
