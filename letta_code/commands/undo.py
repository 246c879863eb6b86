"""/undo: the last run, taken back."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.rewind import prompt_of


@command("undo")
async def undo(context: CommandContext, arguments: str) -> Outcome:
    """Take the last run back: its changes of files, what was said, and what it wrote into memory.

    Again, it goes on run by run; /redo takes it back, until you say something new.  Your message comes back into the
    prompt.  What commands did outside the work tree (a push, a database) stays; your own git is not touched.
    """
    way = context.session.checkpoints.rewinding
    preview = await way.preview(await way.last_run())
    await way.go(preview, verb="Undone:")
    return Outcome(prompt=prompt_of(preview, ()))
