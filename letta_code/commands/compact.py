"""/compact: make room in the context now."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command


@command("compact", usage="[WHAT TO KEEP]")
async def compact(context: CommandContext, arguments: str) -> Outcome:
    """Summarise older messages, so that there is room for new ones.

    What you add says what the summary must not lose, such as `/compact keep the list of failing tests`.  Memory blocks
    stay as they are, and what leaves is still found by search.  It happens by itself when the context is full.
    """
    await context.session.compact(arguments.strip())
    return Outcome()  # each face tells what a compaction did, whoever asked for it
