"""/connect: choose a model and its key."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command


@command("connect")
async def connect(context: CommandContext, arguments: str) -> Outcome:
    """Choose a model: keys found in the environment, servers on this machine, or an address of your own.

    The choice is tried with one small call before it is kept.  The same outside of a conversation:
    `letta-code configure`.
    """
    return Outcome(show="connect")
