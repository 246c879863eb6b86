"""Roster: which agent a start is with, and what a person does with agents; the project remembers its choice."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from letta_code.agent.facts import project_root
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings
from letta_code.core.errors import ConfigError, ConversationBusy, UsageError
from letta_code.core.messages import Value
from letta_code.safety.remembered import project_file
from letta_code.store.agents import KEPT_DAYS, Agent
from letta_code.store.database import Store

_NAME = "agent"
_LARGEST = 4096


class ProjectAgent(Value):
    """`projects/<key>/agent` in letta-code's home; `root` is the real path, so that people can read whose it is."""

    root: str
    agent: str


async def choose_agent(
    store: Store, paths: Paths, settings: Settings, cwd: str, tell: Callable[[str], None] = lambda text: None
) -> Agent:
    """The agent of a new conversation: the setting's, else the project's, else the default, which is made if missing.

    `tell` gets a sentence when the project's agent is gone.  Raises `UsageError` that lists the agents when the
    setting (`--agent`, LETTA_AGENT, config.yaml) names none.
    """
    if settings.agent:
        return store.agents.choose(settings.agent)
    remembered = remembered_agent(paths, cwd)
    if remembered:
        agent = store.agents.get(remembered)
        if agent is not None and not agent.deleted_at:
            return agent
        name = f"{agent.name} was deleted" if agent is not None else f"{remembered} is not there"
        tell(f"The agent of this folder, {name}: another one is used. `letta-code agents use NAME` chooses.")
    return await store.agents.ensure_default()


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


def remembered_agent(paths: Paths, cwd: str) -> str:
    """The id of the agent that the project at or above a folder uses, "" for none; an unreadable file is none."""
    try:
        with open(_file(paths, cwd), "rb") as file:
            return msgspec.json.decode(file.read(_LARGEST), type=ProjectAgent).agent
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
    _check_free(store, name)
    return await store.agents.create(name, description)


async def rename_agent(store: Store, agent: Agent, name: str) -> Agent:
    """Another name, which no other has; raises `UsageError`, `StoreError`."""
    _check_free(store, name, agent.id)
    return await store.agents.rename(agent.id, name)


def _check_free(store: Store, name: str, but: str = "") -> None:
    low = " ".join(name.split()).casefold()
    for other in store.agents.list():
        if other.name.casefold() == low and other.id != but:
            raise UsageError(
                f"There is an agent called {other.name} already ({other.id}).", hint="Choose another name."
            )


async def delete_agent(store: Store, agent: Agent, *, is_open: bool = False) -> str:
    """Delete an agent and say what that means; `is_open` says that a conversation of it is open here.

    Raises `UsageError` then, `ConversationBusy` while another process writes one of its conversations, `StoreError`.
    """
    if is_open:
        raise UsageError(
            f"{agent.name} is the agent of this conversation.", hint="Open one of another agent first: /agents use NAME"
        )
    for one in store.conversations.list(agent_id=agent.id, limit=1000, empty=True):
        writer = store.runs.writer(one.id)
        if writer is not None:
            raise ConversationBusy(
                f"{agent.name} is at work: {one.id} is in use by {writer.described()}.", hint="End that first."
            )
    use, passages = store.agents.use().get(agent.id), store.passages.count(agent.id)
    await store.agents.delete(agent.id)
    count = use.conversations if use else 0
    said = (
        f"{agent.name} ({agent.id}) is deleted. Its memory, {passages} passages and {count} conversations are kept for "
        f"{KEPT_DAYS} days and then removed for good. Until then `letta-code agents restore {agent.id}` brings it back."
    )
    if store.agents.default() is None:
        said += " It was the last agent: the next start makes a new one that knows nothing."
    return said


async def purge_agents(store: Store, paths: Paths) -> tuple[str, ...]:
    """Remove for good what was deleted long enough ago; sentences about it.  Not for the way to a first request."""
    if store.read_only:
        return ()
    gone = await store.purge_agents()
    if gone:
        # The index holds their words too; it is made anew from what is left when something is searched.
        for path in paths.index.glob("text-*"):
            path.unlink(missing_ok=True)
    return tuple(
        f"{agent.name} ({agent.id}), deleted on {agent.deleted_at[:10]}, was removed for good." for agent in gone
    )


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
    if settings.agent:
        try:
            return store.agents.choose(settings.agent).id
        except UsageError:
            return ""
    remembered = remembered_agent(paths, cwd)
    agent = store.agents.get(remembered) if remembered else None
    if agent is not None and not agent.deleted_at:
        return agent.id
    default = store.agents.default()
    return default.id if default else ""


async def fork_conversation(store: Store, paths: Paths, conversation_id: str, title: str = "") -> str:
    """A copy of a conversation with its own blocks of memory, under a new id, which is returned.

    `title` is the copy's ("" for the same with a mark).  Raises `StoreError`, `BlockError`.
    """
    import asyncio

    source = store.conversations.get(conversation_id)
    if source is None or not source.last_seq:
        raise UsageError("There is nothing to fork yet: nothing was said.")
    copy = await store.conversations.copy(conversation_id)
    await asyncio.to_thread(_copy_blocks, paths, source.agent_id, source.id, copy.id)
    await store.conversations.rename(copy.id, title or f"{source.name} (fork)")
    return copy.id


def _copy_blocks(paths: Paths, agent_id: str, old: str, new: str) -> None:
    from letta_code.memory.block import CONVERSATIONS
    from letta_code.memory.folder import Folder
    from letta_code.memory.provenance import PROGRAM, Provenance, message

    folder = Folder(paths.agents / agent_id / "memory")
    head = folder.head()
    files = folder.repository.files(head, f"{CONVERSATIONS}/{old}") if head else {}
    if not files:
        return
    with folder.writing(("",)):
        head = folder.head()
        own = len(f"{CONVERSATIONS}/{old}/")
        changes = {f"{CONVERSATIONS}/{new}/{path[own:]}": folder.blob(path, sha) for path, sha in files.items()}
        text = message(f"fork of {old}", Provenance(source=PROGRAM, conversation=new))
        folder.commit({**changes}, text, "letta-code", head)
