"""Rebuild: conversations that the database does not have, put back from their readable mirrors byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from letta_code.core.events import ConversationStarted, Event, decode, type_of
from letta_code.core.ids import utc_now
from letta_code.core.messages import Value
from letta_code.store.agents import insert_agent
from letta_code.store.dialect import Database
from letta_code.store.mirror import StoredRow, is_mirror
from letta_code.store.salvage import MirrorProblem, read_mirror
from letta_code.store.summary import Summary, once_names, start_conversation


class Rebuilt(Value, frozen=True):
    """What was put back: how many conversations and events; `problems` is what was set aside, by file."""

    conversations: int
    events: int
    problems: dict[str, tuple[MirrorProblem, ...]]


def mirrors(directory: Path) -> Iterator[Path]:
    """The mirrors of a folder, by the look of their first bytes: other programs may keep files there too."""
    if directory.is_dir():
        yield from (path for path in sorted(directory.glob("*.jsonl")) if is_mirror(path))


def rebuild(database: Database, directory: Path, agent_name: str) -> Rebuilt:
    """Put back every conversation of the folder that the database does not have; a writer's job.

    Mirrors are only read.  An event that is lost leaves its place empty; reading tells it as a notice.  Agents come
    back under their ids, with `agent_name` as their name.  Each conversation is its own commit.  Raises `StoreError`.
    """
    conversations = events = 0
    problems: dict[str, tuple[MirrorProblem, ...]] = {}
    for path in mirrors(directory):
        try:
            rows, wrong = read_mirror(path)
        except OSError as error:
            rows, wrong = [], [MirrorProblem(line=0, text=str(error))]
        if wrong:
            problems[path.name] = tuple(wrong)
        if rows and _put_back(database, path.stem, rows, agent_name):
            conversations += 1
            events += len(rows)
    return Rebuilt(conversations=conversations, events=events, problems=problems)


def _put_back(database: Database, conversation_id: str, rows: list[StoredRow], agent_name: str) -> bool:
    if database.query("SELECT 1 FROM conversations WHERE id = ?", [conversation_id]):
        return False
    events = [decode(row.body) for row in rows]
    started = _start_of(conversation_id, events)
    with database.transaction():
        if not database.query("SELECT 1 FROM agents WHERE id = ?", [started.agent_id]):
            insert_agent(database, started.agent_id, agent_name, started.at or utc_now())
        start_conversation(database, started, started.at or utc_now())
        summary = Summary(database, conversation_id)
        copied = started.seq if started.forked_from else 0  # what a fork copied were the original's runs
        for row, event in zip(rows, events, strict=True):
            _insert(database, conversation_id, row, event)
            summary.see(event)
            if row.seq > copied:
                summary.see_run(event, event.at, None)
        summary.save(rows[-1].seq, events[-1].at)
    return True


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


def _insert(database: Database, conversation_id: str, row: StoredRow, event: Event) -> None:
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
