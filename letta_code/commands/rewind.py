"""/rewind: back to a checkpoint."""

from __future__ import annotations

from difflib import get_close_matches

from letta_code.agent.rewinding import PARTS, Preview, parts_of
from letta_code.agent.rewinding.words import preview_text
from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.checkpoints import checkpoints
from letta_code.commands.memory import fenced
from letta_code.core.errors import UsageError


@command("rewind", usage="[N|NAME] [code|conversation|memory|all]")
async def rewind(context: CommandContext, arguments: str) -> Outcome:
    """Go back to a checkpoint: files, what was said, memory, or all of them.

    Without a part it shows what would change and does nothing.  Before it acts it keeps the state as it is: /redo takes
    it back.  Your own git (branches, index, stash) is never touched, and commits stay.
    """
    if not arguments.strip():
        listed = await checkpoints(context, "")
        return Outcome(say=listed.say, show="rewind")
    wanted, what = asked(arguments)
    way = context.session.checkpoints.rewinding
    preview = await way.preview(await way.find(wanted))
    if what is None:
        return Outcome(say=shown(preview, wanted))
    await way.go(preview, what)
    return Outcome(prompt=prompt_of(preview, what))


def asked(arguments: str) -> tuple[str, tuple[str, ...] | None]:
    """The checkpoint and the parts of a line: () for all, None where none is named."""
    words = arguments.split()
    parts: list[str] = []
    while len(words) > 1 and words[-1].strip(",") in (*PARTS, "all"):
        parts.append(words.pop().strip(","))
    if not parts:
        if words[0] in (*PARTS, "all"):
            raise UsageError("/rewind takes the checkpoint first.", hint="/rewind 3 all; /checkpoints lists them.")
        close = get_close_matches(words[-1], (*PARTS, "all"), n=1, cutoff=0.75) if len(words) > 1 else []
        if close and words[0].isdecimal():
            hint = f"Did you mean {close[0]!r}? Parts are {', '.join(PARTS)} and all."
            raise UsageError(f"/rewind does not know the part {words[-1]!r}.", hint=hint)
        return " ".join(words), None
    return " ".join(words), () if "all" in parts else tuple(parts)


def shown(preview: Preview, wanted: str) -> str:
    """A preview and how to go on."""
    parts = parts_of(preview, ())
    lines = fenced(tuple(preview_text(preview, parts).split("\n")))
    if not parts:
        return lines
    ways = " · ".join(f"`/rewind {wanted} {part}`" for part in ("all", *parts))
    return f"{lines}\n\nNothing is changed yet: {ways}"


def prompt_of(preview: Preview, what: tuple[str, ...]) -> str:
    """The message that comes back into the prompt."""
    return preview.prompt if "conversation" in parts_of(preview, what) else ""
