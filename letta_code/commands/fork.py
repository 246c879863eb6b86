"""/fork: go on in a copy."""

from __future__ import annotations

from letta_code.agent.forking import fork_conversation
from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.wording import plain_markdown
from letta_code.config.paths import Paths
from letta_code.core.errors import UsageError


@command("fork", usage="[TITLE]")
async def fork(context: CommandContext, arguments: str) -> Outcome:
    """Copy this conversation and go on in the copy.

    This one stays as it is: /resume goes back to it.  Both share the agent's memory; the copy gets a todo list of its
    own.  Files are not copied.
    """
    status = context.session.status
    if status.running:
        raise UsageError("The agent is at work.", hint="Wait until it is done, or interrupt it, then fork.")
    store = context.store
    source = store.conversations.get(status.conversation_id)
    copy = await fork_conversation(store, Paths.find(), status.conversation_id, arguments.strip()[:200])
    name = plain_markdown(source.name) if source else ""
    say = f"This is a fork of {name}, which stays as it is: `/resume {status.conversation_id}` goes back to it."
    return Outcome(say=say, open=copy)
