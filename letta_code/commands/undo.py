"""/undo: the last run, taken back."""

from __future__ import annotations

from letta_code.agent.rewinding import PARTS, Preview
from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.rewind import prompt_of
from letta_code.core.errors import UsageError


@command("undo", usage="[all|code|conversation|memory]")
async def undo(context: CommandContext, arguments: str) -> Outcome:
    """Take the last run back: its changes of files, what was said, and what it wrote into memory.

    Again, it goes on run by run; /redo takes it back, until you say something new.  Your message comes back into the
    prompt.  Files that changed after the run stay as they are; where that cannot be told, you are asked.  What commands
    did outside the work tree (a push, a database) stays; your own git is not touched.
    """
    what = parts_meant(arguments, "/undo")
    way = context.session.checkpoints.rewinding
    preview = await way.preview(await way.last_run())
    refuse_unasked(preview, what, "/undo")
    await way.go(preview, what or (), verb="Undone:")
    return Outcome(prompt=prompt_of(preview, what or ()))


def parts_meant(arguments: str, name: str) -> tuple[str, ...] | None:
    """The parts that a person names: () for all, None where none is named; raises `UsageError`."""
    words = arguments.replace(",", " ").split()
    for word in words:
        if word not in (*PARTS, "all"):
            raise UsageError(f"{name} does not know {word!r}.", hint=f"Parts are {', '.join(PARTS)} and all.")
    return None if not words else () if "all" in words else tuple(words)


def refuse_unasked(preview: Preview, what: tuple[str, ...] | None, name: str) -> None:
    """Raise `UsageError` where files do not simply go back and the person named no part."""
    if what is not None or not preview.ask:
        return
    if "code" in preview.parts:
        hint = f"`{name} all` sets all of them back; `{name} conversation` leaves files alone; /rewind shows more."
    elif "conversation" in preview.parts:
        rest = " conversation memory" if preview.memory else " conversation"
        hint = f"`{name}{rest}` takes back the rest and leaves files as they are."
    else:
        hint = "/checkpoints lists the points to come back to."
    raise UsageError(f"Nothing was taken back. {preview.ask}", hint=hint)
