"""/agents: who remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from letta_code.agent.roster import (
    AgentRow,
    agent_rows,
    create_agent,
    delete_agent,
    remember_agent,
    rename_agent,
    restore_agent,
)
from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.wording import ago, plain_markdown
from letta_code.config.paths import Paths
from letta_code.core.counts import many
from letta_code.core.errors import UsageError
from letta_code.store.agents import Agent
from letta_code.store.database import Store

_USAGE = "[use NAME|create NAME|rename NEW|describe TEXT|delete NAME|restore NAME]"


@command("agents", usage=_USAGE)
async def agents(context: CommandContext, arguments: str) -> Outcome:
    """List the agents, or choose, make, rename, describe, delete one or bring one back.

    Each agent has its own memory and conversations. `use` takes one for this project and opens a new conversation with
    it; `rename` and `describe` are about the agent of this conversation. A deleted one is kept for 30 days.
    """
    word, _, rest = arguments.strip().partition(" ")
    rest = rest.strip()
    if not word:
        cwd = context.session.status.cwd
        rows = await asyncio.to_thread(agent_rows, context.store, Paths.find(), context.settings, cwd)
        return Outcome(say=listing(rows, context.session.status.agent_id))
    deed = _DEEDS.get(word)
    if deed is None:
        raise UsageError(f"/agents has no {word!r}.", hint=f"/agents {_USAGE}")
    if not rest:
        raise UsageError(f"/agents {word} needs a word more.", hint=f"/agents {_USAGE}")
    return await deed(context, rest)


def listing(rows: list[AgentRow], now: str) -> str:
    """A line an agent: name, what for, what it holds; the one of this conversation and of this folder are marked."""
    lines: list[str] = []
    for row in rows:
        marks = [*(["now"] if row.id == now else []), *(["this folder"] if row.here else [])]
        mark = f" ({', '.join(marks)})" if marks else ""
        name = f"**{plain_markdown(row.name)}**" if row.id == now else plain_markdown(row.name)
        used = f", last used {ago(row.last_used)}" if row.last_used else ""
        about = f": {plain_markdown(row.description)}" if row.description else ""
        held = ((row.blocks, "block"), (row.passages, "passage"), (row.conversations, "conversation"))
        counts = ", ".join(many(count, what) for count, what in held) + used
        lines.append(f"- {name}{mark}{about}\n  `{row.id}` · {counts}")
    return "\n".join([*lines, "", "Choose one for this project with `/agents use NAME`."])


def _current(context: CommandContext) -> Agent:
    agent = context.store.agents.get(context.session.status.agent_id)
    if agent is None:
        raise UsageError("The agent of this conversation is not in the store.")
    return agent


async def _use(context: CommandContext, name: str) -> Outcome:
    store, cwd = context.store, context.session.status.cwd
    agent = store.agents.choose(name)
    remember_agent(Paths.find(), cwd, agent.id)
    say = f"This project's agent is {plain_markdown(agent.name)} (`{agent.id}`)."
    wins = context.settings.agent
    if not wins or _is(store, wins, agent):
        return Outcome(say=say, open="new")
    # A setting names another one: the conversation is begun here, so that it is with the one that was asked for.
    say += f" Starts go on with {plain_markdown(wins)}, as long as the setting `agent` or --agent says so."
    conversation = await store.conversations.create(agent.id, cwd)
    return Outcome(say=say, open=conversation.id)


def _is(store: Store, wanted: str, agent: Agent) -> bool:
    try:
        return store.agents.choose(wanted).id == agent.id
    except UsageError:
        return False


async def _create(context: CommandContext, name: str) -> Outcome:
    agent = await create_agent(context.store, name)
    return Outcome(
        say=f"{plain_markdown(agent.name)} (`{agent.id}`) is made. `/agents use {agent.name}` begins with it."
    )


async def _rename(context: CommandContext, name: str) -> Outcome:
    agent = await rename_agent(context.store, _current(context), name)
    return Outcome(say=f"This agent is called {plain_markdown(agent.name)} now.")


async def _describe(context: CommandContext, text: str) -> Outcome:
    agent = await context.store.agents.describe(_current(context).id, text)
    return Outcome(say=f"{plain_markdown(agent.name)}: {plain_markdown(agent.description)}")


async def _delete(context: CommandContext, name: str) -> Outcome:
    agent = context.store.agents.choose(name)
    is_open = agent.id == context.session.status.agent_id
    return Outcome(say=plain_markdown(await delete_agent(context.store, agent, is_open=is_open)))


async def _restore(context: CommandContext, name: str) -> Outcome:
    agent = context.store.agents.choose(name, deleted=True)
    return Outcome(say=plain_markdown(await restore_agent(context.store, agent)))


_DEEDS: dict[str, Callable[[CommandContext, str], Awaitable[Outcome]]] = {
    "use": _use,
    "create": _create,
    "rename": _rename,
    "describe": _describe,
    "delete": _delete,
    "restore": _restore,
}
