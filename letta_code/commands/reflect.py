"""/reflect: the conversation is read again, and what was learned goes into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.core.errors import UsageError

if TYPE_CHECKING:
    from letta_code.memory.proposals import Proposal, Proposals

_VERDICTS = {"approve": True, "yes": True, "reject": False, "no": False}
_WAITING = ("waiting", "list")
_WORDS = ("approve", "reject", "waiting")  # no focus begins with them
_MOST_LINES = 60  # of the changes of one proposal


@command("reflect", usage="[WHAT MATTERS | waiting | approve ID | reject ID]")
async def reflect(context: CommandContext, arguments: str) -> Outcome:
    """Read the conversation again behind the scenes and bring memory up to date: new facts, stale lines out.

    It reads what was said since the last time; you may say what matters: `/reflect the release steps`.  It also runs by
    itself after a compaction (settings `reflection`: after_compaction, every_turns, merge, budget_tokens, model).
    What would take away your own lines or much text waits for you, and, where more than your words was read (results of
    tools, attached files), what would change how the agent acts everywhere: `/reflect waiting` shows it, `/reflect
    approve ID` and `/reflect reject ID` decide (the end of an ID is enough).
    """
    words = arguments.split()
    reflection = context.session.reflection
    if words and words[0] in _VERDICTS and len(words) <= 2:
        waiting = await reflection.pending()
        wanted = words[1] if len(words) == 2 else waiting[0].id if len(waiting) == 1 else ""
        if not wanted:
            listed = ", ".join(one.id for one in waiting) or "none"
            raise UsageError(f"Which one? Waiting: {listed}.", hint=f"/reflect {words[0]} ID")
        decided = await reflection.decide(wanted, approved=_VERDICTS[words[0]])
        return Outcome(say=decided.text, blocks=decided.settled.blocks if decided.settled else ())
    if words and words[0] in _WAITING and len(words) == 1:
        return await _listed(context)
    if words:
        _check_focus(words)
    said = await context.session.reflect(arguments.strip())
    waiting = await reflection.pending()
    more = f"\n\n{_count(waiting)} for you: /reflect waiting" if waiting else ""
    return Outcome(say=said + more)


def _check_focus(words: Sequence[str]) -> None:
    """A reflection costs money: what was probably meant as something else begins none."""
    from difflib import get_close_matches

    first = words[0].lower()
    meant = [first] if first in _WORDS else get_close_matches(first, _WORDS, 1, 0.75) if len(words) <= 2 else []
    if meant:
        call = f"/reflect {meant[0]}" + ("" if meant[0] == "waiting" else " ID")
        raise UsageError(
            f"/reflect {' '.join(words)[:60]}: is {call} meant? No reflection was begun.",
            hint="To say what matters to a reflection, begin with another word: /reflect about …",
        )


async def _listed(context: CommandContext) -> Outcome:
    import asyncio

    waiting = await context.session.reflection.pending()
    if not waiting:
        return Outcome(say="No reflection waits for you.")
    proposals = context.session.memory.blocks.proposals
    return Outcome(say="\n\n".join([await asyncio.to_thread(_shown, one, proposals) for one in waiting]))


def _shown(one: Proposal, proposals: Proposals) -> str:
    """A proposal with its changes below its id."""
    from letta_code.commands.memory_words.told import diff_lines
    from letta_code.core.errors import LettaError
    from letta_code.safety.terminal import visible

    head = f"{one.id} ({one.at[:10]}): {visible(one.why)} Asked because {visible('; '.join(one.asks))}."
    try:
        lines = [line for diff in proposals.diffs(one) for line in diff_lines(diff)]
    except LettaError as error:
        lines = [f"  It cannot be shown: {visible(str(error))}"]
    rest = len(lines) - _MOST_LINES
    lines = [*lines[:_MOST_LINES], *([f"    … {rest} more lines"] if rest > 0 else [])]
    return "\n".join([head, *lines, f"yes: /reflect approve {one.id}   no: /reflect reject {one.id}"])


def _count(waiting: Sequence[Proposal]) -> str:
    return "1 proposal waits" if len(waiting) == 1 else f"{len(waiting)} proposals wait"
