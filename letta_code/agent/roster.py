"""Roster: which agent a start is with, and what a person does with agents; the project remembers its choice."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from letta_code.agent.facts import project_root
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings, person_settings
from letta_code.core.counts import many
from letta_code.core.errors import ConfigError, ConversationBusy, LettaError, UsageError
from letta_code.core.messages import Value
from letta_code.host.files import read_bounded
from letta_code.safety.remembered import project_file
from letta_code.store.agents import KEPT_DAYS, LONGEST_NAME, Agent, good_name
from letta_code.store.database import Store

_NAME = "agent"
_LARGEST = 4096
_NEVER_THERE = "never"


class ProjectAgent(Value):
    """`projects/<key>/agent` in letta-code's home; `root` is the real path, so that people can read whose it is."""

    root: str
    agent: str


async def choose_agent(
    store: Store, paths: Paths, settings: Settings, cwd: str, tell: Callable[[str], None] = lambda text: None
) -> Agent:
    """The agent of a new conversation: the setting's, else the project's, else the default, which is made if missing.

    `tell` gets a sentence when the project's agent, or the default one, is gone.  Raises `UsageError` that lists the
    agents when the setting (`--agent`, LETTA_AGENT, config.yaml) names none.
    """
    chosen = _chosen_agent(store, paths, settings, cwd)
    if chosen is not None and not chosen.deleted_at:
        return chosen
    agent = await store.agents.ensure_default()
    used = f"{agent.name} is used. `letta-code agents use NAME` chooses."
    if chosen is not None:
        what = "was deleted" if chosen.deleted_at != _NEVER_THERE else "is not there"
        tell(f"The agent of this folder, {chosen.name}, {what}: {used}")
    elif gone := [one for one in store.agents.list(deleted=True) if _age(one) < _age(agent)]:
        tell(f"The default agent, {gone[0].name}, was deleted: {used}")
    return agent


def chosen_agent(store: Store, paths: Paths, settings: Settings, cwd: str) -> Agent | None:
    """The agent that the setting or the project names, None where neither does or the project's is gone.

    Raises `UsageError` when the setting names none.
    """
    chosen = _chosen_agent(store, paths, settings, cwd)
    return chosen if chosen is not None and not chosen.deleted_at else None


def _chosen_agent(store: Store, paths: Paths, settings: Settings, cwd: str) -> Agent | None:
    """The same, with a project's agent that is gone."""
    if settings.agent:
        return _of_setting(store, paths, settings)
    remembered = remembered_agent(paths, cwd)
    if not remembered:
        return None
    return store.agents.get(remembered) or Agent(
        id=remembered, name=remembered, created_at="", updated_at="", deleted_at=_NEVER_THERE
    )


def _of_setting(store: Store, paths: Paths, settings: Settings) -> Agent:
    """The setting's agent; where there is none, the error says which file names it."""
    try:
        return store.agents.choose(settings.agent)
    except UsageError as error:
        if person_settings(paths).agent != settings.agent:
            raise
        where = f"`agent:` in {paths.config} says so."
        raise UsageError(str(error), hint=f"{where} {error.hint}") from error


def agent_on_disk(paths: Paths, settings: Settings, cwd: str) -> Agent:
    """As `choose_agent`, by the marked folders of the agents: for a database that cannot be read.

    Raises `UsageError` where no folder is the agent's that is meant.
    """
    from letta_code.store.marker import marked

    alive = [one for one in marked(paths.agents) if not one.deleted_at]
    alive.sort(key=lambda one: (one.created_at, one.id))
    wanted, remembered = settings.agent.strip().casefold(), remembered_agent(paths, cwd)
    if wanted:
        found = [one for one in alive if wanted in (one.id, one.name.casefold())]
    else:
        found = [one for one in alive if one.id == remembered] or alive[:1]
    if len(found) == 1:
        one = found[0]
        return Agent(id=one.id, name=one.name or one.id, created_at=one.created_at, updated_at=one.created_at)
    listed = ", ".join(f"{one.name} ({one.id})" for one in found or alive) or "none"
    raise UsageError(
        f"{len(found) or 'No'} agents are meant by {wanted!r}." if wanted else f"There is no agent in {paths.agents}.",
        hint=f"There is: {listed}.",
    )


def _age(agent: Agent) -> tuple[str, str]:
    return agent.created_at, agent.id  # ids go on within a millisecond


def remembered_agent(paths: Paths, cwd: str) -> str:
    """The id of the agent that the project at or above a folder uses, "" for none; an unreadable file is none."""
    try:
        return msgspec.json.decode(read_bounded(Path(_file(paths, cwd)), _LARGEST), type=ProjectAgent).agent
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return ""


def remember_agent(paths: Paths, cwd: str, agent_id: str) -> None:
    """Let the project use this agent from now on ("" for the default); raises `ConfigError`."""
    from letta_code.host.files import atomic_write

    path = Path(_file(paths, cwd))
    try:
        if not agent_id:
            path.unlink(missing_ok=True)
            return
        paths.folder(paths.projects)
        paths.folder(path.parent)
        data = msgspec.json.encode(ProjectAgent(root=os.path.realpath(project_root(cwd)), agent=agent_id))
        atomic_write(path, data + b"\n", mode=0o600)
    except OSError as error:
        raise ConfigError(f"{path} could not be written: {error.strerror}.") from error


def _file(paths: Paths, cwd: str) -> str:
    rules = project_file(os.path.realpath(project_root(cwd)))
    return os.path.join(paths.home, os.path.dirname(rules), _NAME)


# ---------------------------------------------------------------- what a person does


async def create_agent(store: Store, name: str, description: str = "") -> Agent:
    """A new agent of a name that no other has; raises `UsageError`, `StoreError`."""
    return await store.agents.create(own_name(store, name), description)


async def rename_agent(store: Store, agent: Agent, name: str) -> Agent:
    """Another name, which no other has; raises `UsageError`, `StoreError`."""
    return await store.agents.rename(agent.id, own_name(store, name, but=agent.id))


async def restore_agent(store: Store, agent: Agent) -> str:
    """Bring a deleted agent back and say so; where its name was given to another, it gets a number.

    Raises `StoreError`.
    """
    back = await store.agents.restore(agent.id)
    name = free_name(store, back.name, but=agent.id)
    if name == back.name:
        return f"{back.name} ({back.id}) is back with all that it had."
    before, back = back, await store.agents.rename(agent.id, name)
    return f"{before.name} ({back.id}) is back with all that it had. It is called {back.name}: the name was taken."


def own_name(store: Store, name: str, *, but: str = "") -> str:
    """A name as it is kept, if no other agent than `but` has it in any case; raises `UsageError`."""
    name = good_name(name)
    for other in store.agents.list():
        if other.name.casefold() == name.casefold() and other.id != but:
            raise UsageError(
                f"There is an agent called {other.name} already ({other.id}).", hint="Choose another name."
            )
    return name


def free_name(store: Store, name: str, *, but: str = "") -> str:
    """A name, with a number where another agent than `but` has it."""
    taken = {one.name.casefold() for one in store.agents.list() if one.id != but}
    found, number = name, 1
    while found.casefold() in taken:
        number += 1
        found = f"{name[: LONGEST_NAME - 6]} {number}"
    return found


async def delete_agent(store: Store, agent: Agent, *, is_open: bool = False) -> str:
    """Delete an agent and say what that means; `is_open` says that a conversation of it is open here.

    Raises `UsageError` then, `ConversationBusy` while another process writes one of its conversations, `StoreError`.
    """
    if is_open:
        raise UsageError(
            f"{agent.name} is the agent of this conversation.", hint="Open one of another agent first: /agents use NAME"
        )
    for one in store.conversations.list(agent_id=agent.id, limit=None, empty=True):
        writer = store.runs.writer(one.id)
        if writer is not None:
            raise ConversationBusy(
                f"{agent.name} is at work: {one.id} is in use by {writer.described()}.", hint="End that first."
            )
    use, passages = store.agents.use().get(agent.id), store.passages.count(agent.id)
    await store.agents.delete(agent.id)
    count = use.conversations if use else 0
    said = (
        f"{agent.name} ({agent.id}) is deleted. Its memory, {many(passages, 'passage')} and "
        f"{many(count, 'conversation')} are kept for {KEPT_DAYS} days and then removed for good. "
        f"Until then `letta-code agents restore {agent.id}` brings it back."
    )
    if store.agents.default() is None:
        said += " It was the last agent: the next start makes a new one that knows nothing."
    return said


async def purge_agents(store: Store, paths: Paths) -> tuple[str, ...]:
    """Remove for good what was deleted long enough ago; sentences about it, also about what could not be removed.

    Not for the way to a first request.
    """
    if store.read_only:
        return ()
    try:
        purged = await store.purge_agents()
        if purged.agents:
            # The index holds their words too; it is made anew from what is left when something is searched.
            from letta_code.store import text_index

            text_index.throw_away(paths.index)
    except (LettaError, OSError) as error:
        return (f"What was deleted more than {KEPT_DAYS} days ago could not be removed: {error}",)
    gone = (f"{one.name} ({one.id}), deleted on {one.deleted_at[:10]}, was removed for good." for one in purged.agents)
    left = (f"{one.path} of a removed agent is still there: {one.why}. Remove it yourself." for one in purged.left)
    return (*gone, *left)


class AgentRow(Value, omit_defaults=False):
    """An agent as a list shows it; times are UTC, `here` says that this folder uses it, `blocks` count its own."""

    id: str
    name: str
    description: str
    blocks: int
    characters: int
    passages: int
    conversations: int
    last_used: str
    created_at: str
    deleted_at: str
    here: bool


def agent_rows(store: Store, paths: Paths, settings: Settings, cwd: str, *, deleted: bool = False) -> list[AgentRow]:
    """All agents, the one that this folder uses first, then those used last; reads each one's memory."""
    from letta_code.memory.blocks import Blocks

    use, here = store.agents.use(), _here(store, paths, settings, cwd)
    rows: list[AgentRow] = []
    for agent in store.agents.list(deleted=deleted):
        used = use.get(agent.id)
        blocks = [block for block in Blocks(paths.home, agent.id).view().blocks if block.value]
        rows.append(
            AgentRow(
                id=agent.id,
                name=agent.name,
                description=agent.description,
                blocks=len(blocks),
                characters=sum(block.chars for block in blocks),
                passages=store.passages.count(agent.id),
                conversations=used.conversations if used else 0,
                last_used=used.last_used if used else "",
                created_at=agent.created_at,
                deleted_at=agent.deleted_at,
                here=agent.id == here,
            )
        )
    rows.sort(key=lambda row: row.last_used or row.created_at, reverse=True)
    return sorted(rows, key=lambda row: not row.here)


def _here(store: Store, paths: Paths, settings: Settings, cwd: str) -> str:
    """The id of the agent that a start in this folder would be with; "" while there is none."""
    try:
        agent = chosen_agent(store, paths, settings, cwd) or store.agents.default()
    except UsageError:
        return ""
    return agent.id if agent else ""
