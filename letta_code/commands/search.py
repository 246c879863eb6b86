"""/search: find what was said, in any conversation."""

from __future__ import annotations

import asyncio

from letta_code.agent.find import Match, find
from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.wording import ago
from letta_code.config.paths import Paths
from letta_code.core.counts import many
from letta_code.core.errors import UsageError
from letta_code.safety.terminal import visible


@command("search", usage="WORDS", aliases=("find",))
async def search(context: CommandContext, arguments: str) -> Outcome:
    """Search titles and all that was said in this agent's conversations.

    Words in quotes are looked for as they stand.  /resume ID goes on with what was found.
    """
    words = arguments.strip()
    if not words:
        raise UsageError("/search needs words.")
    store = context.store
    agent = store.agents.get(context.session.status.agent_id)
    result = await asyncio.to_thread(find, store, Paths.find(), [agent] if agent else [], words)
    if not result.found:
        return Outcome(say="Nothing was found.")
    lines = [line for match in result.found for line in _lines(match)]
    if result.left:
        lines.append(f"{many(result.left, 'event')} not searched yet: search again for the rest.")
    return Outcome(say="\n".join(["```text", *lines, "```", "Go on with one by `/resume ID`."]))


def _lines(match: Match) -> list[str]:
    place = f"{match.conversation_id}#{match.seq}" if match.seq else match.conversation_id
    found = [f"{ago(match.at)}  {place}  {_plain(match.title[:60])}  ({match.found_by})"]
    return [*found, f"    {match.role}: {_plain(match.text)}"] if match.text else found


def _plain(text: str) -> str:
    """A text that does not end the block that it stands in."""
    return visible(text).replace("```", "'''")
