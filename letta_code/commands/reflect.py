"""/reflect: the conversation is read again, and what was learned goes into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.core.errors import UsageError

if TYPE_CHECKING:
    from letta_code.memory.proposals import Proposal

_VERDICTS = {"approve": True, "yes": True, "reject": False, "no": False}
_WAITING = ("waiting", "list")


@command("reflect", usage="[WHAT MATTERS | waiting | approve ID | reject ID]")
async def reflect(context: CommandContext, arguments: str) -> Outcome:
    """Read the conversation again behind the scenes and bring memory up to date: new facts, stale lines out.

    It reads what was said since the last time; you may say what matters: `/reflect the release steps`.  It also runs by
    itself after a compaction (settings `reflection`: after_compaction, every_turns, merge, budget_tokens, model).
    What would take away your own lines or much text waits for you: `/reflect waiting` shows it, `/reflect approve ID`
    and `/reflect reject ID` decide (the end of an ID is enough).
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
    said = await context.session.reflect(arguments.strip())
    waiting = await reflection.pending()
    more = f"\n\n{_count(waiting)} for you: /reflect waiting" if waiting else ""
    return Outcome(say=said + more)


async def _listed(context: CommandContext) -> Outcome:
    import asyncio

    from letta_code.core.display import MemoryBlock
    from letta_code.core.errors import LettaError
    from letta_code.safety.terminal import visible

    waiting = await context.session.reflection.pending()
    if not waiting:
        return Outcome(say="No reflection waits for you.")
    lines: list[str] = []
    shown: list[MemoryBlock] = []
    proposals = context.session.memory.blocks.proposals
    for one in waiting:
        lines.append(f"{one.id} ({one.at[:10]}): {visible(one.why)} Asked because {visible('; '.join(one.asks))}.")
        lines.append(f"yes: /reflect approve {one.id}   no: /reflect reject {one.id}")
        try:
            diffs = await asyncio.to_thread(proposals.diffs, one)
        except LettaError as error:
            lines.append(f"It cannot be shown: {visible(str(error))}")
            continue
        shown += [
            MemoryBlock(
                label=d.path, diff=d.diff, status=d.status, old_label=d.old_path, added=d.added, removed=d.removed
            )
            for d in diffs
        ]
    return Outcome(say="\n\n".join(lines), blocks=tuple(shown))


def _count(waiting: Sequence[Proposal]) -> str:
    return "1 proposal waits" if len(waiting) == 1 else f"{len(waiting)} proposals wait"
