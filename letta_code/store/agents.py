"""Agents: the lasting identities that conversations belong to."""

from __future__ import annotations

from pathlib import Path

import msgspec

from letta_code.core.errors import StoreError, StoreFull
from letta_code.core.ids import new_id, utc_now
from letta_code.core.messages import Value
from letta_code.host.files import atomic_write, ensure_private_dir
from letta_code.store.dialect import Database, Row
from letta_code.store.engine import Engine

# Other programs keep folders of the same shape in ~/.letta/agents: one without this file is not ours.
MARKER = ".letta-code-agent"
_COLUMNS = "id, name, created_at, updated_at"


class Agent(Value, frozen=True):
    """An agent; times are UTC."""

    id: str
    name: str
    created_at: str
    updated_at: str


class Agents:
    """The agents of a store; `directory` is where each has its folder (None: no folders are made)."""

    def __init__(self, engine: Engine, directory: Path | None) -> None:
        self._engine = engine
        self._directory = directory

    def get(self, agent_id: str) -> Agent | None:
        """One agent by id, None when there is none."""
        rows = self._engine.reader().query(f"SELECT {_COLUMNS} FROM agents WHERE id = ?", [agent_id])
        return _agent(rows[0]) if rows else None

    def named(self, name: str) -> Agent | None:
        """The oldest agent of a name, None when there is none."""
        sql = f"SELECT {_COLUMNS} FROM agents WHERE name = ? ORDER BY created_at, id LIMIT 1"
        rows = self._engine.reader().query(sql, [name])
        return _agent(rows[0]) if rows else None

    def list(self) -> list[Agent]:
        """All agents, oldest first."""
        return [
            _agent(row) for row in self._engine.reader().query(f"SELECT {_COLUMNS} FROM agents ORDER BY created_at, id")
        ]

    def default(self) -> Agent | None:
        """The oldest agent, None in a new store."""
        sql = f"SELECT {_COLUMNS} FROM agents ORDER BY created_at, id LIMIT 1"
        rows = self._engine.reader().query(sql)
        return _agent(rows[0]) if rows else None

    async def ensure_default(self, name: str = "letta") -> Agent:
        """The oldest agent, made when there is none; two processes that do this at once get the same one."""
        return self.default() or await self._insert(name, only_first=True)

    async def create(self, name: str) -> Agent:
        """A new agent; names need not be unique.  Raises `StoreError`."""
        return await self._insert(name, only_first=False)

    async def _insert(self, name: str, *, only_first: bool) -> Agent:
        now = utc_now()
        agent = Agent(id=new_id("agent"), name=name, created_at=now, updated_at=now)

        def work(database: Database) -> Agent:
            with database.transaction():
                if only_first:
                    rows = database.query(f"SELECT {_COLUMNS} FROM agents ORDER BY created_at, id LIMIT 1")
                    if rows:
                        return _agent(rows[0])
                self._make_folder(agent)
                insert_agent(database, agent.id, agent.name, now)
            return agent

        return await self._engine.write(work)

    async def rename(self, agent_id: str, name: str) -> None:
        """Give an agent another name; raises `StoreError` when there is no such agent."""

        def work(database: Database) -> None:
            with database.transaction():
                sql = "UPDATE agents SET name = ?, updated_at = ? WHERE id = ? RETURNING id"
                if not database.query(sql, [name, utc_now(), agent_id]):
                    raise StoreError(f"There is no agent {agent_id}")

        await self._engine.write(work)

    def folder(self, agent_id: str) -> Path | None:
        """The agent's folder if it carries our marker; None for another program's or when there is none."""
        if self._directory is None:
            return None
        folder = self._directory / agent_id
        return folder if (folder / MARKER).is_file() else None

    def _make_folder(self, agent: Agent) -> None:
        if self._directory is None:
            return
        folder = self._directory / agent.id
        try:
            if folder.exists():
                raise StoreError(f"{folder} exists already and is not ours")
            ensure_private_dir(folder)
            atomic_write(folder / MARKER, msgspec.json.encode({"id": agent.id}) + b"\n", durable=False)
        except OSError as error:
            raise StoreFull(
                f"{folder} could not be made: {error.strerror}",
                hint=f"Make room, or check the rights of {folder.parent}.",
            ) from error


def _agent(row: Row) -> Agent:
    return Agent(id=row[0], name=row[1], created_at=row[2], updated_at=row[3])


def insert_agent(database: Database, agent_id: str, name: str, now: str) -> None:
    """Make an agent's row, inside a transaction."""
    database.query(
        "INSERT INTO agents (id, name, created_at, updated_at) VALUES (?, ?, ?, ?)", [agent_id, name, now, now]
    )
