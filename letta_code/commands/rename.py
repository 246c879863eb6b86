"""/rename: the conversation's title."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.core.errors import UsageError
from letta_code.safety.terminal import strip_controls

_LONGEST = 200


@command("rename", usage="TITLE")
async def rename(context: CommandContext, arguments: str) -> Outcome:
    """Give this conversation a title.

    Lists show it, and /search finds it.  `/agents rename NEW` renames the agent.
    """
    title = " ".join(strip_controls(arguments).split())
    if not title:
        now = context.session.status.title
        raise UsageError("/rename needs a title.", hint=f"It is called: {now}" if now else "It has none yet.")
    if len(title) > _LONGEST:
        raise UsageError(f"A title has at most {_LONGEST} characters, and this one {len(title)}.")
    if not context.session.status.last_seq:
        raise UsageError("Nothing was said here yet.", hint="Say something first, then give it a title.")
    await context.session.rename(title)
    return Outcome(say=f"This conversation is called “{title}” now.")
