"""/resume: go back to an earlier conversation."""

from __future__ import annotations

import asyncio

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.wording import ago, columns
from letta_code.core.errors import UsageError
from letta_code.store.conversations import Conversation
from letta_code.store.database import Store

_SHOWN = 30


@command("resume", usage="[NUMBER|ID]")
async def resume(context: CommandContext, arguments: str) -> Outcome:
    """List the conversations of this folder, or go on with one of them.

    NUMBER is its place in the list; an ID may be of another folder too.
    """
    store: Store = context.store
    here = context.session.status
    found = await asyncio.to_thread(store.conversations.list, cwd=here.cwd, limit=_SHOWN)
    others = [one for one in found if one.id != here.conversation_id]
    wanted = arguments.strip()
    if wanted:
        return Outcome(open=await _chosen(store, others, wanted))
    if not others:
        return Outcome(say="There is no other conversation in this folder.")
    return Outcome(say=listing(others), show="resume")


async def _chosen(store: Store, others: list[Conversation], wanted: str) -> str:
    if wanted.isdigit():
        if 0 < int(wanted) <= len(others):
            return others[int(wanted) - 1].id
        raise UsageError(f"There is no conversation {wanted} in the list.", hint="/resume shows it.")
    if await asyncio.to_thread(store.conversations.get, wanted) is None:
        raise UsageError(f"There is no conversation {wanted}.", hint="/resume lists those of this folder.")
    return wanted


def listing(found: list[Conversation]) -> str:
    """A numbered line each: when, how many messages, what it is called."""
    rows = [
        (str(at), ago(one.updated_at), f"{one.message_count} messages", one.name[:70], one.id)
        for at, one in enumerate(found, 1)
    ]
    return "\n".join(["```text", *columns(rows, right=(0,)), "```", "Go on with one by `/resume NUMBER`."])
