"""/mode: what may happen without a question."""

from __future__ import annotations

from letta_code.agent.contained import described
from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.safety.policy import MODE_TEXT, mode_of


@command("mode", usage="[plan|ask|auto|full]")
async def change_mode(context: CommandContext, arguments: str) -> Outcome:
    """Show or change what may happen without a question.

    The mode holds for this conversation.  `full` asks nothing and holds until letta-code ends.  Deny rules hold in
    every mode.
    """
    name = arguments.strip()
    if not name:
        held = described(await context.session.contained())
        return Outcome(say="\n\n".join(part for part in (listing(context.session.status.mode), held) if part))
    mode = mode_of(name)
    await context.session.set_mode(mode)
    return Outcome(say=f"The mode is `{mode}`: {MODE_TEXT[mode]}.")


def listing(current: str) -> str:
    """Every mode with its sentence; the current one is marked."""
    lines = [
        f"- **`{name}`** (now): {text}" if name == current else f"- `{name}`: {text}"
        for name, text in MODE_TEXT.items()
    ]
    return "\n".join([*lines, "", "Change it with `/mode NAME`."])
