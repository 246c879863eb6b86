"""/checkpoints: the points to come back to."""

from __future__ import annotations

from letta_code.agent.rewinding import Listed
from letta_code.agent.rewinding.targets import first_words
from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.memory import fenced
from letta_code.commands.wording import ago, columns
from letta_code.safety.terminal import strip_controls, visible

KINDS = {"asked": "saved", "run": "run", "danger": "destroys", "rewind": "rewind"}
_MOST = 30


@command("checkpoints")
async def checkpoints(context: CommandContext, arguments: str) -> Outcome:
    """List the points to come back to, the newest first, and how many files differ from each now.

    `run` stands before the first effect of a run, `destroys` before a command that can destroy, `rewind` before going
    back, so that going back can be undone; `saved` was made by /save.
    """
    found = await context.session.checkpoints.rewinding.listed(_MOST)
    if not found:
        return Outcome(say="There is no checkpoint yet: each run that may change files makes one, and so does /save.")
    rows = columns([("N", "KIND", "WHEN", "FILES", "BEFORE"), *map(row, found)], right=(0,))
    return Outcome(
        say=f"{fenced(tuple(rows))}\n\n`/rewind N` shows what would change; `/undo` takes the last run back."
    )


def row(one: Listed) -> tuple[str, ...]:
    """A checkpoint's cells: number, kind, when, files that differ now, name or words."""
    checkpoint = one.target.checkpoint
    files = "?" if one.changed is None else str(one.changed)
    if not checkpoint.tree:
        files = "not kept"
    words = first_words(visible(strip_controls(checkpoint.name or one.target.words)).replace("\n", " "))
    if checkpoint.kind == "rewind":
        words = f"before you went back {words}".rstrip()
    elif not one.target.counts:
        words = f"(taken back) {words}".rstrip()
    return str(one.target.number), KINDS.get(checkpoint.kind, checkpoint.kind), ago(checkpoint.at), files, words
