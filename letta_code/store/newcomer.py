"""Newcomer: an agent from elsewhere with all that it brings, put into the store in one commit."""

from __future__ import annotations

import zlib
from pathlib import Path

import msgspec

from letta_code.core.errors import StoreError, StoreFull
from letta_code.core.events import ConversationStarted, decode
from letta_code.core.messages import Value
from letta_code.host.files import atomic_write, ensure_private_dir
from letta_code.store.agents import Agent, insert_agent, write_agent_marker
from letta_code.store.append import ConversationInDatabase
from letta_code.store.dialect import Database
from letta_code.store.mirror import Mirror, StoredRow
from letta_code.store.passages import MIRROR, Passage, insert_passage
from letta_code.store.rebuild import Told, insert_conversation


class BroughtConversation(Value, frozen=True):
    """A conversation under its id of here: `bodies` are its events' JSON, with seq 1, 2, 3 … and the agent's new id."""

    id: str
    bodies: tuple[bytes, ...]


class Newcomer(Value, frozen=True):
    """An agent under its id of here, whose folder may have its memory already."""

    agent: Agent
    conversations: tuple[BroughtConversation, ...] = ()
    passages: tuple[Passage, ...] = ()


def admit(database: Database, newcomer: Newcomer, agents_dir: Path | None, mirror: Mirror | None) -> None:
    """Put everything in, all or nothing; a writer's job.  Raises `StoreError`."""
    agent = newcomer.agent
    told = [(one.id, [_told(body) for body in one.bodies]) for one in newcomer.conversations]
    with database.transaction():
        insert_agent(database, agent)
        for name, events in told:
            insert_conversation(database, _start_of(name, agent.id, events), events, runs=False)
        passages = [insert_passage(database, passage) for passage in newcomer.passages]
        if agents_dir is not None:
            _write_files(agents_dir / agent.id, agent, passages)
    if mirror is not None:
        for name, events in told:
            mirror.record(name, [row for row, _ in events], ConversationInDatabase(database, name))


def _told(body: bytes) -> Told:
    event = decode(body)
    return StoredRow(seq=event.seq, crc=zlib.crc32(body), body=body), event


def _start_of(name: str, agent_id: str, told: list[Told]) -> ConversationStarted:
    for _, event in told:
        if isinstance(event, ConversationStarted) and (event.conversation_id, event.agent_id) == (name, agent_id):
            return event
    raise StoreError(f"{name} has no beginning that names its agent")


def _write_files(folder: Path, agent: Agent, passages: list[Passage]) -> None:
    try:
        ensure_private_dir(folder)
        if passages:
            lines = b"".join(msgspec.json.encode(passage) + b"\n" for passage in passages)
            atomic_write(folder / MIRROR, lines)
        write_agent_marker(folder, agent)
    except OSError as error:
        raise StoreFull(
            f"{folder} could not be written: {error.strerror}", hint="Make room, then try again."
        ) from error
