"""/cost: tokens and money."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.wording import columns, money, tokens
from letta_code.core.events import AssistantMessage, Event, RunFinished
from letta_code.core.messages import Usage

_SHOWN = 20


@command("cost", usage="[all]")
async def cost(context: CommandContext, arguments: str) -> Outcome:
    """Show tokens and money of this conversation: the last 20 model calls, or all of them.

    Money is in US dollars at list prices, counted only where the price of the model is known.
    """
    store = context.store
    stored = await asyncio.to_thread(store.read, context.session.status.conversation_id)
    return Outcome(say=report((one.event for one in stored), every=arguments.strip() == "all"))


def report(events: Iterable[Event], *, every: bool = False) -> str:
    """A table with a line a model call, and the sums."""
    calls = [event for event in events if isinstance(event, AssistantMessage | RunFinished)]
    answers = [event for event in calls if isinstance(event, AssistantMessage)]
    if not answers:
        return "Nothing was asked of a model yet."
    total = Usage()
    for answer in answers:
        total = total.plus(answer.usage)
    shown = answers if every else answers[-_SHOWN:]
    first = len(answers) - len(shown)
    rows = [("turn", "input", "cached", "output", "cost", "seconds", "model")]
    rows += [_row(str(first + at), answer) for at, answer in enumerate(shown, 1)]
    priced = [answer.cost for answer in answers if answer.cost is not None]
    known = sum(priced) if priced else None
    rows.append(("all", tokens(total.input), tokens(total.cache_read), tokens(total.output), money(known), "", ""))
    lines = ["```text", *columns(rows, right=(0, 1, 2, 3, 4, 5)), "```"]
    if priced and len(priced) < len(answers):
        lines.append(f"{len(answers) - len(priced)} calls are not in the money: their price is not known.")
    if any(not answer.usage_exact for answer in answers):
        lines.append("Counts marked ~ are our own; the provider gave none.")
    return "\n".join(lines)


def _row(number: str, answer: AssistantMessage) -> tuple[str, str, str, str, str, str, str]:
    usage, mark = answer.usage, "" if answer.usage_exact else "~"
    return (
        number,
        mark + tokens(usage.input),
        tokens(usage.cache_read),
        mark + tokens(usage.output),
        money(answer.cost),
        f"{answer.seconds:.1f}",
        answer.model,
    )
