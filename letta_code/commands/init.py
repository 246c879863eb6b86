"""/init: the agent reads the project and writes the first blocks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from letta_code.commands.base import CommandContext, Outcome, command

if TYPE_CHECKING:
    from letta_code.memory.block import Block
    from letta_code.memory.view import View

_MOST = 3_000  # characters of `project` after a first look: there must be room for what is learned later

_PROMPT = """\
Get to know this project, and write what you will want to know in later conversations into your memory blocks.

1. Look, in few calls: README, manifests and build files (pyproject.toml, package.json, Cargo.toml, go.mod, Makefile \
…), the folders two levels deep, how the tests are laid out and run, CI files, AGENTS.md or CLAUDE.md, and \
`git log --oneline -30`. Only read: install, build and change nothing.
2. Write the block `project` ({project}; stay below {most:,} characters): today's date, what the project is for, where \
what lives, the exact commands that build, test, lint and run it, conventions, traps. One fact a line, only what you \
saw, with a path where that helps; put (?) after what you only suppose. Do not repeat what AGENTS.md or CLAUDE.md \
say: you get them at every start; write what they leave out, and where they are wrong. No secrets, no lists of files \
that one look shows anyway.{there}
3. Then ask me at most three questions, all at once, whose answers change how you work with me (how I like answers, \
what you may do unasked, what matters now), and none that the files answer. Put what I answer into `human` ({human}), \
short and dated; before I answer write nothing about me that you only guess.

Before the questions show me `project` as it now stands, and name what you could not find out."""
_THERE = (
    " It says something already: keep what is still true, correct what is not, and take nothing out that you cannot "
    "check."
)


@command("init", usage="[WHAT MATTERS]")
async def init(context: CommandContext, arguments: str) -> Outcome:
    """Let the agent read the project and write its first memory: purpose, layout, commands, conventions, traps.

    It changes no file of the project.  What you add is given along: `/init the server only, not the client`.
    """
    view = await asyncio.to_thread(context.session.memory.blocks.view)
    return Outcome(send=prompt(view, arguments.strip()))


def prompt(view: View, wish: str = "") -> str:
    """What the agent is asked to do, with the sizes of its blocks."""
    project, human = view.get("project"), view.get("human")
    most = min(_MOST, project.limit) if project else _MOST
    there = _THERE if project and project.value else ""
    text = _PROMPT.format(project=_size(project), human=_size(human), most=most, there=there)
    return f"{text}\n\nWhat matters to me: {wish}" if wish else text


def _size(block: Block | None) -> str:
    if block is None:
        return "make it, scope project"
    return f"{block.chars:,} of {block.limit:,} characters used"
