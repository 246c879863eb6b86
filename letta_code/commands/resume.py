"""/resume: go back to an earlier conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.wording import ago, columns
from letta_code.core.counts import many
from letta_code.core.errors import UsageError
from letta_code.safety.terminal import visible
from letta_code.store.conversations import Conversation
from letta_code.store.database import Store

_SHOWN = 30


@command("resume", usage="[NUMBER|ID|WORDS]")
async def resume(context: CommandContext, arguments: str) -> Outcome:
    """List the conversations of this folder, or go on with one of them.

    NUMBER is its place in the list; an ID may be of another folder too.  WORDS search titles, first lines and folders
    of all.
    """
    store = context.store
    here = context.session.status
    found = await asyncio.to_thread(store.conversations.list, cwd=here.cwd, limit=_SHOWN)
    others = [one for one in found if one.id != here.conversation_id]
    wanted = arguments.strip()
    if wanted.isdigit():
        if not 0 < int(wanted) <= len(others):
            raise UsageError(f"There is no conversation {wanted} in the list.", hint="/resume shows it.")
        return Outcome(open=others[int(wanted) - 1].id)
    if wanted and await asyncio.to_thread(store.conversations.get, wanted):
        return Outcome(open=wanted)
    if wanted:
        sought = [one for one in await asyncio.to_thread(_sought, store, wanted) if one.id != here.conversation_id]
        return Outcome(say=_search_listing(sought[:_SHOWN], store, wanted))
    if not others:
        return Outcome(say="There is no other conversation in this folder.")
    return Outcome(say=listing(others, agent_names(store), store.runs.written()), show="resume")


def _sought(store: Store, words: str) -> list[Conversation]:
    """Those of every folder that hold each word in their title, first line or folder, newest first."""
    wanted = words.casefold().split()
    listed = store.conversations.list(limit=None)
    return [
        one for one in listed if all(word in f"{one.title}\n{one.opening}\n{one.cwd}".casefold() for word in wanted)
    ]


def _search_listing(found: list[Conversation], store: Store, words: str) -> str:
    if not found:
        raise UsageError(f"There is no conversation {words}.", hint="/resume lists those of this folder.")
    names, running = agent_names(store), store.runs.written()
    rows = [
        (one.id, ago(one.updated_at), one.name[:50], *whose(one, names), *states(one, found, running), one.cwd)
        for one in found
    ]
    return "\n".join(["```text", *columns(rows), "```", "Go on with one by `/resume ID`."])


def listing(found: list[Conversation], names: Mapping[str, str], running: Collection[str] = ()) -> str:
    """A numbered line each: when, how many messages, what it is called, whose it is (`names`, where it matters)."""
    rows = [
        (
            str(at),
            ago(one.updated_at),
            many(one.message_count, "message"),
            one.name[:70],
            *whose(one, names),
            *states(one, found, running),
            one.id,
        )
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


def states(one: Conversation, listed: list[Conversation], running: Collection[str]) -> tuple[str, ...]:
    """A column that says which ones some process runs now, no column where none of the list is run."""
    return ("running now" if one.id in running else "",) if any(other.id in running for other in listed) else ()
