"""/save: a point to come back to."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.wording import plain_markdown
from letta_code.core.counts import many, size


@command("save", usage="[NAME]")
async def save(context: CommandContext, arguments: str) -> Outcome:
    """Keep this point to come back to: what was said, memory, and the files of the work tree.

    /rewind NAME goes back to it.  One is made by itself before the first effect of each run, and before commands that
    destroy.  Files that .gitignore names are not kept, nor is anything outside the work tree.
    """
    made = await context.session.checkpoints.save(arguments)
    number = len(await context.session.checkpoints.rewinding.targets())
    name = f" {plain_markdown(made.name)}" if made.name else ""
    parts = [f"{many(made.files, 'file')}, {size(made.new_bytes)} new" if made.tree else f"without files: {made.note}"]
    if made.left_out:
        parts.append(f"left out: {plain_markdown('; '.join(made.left_out[:5]))}")
    return Outcome(say=f"Checkpoint {number}{name} is made ({'; '.join(parts)}). `/rewind {number}` goes back to it.")
