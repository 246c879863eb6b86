"""Agents: the lasting identities that conversations belong to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from letta_code.core.errors import StoreError, StoreFull, UsageError
from letta_code.core.ids import new_id, utc_now, utc_time
from letta_code.core.messages import Value
from letta_code.host.files import ensure_private_dir
from letta_code.store.dialect import Database, Row, SqlValue
from letta_code.store.engine import Engine
from letta_code.store.marker import MARKER, Marker, write_marker

if TYPE_CHECKING:
    from letta_code.store.purging import Left

KEPT_DAYS = 30  # how long a deleted agent can be brought back
DEFAULT_NAME = "letta"
LONGEST_NAME, LONGEST_DESCRIPTION = 80, 1000  # characters
_COLUMNS = "id, name, created_at, updated_at, description, deleted_at"
_OLDEST = f"SELECT {_COLUMNS} FROM agents WHERE deleted_at = '' ORDER BY created_at, id LIMIT 1"


class Agent(Value, frozen=True):
    """An agent; times are UTC, `deleted_at` is "" while it lives."""

    id: str
    name: str
    created_at: str
    updated_at: str
    description: str = ""
    deleted_at: str = ""


class AgentUse(Value, frozen=True):
    """How much an agent was used: its conversations that hold a message, and when the last one was written (UTC)."""

    conversations: int = 0
    last_used: str = ""


class Purged(Value):
    """What a purge did: agents that are gone for good, and files of theirs that are still there."""

    agents: tuple[Agent, ...] = ()
    left: tuple[Left, ...] = ()


class Agents:
    """The agents of a store; `directory` is where each has its folder (None: no folders are made)."""

    def __init__(self, engine: Engine, directory: Path | None) -> None:
        self._engine = engine
        self._directory = directory

    # ------------------------------------------------------------ reading

    def get(self, agent_id: str) -> Agent | None:
        """One agent by id, deleted or not; None when there is none."""
        return self._first(f"SELECT {_COLUMNS} FROM agents WHERE id = ?", [agent_id])

    def list(self, *, deleted: bool = False) -> list[Agent]:
        """All agents, oldest first; with `deleted` those that were deleted and can still be brought back."""
        sign = "<>" if deleted else "="
        sql = f"SELECT {_COLUMNS} FROM agents WHERE deleted_at {sign} '' ORDER BY created_at, id"
        return [_agent(row) for row in self._engine.reader().query(sql)]

    def default(self) -> Agent | None:
        """The oldest agent, None in a new store."""
        return self._first(_OLDEST)

    def _first(self, sql: str, values: Sequence[SqlValue] = ()) -> Agent | None:
        rows = self._engine.reader().query(sql, values)
        return _agent(rows[0]) if rows else None

    def choose(self, wanted: str, *, deleted: bool = False) -> Agent:
        """The agent that a person means: by its id, its name, or a beginning of either that only one has.

        Raises `UsageError` that lists the agents there are; with `deleted` the deleted ones are meant.
        """
        wanted, found = wanted.strip(), self.list(deleted=deleted)
        low = wanted.casefold()
        for fits in (
            [one for one in found if one.id == wanted],
            [one for one in found if one.name == wanted],
            [one for one in found if one.name.casefold() == low],
            [one for one in found if low and (one.name.casefold().startswith(low) or one.id.startswith(low))],
        ):
            if len(fits) == 1:
                return fits[0]
            if fits:
                raise UsageError(
                    f"{wanted!r} could be any of: {_listed(fits)}.", hint="Give the id of the one you mean."
                )
        what = "deleted agent" if deleted else "agent"
        gone = [] if deleted else [one for one in self.list(deleted=True) if wanted in (one.id, one.name)]
        if gone:
            raise UsageError(
                f"The agent {gone[-1].name} was deleted on {gone[-1].deleted_at[:10]}.",
                hint=f"Bring it back with: letta-code agents restore {gone[-1].id}",
            )
        raise UsageError(
            f"There is no {what} {wanted!r}.", hint=f"There is: {_listed(found)}." if found else "There is none."
        )

    def use(self) -> dict[str, AgentUse]:
        """Agent id → how much it was used, for those that were."""
        sql = (
            "SELECT agent_id, SUM(CASE WHEN message_count > 0 THEN 1 ELSE 0 END), MAX(updated_at) FROM conversations "
            "GROUP BY agent_id"
        )
        rows = self._engine.reader().query(sql)
        return {row[0]: AgentUse(conversations=int(row[1]), last_used=str(row[2])) for row in rows}

    def folder(self, agent_id: str) -> Path | None:
        """The agent's folder if it carries our marker; None for another program's or when there is none."""
        if self._directory is None:
            return None
        folder = self._directory / agent_id
        return folder if (folder / MARKER).is_file() else None

    # ------------------------------------------------------------ writing

    async def ensure_default(self, name: str = DEFAULT_NAME) -> Agent:
        """The oldest agent, made when there is none; two processes that do this at once get the same one."""
        return self.default() or await self._insert(name, "", only_first=True)

    async def create(self, name: str, description: str = "") -> Agent:
        """A new agent; names need not be unique.  Raises `StoreError`, `UsageError` for a name that is none."""
        return await self._insert(good_name(name), good_description(description), only_first=False)

    async def _insert(self, name: str, description: str, *, only_first: bool) -> Agent:
        now = utc_now()
        agent = Agent(id=new_id("agent"), name=name, created_at=now, updated_at=now, description=description)

        def work(database: Database) -> Agent:
            with database.transaction():
                if only_first:
                    rows = database.query(_OLDEST)
                    if rows:
                        return _agent(rows[0])
                self._make_folder(agent)
                insert_agent(database, agent)
            return agent

        return await self._engine.write(work)

    async def rename(self, agent_id: str, name: str) -> Agent:
        """Give an agent another name; raises `StoreError` when there is no such agent, `UsageError`."""
        return await self._set(agent_id, "name", good_name(name))

    async def describe(self, agent_id: str, description: str) -> Agent:
        """Say what an agent is for, for people ("" takes it away); raises `StoreError`."""
        return await self._set(agent_id, "description", good_description(description))

    async def delete(self, agent_id: str) -> Agent:
        """Take an agent out of every list; `restore` brings it back until it is purged.

        Its memory and its conversations stay as they are until then.  Raises `StoreError`.
        """
        return await self._set(agent_id, "deleted_at", utc_now())

    async def restore(self, agent_id: str) -> Agent:
        """Bring a deleted agent back with all that it had; raises `StoreError`."""
        return await self._set(agent_id, "deleted_at", "")

    async def _set(self, agent_id: str, column: str, value: str) -> Agent:
        def work(database: Database) -> Agent:
            with database.transaction():
                sql = f"UPDATE agents SET {column} = ?, updated_at = ? WHERE id = ? RETURNING {_COLUMNS}"
                rows = database.query(sql, [value, utc_now(), agent_id])
                if not rows:
                    raise StoreError(f"There is no agent {agent_id}")
            agent = _agent(rows[0])
            self._mark(agent)
            return agent

        return await self._engine.write(work)

    # ------------------------------------------------------------ the end

    async def purge(self, older_than_days: float = KEPT_DAYS, *, mirrors: Path | None = None) -> Purged:
        """Remove for good the agents that were deleted longer ago, with memory, passages and conversations.

        `mirrors` is the folder of the conversations' readable copies.  A file that cannot be removed is told and tried
        again by the next purge.  Raises `StoreError`.
        """
        from letta_code.store.purging import finish, purge

        before = utc_time(time.time() - older_than_days * 86_400)
        gone: list[Agent] = []
        left: list[Left] = []
        if self._directory is not None and self._directory.is_dir():
            directory = self._directory
            left += await self._engine.write(lambda database: finish(database, directory))
        for agent in self.list(deleted=True):
            if agent.deleted_at >= before:
                continue
            folder = self.folder(agent.id)
            stays = await self._engine.write(
                lambda database, one=agent.id, folder=folder: purge(database, one, before, folder, mirrors)
            )
            if stays is not None:
                gone.append(agent)
                left += stays
        return Purged(agents=tuple(gone), left=tuple(left))

    # ------------------------------------------------------------ folders

    def _make_folder(self, agent: Agent) -> None:
        if self._directory is None:
            return
        folder = self._directory / agent.id
        try:
            if folder.exists():
                raise StoreError(f"{folder} exists already and is not ours")
            ensure_private_dir(folder)
            write_agent_marker(folder, agent)
        except OSError as error:
            raise StoreFull(
                f"{folder} could not be made: {error.strerror}",
                hint=f"Make room, or check the rights of {folder.parent}.",
            ) from error

    def _mark(self, agent: Agent) -> None:
        """Keep the marker current: a lost database gets its agents' names back from there."""
        folder = self.folder(agent.id)
        if folder is None:
            return
        try:
            write_agent_marker(folder, agent)
        except OSError as error:
            raise StoreFull(
                f"The new state of {agent.name} stands in the store, but {folder / MARKER} could not be written: "
                f"{error.strerror}",
                hint="Nothing is lost. Make room, or check the rights of that folder.",
            ) from error


def good_name(name: str) -> str:
    """A name on one line; raises `UsageError` for none, a too long one, or signs that show as nothing."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"An agent's name has 1 to {LONGEST_NAME} visible characters, and {name[:90]!r} is none.")
    return name


def good_description(description: str) -> str:
    """A description on one line; raises `UsageError` for a too long one."""
    description = " ".join("".join(sign if sign.isprintable() else " " for sign in description).split())
    if len(description) > LONGEST_DESCRIPTION:
        raise UsageError(
            f"A description has at most {LONGEST_DESCRIPTION} characters, and this one {len(description)}."
        )
    return description


def _listed(agents: Sequence[Agent]) -> str:
    return ", ".join(f"{one.name} ({one.id})" for one in agents[:20]) + (
        f" and {len(agents) - 20} more" if len(agents) > 20 else ""
    )


def write_agent_marker(folder: Path, agent: Agent) -> None:
    """Write or replace the marker of an agent's folder; raises `OSError`."""
    write_marker(
        folder,
        Marker(
            id=agent.id,
            name=agent.name,
            description=agent.description,
            created_at=agent.created_at,
            deleted_at=agent.deleted_at,
        ),
    )


def _agent(row: Row) -> Agent:
    return Agent(id=row[0], name=row[1], created_at=row[2], updated_at=row[3], description=row[4], deleted_at=row[5])


def insert_agent(database: Database, agent: Agent) -> None:
    """Make an agent's row, inside a transaction."""
    database.query(f"INSERT INTO agents ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", list(msgspec.structs.astuple(agent)))
