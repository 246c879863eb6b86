"""/background: the run goes on without this face."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.core.errors import UsageError


@command("background", aliases=("bg",))
async def background(context: CommandContext, arguments: str) -> Outcome:
    """Let the run go on in the background, and leave.

    It moves at the end of the step that goes on now. `letta-code follow` comes back to it, `letta-code runs` lists all.
    Background commands of this process are stopped; the agent is told so.
    """
    session = context.session
    if not session.status.running:
        raise UsageError("Nothing runs here.", hint='Say what is to be done, or: letta-code run --background "PROMPT"')
    run_id = await session.to_background("person")
    if not run_id:
        return Outcome(say="The run was done before it could move to the background.")
    return Outcome(say=f"{run_id} goes on in the background. Follow it: letta-code follow {run_id}", quit=True)
