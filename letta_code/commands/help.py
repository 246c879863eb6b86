"""/help: what can be typed."""

from __future__ import annotations

from letta_code.commands.base import Command, CommandContext, Outcome, command, load_commands
from letta_code.commands.wording import columns
from letta_code.core.errors import UsageError


@command("help", usage="[COMMAND]", aliases=("?",))
async def show_help(context: CommandContext, arguments: str) -> Outcome:
    """List the commands, or say more about one.

    Everything that does not begin with a slash goes to the agent.
    """
    commands = load_commands()
    name = arguments.strip().lstrip("/")
    if not name:
        return Outcome(say=listing(commands), show="help")
    found = commands.get(name) or next((one for one in commands.values() if name in one.aliases), None)
    if found is None:
        raise UsageError(f"There is no command /{name}.", hint="/help lists them.")
    return Outcome(say=about(found))


def listing(commands: dict[str, Command]) -> str:
    """Every command with its sentence, in a block that keeps its columns."""
    rows = [(f"/{one.name} {one.usage}".strip(), one.help) for one in commands.values()]
    return "\n".join(["```text", *columns(rows), "```"])


def about(found: Command) -> str:
    """One command: usage, sentence, details, other names."""
    parts = [f"`/{found.name} {found.usage}`".replace(" `", "`"), found.help]
    if found.details:
        parts.append(found.details)
    if found.aliases:
        parts.append("Also: " + ", ".join(f"`/{name}`" for name in found.aliases))
    return "\n\n".join(parts)
