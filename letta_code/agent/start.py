"""Start: puts a session together from the store, the settings, the workspace and the model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec.structs import replace

from letta_code.agent.facts import project_root
from letta_code.agent.forking import forebears
from letta_code.agent.heartbeat import Heartbeat
from letta_code.agent.history import History
from letta_code.agent.live.door import LateDoor, socket_path
from letta_code.agent.logfile import log_to
from letta_code.agent.looked import Looked
from letta_code.agent.mending import mended, open_store
from letta_code.agent.place import Place
from letta_code.agent.port import SessionOptions
from letta_code.agent.printed import Printed
from letta_code.agent.redaction import secrets_of
from letta_code.agent.roster import choose_agent, chosen_agent
from letta_code.agent.session import OpenModel, Session
from letta_code.agent.trees import Trees
from letta_code.agent.workers import Workers, revive_later
from letta_code.config.credentials import Credentials
from letta_code.config.paths import Paths
from letta_code.config.settings import CheckpointSettings, with_saved_endpoints
from letta_code.core import events as ev
from letta_code.core.errors import StoreDamaged, UsageError
from letta_code.core.ids import new_id
from letta_code.host.allocator import collection_paused, few_arenas
from letta_code.host.locks import FileLock
from letta_code.llm.connect import open_model
from letta_code.llm.model import ChatModel
from letta_code.llm.tokens import TokenCounter
from letta_code.memory.block import project_key
from letta_code.memory.desk import Desk
from letta_code.memory.opening import open_desk
from letta_code.safety.vault import Secrets
from letta_code.store.agents import Agent
from letta_code.store.database import Store

REVIVE_SECONDS = 1.5  # after the start of a face: then runs in the background that nobody goes on with are begun again


class StoredConversation:
    """The store seen from one conversation: what a session calls its journal."""

    def __init__(
        self, store: Store, conversation_id: str, lock: FileLock | None, known: Sequence[ev.Event] = ()
    ) -> None:
        """`known` are its events, if they were read just now: they serve the first reader, and are then let go."""
        self.store = store
        self.conversation_id = conversation_id
        self._lock = lock
        self._known = known
        self._heart = Heartbeat(lock) if lock is not None else None
        self.chores: list[asyncio.Task[None]] = []  # what is given up when the conversation is closed

    async def append(self, events: Sequence[ev.KnownEvent]) -> Sequence[ev.KnownEvent]:
        """Keep events in one commit."""
        stored = await self.store.append(self.conversation_id, events)
        if self._heart is not None:
            self._heart.hear(stored)
        return stored

    async def answer(self, event: ev.RequestAnswered) -> tuple[ev.RequestAnswered, bool]:
        """Keep the first answer to a request."""
        stands = await self.store.answer(self.conversation_id, event)
        return stands, replace(stands, seq=0, at="") == event

    async def read(self, after: int, until: int) -> Sequence[ev.Event]:
        """Stored events with `after < seq <= until`; read off the event loop."""
        known, self._known = self._known, ()
        if known and known[-1].seq >= until:
            return [event for event in known if after < event.seq <= until]
        if after >= until:
            return ()
        stored = await asyncio.to_thread(self.store.read, self.conversation_id, after)
        return [one.event for one in stored if one.seq <= until]

    async def close(self) -> None:
        """Let others write this conversation."""
        for chore in self.chores:
            chore.cancel()
        await asyncio.gather(*self.chores, return_exceptions=True)
        if self._heart is not None:
            self._heart.stop()
        if self._lock is not None:
            self._lock.release()
        await asyncio.to_thread(self.store.close)


async def start_session(options: SessionOptions, *, paths: Paths | None = None, goes_on: bool = True) -> Session:
    """Open a conversation: a new one, the newest of the folder (`last`), or one by its id.

    A run that was given to this process, or that goes on without a face and lost its own, is gone on with at once
    (unless not `goes_on`).

    Raises `UsageError` when there is no such conversation, `ConversationBusy` when another process writes it,
    `StoreError` when the store cannot be opened.
    """
    if options.interactive:
        few_arenas()  # it may live for days; a run without a person starts quicker
    paths = (paths or Paths.find()).ensure()
    secrets = secrets_of(paths)
    log_to(paths.logs, secrets)
    store = open_store(paths, secrets)
    try:
        return await _open(store, options, paths, secrets, goes_on=goes_on)
    except StoreDamaged as error:  # a page that opening did not read
        store.close()
        store = mended(paths, error, secrets)
    except BaseException:
        store.close()
        raise
    try:
        return await _open(store, options, paths, secrets, goes_on=goes_on)
    except BaseException:
        store.close()
        raise


async def _open(store: Store, options: SessionOptions, paths: Paths, secrets: Secrets, *, goes_on: bool) -> Session:
    conversation_id, known = choose_conversation(store, options, paths)
    notices: list[str] = []
    lock = store.acquire_writer(conversation_id, options.face)
    try:
        history = History()
        with collection_paused():
            events = [stored.event for stored in store.read(conversation_id)] if known else []
            history.extend(events)
        agent = store.agents.get(history.started.agent_id) if history.started else None
        if agent is not None and agent.deleted_at:
            raise UsageError(
                f"The agent of this conversation, {agent.name}, was deleted.",
                hint=f"`letta-code agents restore {agent.name}` brings it back with all its conversations.",
            )
        if agent is not None and options.agent:
            _same_agent(store, agent, options.agent)
        if agent is None:
            agent = await choose_agent(store, paths, options.settings, options.cwd, notices.append)
        journal = StoredConversation(store, conversation_id, lock, events)
        session = await _session(
            journal, history, agent, options, paths, secrets=secrets, found=notices, before=forebears(events)
        )
        if goes_on and history.run is not None:  # it was given to us, or goes on by itself
            await session.go_on()
        if options.face != "worker":
            journal.chores.append(asyncio.create_task(revive_later(store, paths, REVIVE_SECONDS), name="revive"))
        return session
    except BaseException:
        lock.release()
        raise


def _same_agent(store: Store, agent: Agent, wanted: str) -> None:
    """A conversation stays with its agent: another one would read it with memory that is not its own."""
    if store.agents.choose(wanted).id != agent.id:
        raise UsageError(
            f"This conversation is {agent.name}'s, not {wanted}'s.",
            hint=f"Leave --agent out to go on with {agent.name}, or start a new conversation with {wanted}.",
        )


async def _session(
    journal: StoredConversation,
    history: History,
    agent: Agent,
    options: SessionOptions,
    paths: Paths,
    *,
    secrets: Secrets,
    found: Sequence[str],
    before: Mapping[str, int],
) -> Session:
    root = project_root(options.cwd)
    desk = open_desk(journal.store, paths.home, agent.id, root, journal.conversation_id, name=agent.name, known=before)
    place = _place(options, paths, history, desk)
    credentials = Credentials(paths)
    if paths.credentials.exists():
        credentials.names()  # reads the file, so that what is wrong with it can be told
    stored = [ev.Notice(level="warning", text=text, code="store") for text in (*journal.store.notices, *found)]
    vault = secrets.vault(journal.conversation_id)
    session = Session(
        conversation_id=journal.conversation_id,
        agent_id=agent.id,
        agent=_named(journal.store, agent),
        options=options,
        journal=journal,
        history=history,
        surroundings=place,
        open_model=_opener(options, paths, credentials, secrets),
        counter=TokenCounter(),
        store=journal.store,
        notices=(*stored, *place.notices, *credentials.notices),
        quiet=_upkeep(journal.store, paths, options.settings.checkpoints),
        printed=Printed(paths.cache / "printed" / journal.conversation_id),
        vault=vault,
        looked=Looked(paths.cache / "looked" / journal.conversation_id, lambda: vault.known),
        trees=Trees(paths.checkpoints / project_key(root), root, paths.home),
    )
    session.handover.workers = Workers(paths)
    if history.run is not None or history.open_calls or history.open_requests:
        from letta_code.agent.recovery import recover

        await recover(session)
    if history.rewinding is not None:
        from letta_code.agent.rewinding.acting import close_cut_off

        await close_cut_off(session)
    session.door = LateDoor(session, socket_path(paths, journal.conversation_id))
    return session


def _named(store: Store, agent: Agent) -> Callable[[], tuple[str, bool]]:
    def named() -> tuple[str, bool]:
        agents = store.agents.list()
        return next((one.name for one in agents if one.id == agent.id), agent.name), len(agents) > 1

    return named


def _upkeep(store: Store, paths: Paths, checkpoints: CheckpointSettings) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        from letta_code.agent.upkeep import keep_up

        await keep_up(store, paths, checkpoints)

    return work


def choose_conversation(store: Store, options: SessionOptions, paths: Paths) -> tuple[str, bool]:
    """The id of the conversation that is meant, and whether it is stored already; raises `UsageError`."""
    wanted = options.conversation
    if not wanted:
        return new_id("conv"), False
    if wanted == "last":
        agent = chosen_agent(store, paths, options.settings, options.cwd)
        latest = store.conversations.latest_for(options.cwd, agent.id if agent else "")
        if latest is None:
            raise _nothing_to_continue(store, options.cwd, agent)
        return latest.id, True
    if store.conversations.get(wanted) is None:
        raise UsageError(f"There is no conversation {wanted}.", hint="`letta-code conversations` lists them.")
    return wanted, True


def _nothing_to_continue(store: Store, cwd: str, agent: Agent | None) -> UsageError:
    newest = store.conversations.latest_for(cwd) if agent else None
    whose = store.agents.get(newest.agent_id) if newest else None
    if agent is None or newest is None or whose is None:
        return UsageError(f"There is no conversation in {cwd} yet.", hint="Start one without --continue.")
    return UsageError(
        f"There is no conversation of {agent.name} in {cwd}; the newest there is {whose.name}'s.",
        hint=f"Go on with that: letta-code --resume {newest.id}. Or start one without --continue.",
    )


def _place(options: SessionOptions, paths: Paths, history: History, desk: Desk) -> Place:
    place = Place(options, paths, desk)
    place.permissions.taints = lambda: history.taints
    for answer in history.approvals:
        if answer.remember == "conversation":
            place.remember(answer)
    return place


def _opener(options: SessionOptions, paths: Paths, credentials: Credentials, secrets: Secrets) -> OpenModel:
    first = [credentials]  # it was read already; later ones read what was saved meanwhile

    async def open_named(name: str) -> ChatModel:
        settings = with_saved_endpoints(options.settings, paths)
        keys = first.pop() if first else Credentials(paths)

        def key_of(endpoint: str, env_name: str = "") -> str:
            key = keys.get(endpoint, env_name)
            secrets.know(key)  # whatever it looks like
            return key

        return await asyncio.to_thread(open_model, name, settings, key_of)

    return open_named
