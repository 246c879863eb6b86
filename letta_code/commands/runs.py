"""/runs: the work that goes on, in all folders."""

from __future__ import annotations

import asyncio

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.wording import columns
from letta_code.safety.terminal import visible


@command("runs")
async def runs(context: CommandContext, arguments: str) -> Outcome:
    """List the runs that go on or ended lately, and follow one.

    Those without a terminal go on in the background; one that waits for you goes on when it was answered.
    """
    from letta_code.agent.seeing_runs import lines_of, runs_seen

    seen = await asyncio.to_thread(runs_seen, context.store)
    if not seen:
        return Outcome(say="There are no runs yet.")
    rows = [
        (*(visible(cell) for cell in line[1:]), one.conversation_id)
        for line, one in zip(lines_of(seen), seen, strict=True)
    ]
    return Outcome(say="\n".join(["```text", *columns(rows), "```", "Follow one by `/resume ID`."]), show="runs")
