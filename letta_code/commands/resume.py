"""/resume: go back to an earlier conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.wording import ago, columns
from letta_code.core.counts import many
from letta_code.core.errors import UsageError
from letta_code.safety.terminal import visible
from letta_code.store.conversations import Conversation
from letta_code.store.database import Store

_SHOWN = 30


@command("resume", usage="[NUMBER|ID]")
async def resume(context: CommandContext, arguments: str) -> Outcome:
    """List the conversations of this folder, or go on with one of them.

    NUMBER is its place in the list; an ID may be of another folder too.
    """
    store = context.store
    here = context.session.status
    found = await asyncio.to_thread(store.conversations.list, cwd=here.cwd, limit=_SHOWN)
    others = [one for one in found if one.id != here.conversation_id]
    wanted = arguments.strip()
    if wanted:
        return Outcome(open=await _chosen(store, others, wanted))
    if not others:
        return Outcome(say="There is no other conversation in this folder.")
    return Outcome(say=listing(others, agent_names(store)), show="resume")


async def _chosen(store: Store, others: list[Conversation], wanted: str) -> str:
    if wanted.isdigit():
        if 0 < int(wanted) <= len(others):
            return others[int(wanted) - 1].id
        raise UsageError(f"There is no conversation {wanted} in the list.", hint="/resume shows it.")
    if await asyncio.to_thread(store.conversations.get, wanted) is None:
        raise UsageError(f"There is no conversation {wanted}.", hint="/resume lists those of this folder.")
    return wanted


def listing(found: list[Conversation], names: Mapping[str, str]) -> str:
    """A numbered line each: when, how many messages, what it is called, whose it is (`names`, where it matters)."""
    rows = [
        (str(at), ago(one.updated_at), many(one.message_count, "message"), one.name[:70], *whose(one, names), one.id)
        for at, one in enumerate(found, 1)
    ]
    return "\n".join(["```text", *columns(rows, right=(0,)), "```", "Go on with one by `/resume NUMBER`."])


def agent_names(store: Store) -> dict[str, str]:
    """Agent id → name, for lists of conversations; nothing while there is only one: nobody asks whose they are."""
    agents = store.agents.list()
    return {one.id: visible(one.name) for one in agents} if len(agents) > 1 else {}


def whose(one: Conversation, names: Mapping[str, str]) -> tuple[str, ...]:
    """A column with the agent's name, no column without names."""
    return (names.get(one.agent_id, one.agent_id)[:30],) if names else ()
