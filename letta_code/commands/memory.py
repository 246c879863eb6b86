"""/memory: what the agent remembers, and every change of it."""

from __future__ import annotations

import asyncio

from letta_code.commands.base import CommandContext, Outcome, command


@command("memory", usage="[WORD …]")
async def memory(context: CommandContext, arguments: str) -> Outcome:
    """Show what the agent remembers and change it: blocks, their history, what waits, archival memory.

    Without a word it opens the memory screen.  `/memory help` lists the words, such as `show human`, `append human
    TEXT`, `why human:3` (where a line came from), `undo`, `search WORDS`.  In a shell it is `letta-code memory`.
    """
    from letta_code.commands.memory_words.told import WIDTH
    from letta_code.commands.memory_words.words import SLASH, listing, parse_line

    if arguments.strip() in ("help", "?"):
        return Outcome(say="\n".join(["```text", *listing(WIDTH), "```"]))
    from letta_code.commands.memory_words.deeds import Here, do

    asked = parse_line(arguments)
    store = context.store
    agent = await asyncio.to_thread(store.agents.get, context.session.status.agent_id)
    here = Here(desk=context.session.memory, store=store, call=SLASH, agent=agent.name if agent else "this agent")
    told = await do(asked, here)
    # The screen takes the place of the words where a face has one.
    show = "memory" if asked.name == "edit" or not arguments.strip() else ""
    if told.changes:
        from letta_code.memory.desk import shown_change

        blocks = tuple(shown_change(change, told.commit) for change in told.changes)
        return Outcome(say=spoken(*told.notices, told.said), blocks=blocks, show=show)
    return Outcome(say=spoken(*told.notices, told.said, fenced(told.lines), told.aside), blocks=told.blocks, show=show)


def spoken(*parts: str) -> str:
    """Paragraphs."""
    return "\n\n".join(part for part in parts if part)


def fenced(lines: tuple[str, ...]) -> str:
    """Lines as Markdown that shows them as they are, whatever stands in them."""
    if not lines:
        return ""
    text = "\n".join(lines)
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"
