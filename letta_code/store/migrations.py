"""The tables, as numbered migrations: each is applied once, in order, in one transaction with its number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from letta_code.core.errors import StoreError
from letta_code.core.ids import utc_now
from letta_code.core.messages import Value
from letta_code.store.dialect import Database


class Migration(Value, frozen=True):
    """A step from the version before to `number`: plain SQL statements.  A released one is never changed."""

    number: int
    name: str
    statements: tuple[str, ...]


FIRST = Migration(
    number=1,
    name="agents, conversations, events, runs",
    statements=(
        """CREATE TABLE agents (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL)""",
        # last_seq makes seq gapless: it moves in the transaction that adds the events.
        """CREATE TABLE conversations (
            id TEXT PRIMARY KEY, agent_id TEXT NOT NULL REFERENCES agents (id), cwd TEXT NOT NULL,
            title TEXT NOT NULL, opening TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
            last_seq BIGINT NOT NULL, message_count BIGINT NOT NULL, forked_from TEXT NOT NULL)""",
        "CREATE INDEX conversations_by_agent ON conversations (agent_id, updated_at)",
        "CREATE INDEX conversations_by_cwd ON conversations (cwd, updated_at)",
        """CREATE TABLE events (
            conversation_id TEXT NOT NULL REFERENCES conversations (id), seq BIGINT NOT NULL, type TEXT NOT NULL,
            run_id TEXT NOT NULL, at TEXT NOT NULL, crc BIGINT NOT NULL, body BYTEA NOT NULL,
            PRIMARY KEY (conversation_id, seq))""",
        # What may happen once only: a message by its client's id, an answer by its request's.
        """CREATE TABLE event_keys (
            conversation_id TEXT NOT NULL REFERENCES conversations (id), name TEXT NOT NULL, seq BIGINT NOT NULL,
            PRIMARY KEY (conversation_id, name))""",
        """CREATE TABLE runs (
            id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL REFERENCES conversations (id), status TEXT NOT NULL,
            owner TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT NOT NULL)""",
        "CREATE INDEX runs_by_conversation ON runs (conversation_id, started_at)",
        "CREATE INDEX runs_by_status ON runs (status)",
    ),
)

PASSAGES = Migration(
    number=2,
    name="passages",
    statements=(
        # `change` is what an index has to look after; `tags` is a JSON array.
        """CREATE TABLE passages (
            id TEXT PRIMARY KEY, agent_id TEXT NOT NULL REFERENCES agents (id), content TEXT NOT NULL,
            tags TEXT NOT NULL, digest TEXT NOT NULL, created_at TEXT NOT NULL, conversation_id TEXT NOT NULL,
            seq BIGINT NOT NULL, source TEXT NOT NULL, trust TEXT NOT NULL, deleted_at TEXT NOT NULL,
            change BIGINT NOT NULL)""",
        "CREATE INDEX passages_by_agent ON passages (agent_id, created_at)",
        "CREATE INDEX passages_by_digest ON passages (agent_id, digest)",
        "CREATE INDEX passages_by_change ON passages (change)",
    ),
)

AGENT_TEXTS = Migration(
    number=3,
    name="agents' descriptions and deletion",
    statements=(
        "ALTER TABLE agents ADD COLUMN description TEXT NOT NULL DEFAULT ''",
        # "" while it lives; a deleted one is kept for some weeks, so that it can be brought back.
        "ALTER TABLE agents ADD COLUMN deleted_at TEXT NOT NULL DEFAULT ''",
    ),
)

RUN_OWNERS = Migration(
    number=4,
    name="runs without a face, and how often they were gone on with",
    statements=(
        "ALTER TABLE runs ADD COLUMN background BIGINT NOT NULL DEFAULT 0",
        # How often its owner died and another process went on with it.
        "ALTER TABLE runs ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0",
    ),
)

# A table that is there only while a database made anew waits for its conversations from the mirrors.
_RESTORING = "restoring"

MIGRATIONS: tuple[Migration, ...] = (FIRST, PASSAGES, AGENT_TEXTS, RUN_OWNERS)


def newest(migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """The version that this program writes."""
    return migrations[-1].number


def is_restoring(database: Database) -> bool:
    """Whether conversations are still to be put back, because their restore has not ended or was cut off."""
    return database.has_table(_RESTORING)


def end_restoring(database: Database) -> None:
    """Note that every conversation is back; another process may have done so before."""
    with database.transaction():
        database.query(f"DROP TABLE IF EXISTS {_RESTORING}")


def migrate(
    database: Database, migrations: Sequence[Migration] = MIGRATIONS, was_lost: Callable[[], bool] = lambda: False
) -> Path | None:
    """Bring the file to the newest version; an existing one is copied beside itself before it is changed.

    Returns the copy's path, None when there was nothing to copy.  `was_lost` is asked when the file is made: whether
    there are conversations to be put back.  The caller holds the store's lock.  Raises `StoreError` with the file
    unchanged.
    """
    version = database.schema_version()
    todo = [migration for migration in migrations if migration.number > version]
    if not todo:
        return None
    copy = _copied(database, version) if version else None
    restoring = version == 0 and was_lost()
    for migration in todo:
        with database.transaction():
            if restoring and migration is todo[0]:  # with the first table: nothing can end between the two
                database.query(f"CREATE TABLE {_RESTORING} (since TEXT)")
            for statement in migration.statements:
                database.query(statement)
            database.set_schema_version(migration.number)
    return copy


def _copied(database: Database, version: int) -> Path:
    stamp = utc_now().replace(":", "").replace(".", "")
    copy = database.path.with_name(f"{database.path.name}.version-{version}.{stamp}")
    try:
        database.back_up(copy)
    except OSError as error:
        raise StoreError(
            f"{database.path} was not brought up to date: its copy could not be written ({error})",
            hint="Make room, or check the rights of the folder.",
        ) from error
    return copy
