"""Rebuild: conversations that the database does not have, put back from their readable mirrors byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from letta_code.core.events import ConversationStarted, Event, RunStarted, decode, type_of
from letta_code.core.ids import utc_now
from letta_code.core.messages import Value
from letta_code.store.agents import DEFAULT_NAME, Agent, insert_agent
from letta_code.store.dialect import Database
from letta_code.store.marker import MARKER, Marker, is_whole, marked
from letta_code.store.mirror import StoredRow, is_mirror
from letta_code.store.salvage import MirrorProblem, read_mirror
from letta_code.store.summary import Summary, is_conversation_id, once_names, start_conversation

Told: TypeAlias = tuple[StoredRow, Event]  # a row and what it says


class Rebuilt(Value, frozen=True):
    """What was put back: how many conversations and events; `problems` is what was set aside, by file."""

    conversations: int
    events: int
    problems: dict[str, tuple[MirrorProblem, ...]]


def mirrors(directory: Path) -> Iterator[Path]:
    """The mirrors of a folder, by the look of their first bytes: other programs may keep files there too."""
    if directory.is_dir():
        yield from (path for path in sorted(directory.glob("*.jsonl")) if is_mirror(path))


def put_back_agents(database: Database, agents_dir: Path) -> tuple[int, tuple[str, ...]]:
    """Put back the agents that the database does not have from the markers of their folders.

    Returns how many, and sentences on markers that are not whole.  A marker of the first versions does not know the
    agent's name: it gets the default one.
    """
    count, torn = 0, list[str]()
    with database.transaction():
        known = {row[0] for row in database.query("SELECT id FROM agents")}
        for marker in marked(agents_dir):
            if marker.id not in known:
                count += 1
                if not is_whole(agents_dir / marker.id):
                    torn.append(_torn(agents_dir / marker.id / MARKER, marker))
                insert_agent(
                    database,
                    Agent(
                        id=marker.id,
                        name=marker.name or DEFAULT_NAME,
                        created_at=marker.created_at,
                        updated_at=marker.created_at,
                        description=marker.description,
                        deleted_at=marker.deleted_at,
                    ),
                )
    return count, tuple(torn)


def _torn(path: Path, marker: Marker) -> str:
    lost = "" if marker.name else f" Its agent's name is lost: `letta-code agents rename {marker.id} NAME` gives one."
    return f"{path} is damaged and was read as far as it can be.{lost}"


def rebuild(database: Database, directory: Path, agent_name: str, only: Sequence[Path] | None = None) -> Rebuilt:
    """Put back every conversation of the folder (or of `only` some of its files) that the database does not have.

    A writer's job.

    Any process may do it at the same time, or go on where one was cut off.  Mirrors are only read.  An event that is
    lost leaves its place empty; reading tells it as a notice.  Agents that are not there come back under their ids,
    with `agent_name` as their name.  Each conversation is its own commit.  Raises `StoreError`.
    """
    conversations = events = 0
    problems: dict[str, tuple[MirrorProblem, ...]] = {}
    for path in mirrors(directory) if only is None else only:
        if _is_there(database, path.stem):
            continue
        told, wrong = _read(path)
        if wrong:
            problems[path.name] = tuple(wrong)
        if told and _put_back(database, path.stem, told, agent_name):
            conversations += 1
            events += len(told)
    return Rebuilt(conversations=conversations, events=events, problems=problems)


def _is_there(database: Database, conversation_id: str) -> bool:
    return bool(database.query("SELECT 1 FROM conversations WHERE id = ?", [conversation_id]))


def _read(path: Path) -> tuple[list[Told], list[MirrorProblem]]:
    """The events that can be put back, and what is set aside: one bad file must not keep the others out."""
    if not is_conversation_id(path.stem):
        return [], [MirrorProblem(line=0, text="its name cannot be a conversation's id")]
    try:
        rows, wrong = read_mirror(path)
    except OSError as error:
        return [], [MirrorProblem(line=0, text=str(error))]
    told: list[Told] = []
    for row in rows:
        try:
            told.append((row, checked(decode(row.body))))
        except (ValueError, msgspec.DecodeError) as error:
            wrong.append(MirrorProblem(line=0, text=f"event {row.seq}: {error}"))
    return told, wrong


def checked(event: Event) -> Event:
    """The event, if it can be put back; raises `ValueError`."""
    if isinstance(event, RunStarted) and not event.run_id:
        raise ValueError("a run without an id")
    return event


def _put_back(database: Database, conversation_id: str, told: list[Told], agent_name: str) -> bool:
    started = _start_of(conversation_id, [event for _, event in told])
    with database.transaction():
        if _is_there(database, conversation_id):  # another process was quicker
            return False
        if not database.query("SELECT 1 FROM agents WHERE id = ?", [started.agent_id]):
            at = started.at or utc_now()
            insert_agent(database, Agent(id=started.agent_id, name=agent_name, created_at=at, updated_at=at))
        insert_conversation(database, started, told)
    return True


def insert_conversation(
    database: Database, started: ConversationStarted, told: Sequence[Told], *, runs: bool = True
) -> None:
    """Make the rows of a conversation that `started` began, from its events; inside a transaction.

    `runs` says whether its runs are noted as well; those that a fork copied are the original's.  Raises `StoreError`.
    """
    conversation_id = started.conversation_id
    start_conversation(database, started, started.at or utc_now())
    summary = Summary(database, conversation_id)
    copied = started.seq if started.forked_from else 0
    for row, event in told:
        insert_event(database, conversation_id, row, event)
        summary.see(event)
        if runs and row.seq > copied:
            summary.see_run(event, event.at, None)
    last, event = told[-1]
    summary.save(last.seq, event.at)


def _start_of(conversation_id: str, events: list[Event]) -> ConversationStarted:
    """How the conversation began; a fork's own start comes after the events that it copied."""
    starts = [event for event in events if isinstance(event, ConversationStarted)]
    own = [event for event in starts if event.conversation_id == conversation_id]
    if own:
        return own[0]
    agent_id = starts[0].agent_id if starts else "agent-restored"
    return ConversationStarted(
        conversation_id=conversation_id, agent_id=agent_id, cwd=starts[0].cwd if starts else "/", version=""
    )


def insert_event(database: Database, conversation_id: str, row: StoredRow, event: Event) -> None:
    """Make the row of an event as it was, inside a transaction."""
    run_id = getattr(event, "run_id", "")  # an event of a newer version has none that we could know
    database.query(
        "INSERT INTO events (conversation_id, seq, type, run_id, at, crc, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [conversation_id, row.seq, type_of(event), run_id, event.at, row.crc, row.body],
    )
    name, _ = once_names(event)
    if name:
        database.query(
            "INSERT INTO event_keys (conversation_id, name, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [conversation_id, name, row.seq],
        )
