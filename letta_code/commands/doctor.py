"""/doctor: what is wrong with the home and this machine, and the one command that mends each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from letta_code.agent.doctor.base import Finding, Look, examine
from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.wording import plain_markdown
from letta_code.config.paths import Paths
from letta_code.core.counts import many

MARKS = {"ok": "✓", "warning": "!", "wrong": "✗", "skipped": "–"}


@command("doctor", usage="[CHECK]")
async def doctor(context: CommandContext, arguments: str) -> Outcome:
    """Look at the store, memory, index, settings, disk, tools, sandbox, terminal and model, and name what is wrong.

    What is fine is counted only; CHECK shows all that one check looked at. Nothing is changed and the network is not
    used: in a shell `letta-code doctor` has --fix and --online.
    """
    names = arguments.split()
    look = Look(paths=Paths.find(), cwd=context.session.status.cwd)
    found = await asyncio.to_thread(lambda: list(examine(look, names)))
    if names and not found:
        return Outcome(say=f"There is no check {plain_markdown(arguments)}.")
    return Outcome(say=shown(found, everything=bool(names)))


def shown(found: Sequence[Finding], *, everything: bool) -> str:
    """As Markdown: what is wrong first."""
    told = [one for one in found if everything or one.state in ("wrong", "warning")]
    lines = [f"**{summary(found)}**", ""]
    for one in sorted(told, key=lambda one: ("wrong", "warning", "ok", "skipped").index(one.state)):
        lines.append(
            f"- {MARKS[one.state]} **{one.check}**: {plain_markdown(one.says)} {plain_markdown(one.means)}".rstrip()
        )
        if one.mend:
            lines.append(f"  `{one.mend}`")
    return "\n".join(lines)


def summary(found: Sequence[Finding]) -> str:
    """How many things are wrong, worth a look, fine."""
    counts = {state: sum(one.state == state for one in found) for state in MARKS}
    if not counts["wrong"] and not counts["warning"]:
        return f"Nothing is wrong ({many(counts['ok'], 'thing')} looked at)."
    wrong = f"{many(counts['wrong'], 'thing')} wrong, " if counts["wrong"] else "Nothing is wrong, "
    return f"{wrong}{counts['warning']} worth a look, {counts['ok']} fine."
