"""What is derived from events: a conversation's row, its runs, and what may happen once only."""

from __future__ import annotations

import msgspec

from letta_code.core.errors import StoreError
from letta_code.core.events import (
    AssistantMessage,
    ConversationRenamed,
    ConversationStarted,
    Event,
    MessageQueued,
    RequestAnswered,
    RequestMade,
    RunDetached,
    RunFinished,
    RunMoved,
    RunResumed,
    RunStarted,
    StopReason,
    UserMessage,
)
from letta_code.core.messages import text_of
from letta_code.host.locks import Owner
from letta_code.store.dialect import Database

OPENING_CHARACTERS = 200
_ID_CHARACTERS = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-")


class RunStatus:
    """The values of a run's status."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"  # for an answer
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    ORPHANED = "orphaned"  # its process died


_END_STATUS = {
    StopReason.ERROR: RunStatus.FAILED,
    StopReason.INTERRUPTED: RunStatus.INTERRUPTED,
    StopReason.ORPHANED: RunStatus.ORPHANED,
}


class Summary:
    """Gathers from events, in order and inside a transaction, what their conversation's rows say about them."""

    def __init__(self, database: Database, conversation_id: str) -> None:
        self._database = database
        self._id = conversation_id
        self._messages = 0
        self._title: str | None = None
        self._opening = ""

    def see(self, event: Event) -> None:
        """Take one event for the conversation's row."""
        match event:
            case UserMessage():
                self._messages += 1
                self._opening = self._opening or _first_line(text_of(event.content))
            case AssistantMessage():
                self._messages += 1
            case ConversationRenamed():
                self._title = event.title
            case _:
                pass

    def see_run(self, event: Event, at: str, owner: Owner | None) -> None:
        """Take one event for the conversation's runs; `owner` is whose process they are."""
        match event:
            case RunStarted():
                self._run_started(event, at, owner)
            case RunDetached():
                sql = "UPDATE runs SET background = ? WHERE id = ? AND conversation_id = ? AND ended_at = ''"
                self._database.query(sql, [int(event.background), event.run_id, self._id])
            case RunMoved():
                self._run_to(event.run_id, status=RunStatus.QUEUED, owner="", background=event.background)
            case RunResumed():
                self._run_to(
                    event.run_id,
                    status=RunStatus.RUNNING,
                    owner=_owner_text(owner),
                    background=event.background,
                    attempts=event.attempt,
                )
            case RunFinished():
                status = _END_STATUS.get(event.reason, RunStatus.FINISHED)
                sql = "UPDATE runs SET status = ?, ended_at = ? WHERE id = ? AND conversation_id = ?"
                self._database.query(sql, [status, at, event.run_id, self._id])
            case RequestMade():
                self._runs_to(RunStatus.WAITING, RunStatus.RUNNING)
            case RequestAnswered():
                self._runs_to(RunStatus.RUNNING, RunStatus.WAITING)
            case _:
                pass

    def _run_started(self, event: RunStarted, at: str, owner: Owner | None) -> None:
        if not event.run_id:
            raise StoreError("A run without an id was to be kept")
        self._database.query(
            "INSERT INTO runs (id, conversation_id, status, owner, started_at, ended_at, background) "
            "VALUES (?, ?, ?, ?, ?, '', ?) "
            # A fork's copied runs stay the original's.
            "ON CONFLICT (id) DO UPDATE SET status = excluded.status, owner = excluded.owner "
            "WHERE runs.conversation_id = excluded.conversation_id",
            [event.run_id, self._id, RunStatus.RUNNING, _owner_text(owner), at, int(event.background)],
        )

    def _run_to(self, run_id: str, *, status: str, owner: str, background: bool, attempts: int | None = None) -> None:
        """An open run changes its owner; one that has ended stays so."""
        self._database.query(
            "UPDATE runs SET status = ?, owner = ?, background = ?, attempts = COALESCE(?, attempts) "
            "WHERE id = ? AND conversation_id = ? AND ended_at = ''",
            [status, owner, int(background), attempts, run_id, self._id],
        )

    def _runs_to(self, status: str, before: str) -> None:
        # The one writer of a conversation has one live run; the answer may come from a face that does not know its id.
        sql = "UPDATE runs SET status = ? WHERE conversation_id = ? AND status = ?"
        self._database.query(sql, [status, self._id, before])

    def save(self, last_seq: int, at: str) -> None:
        """Write the conversation's row."""
        self._database.query(
            "UPDATE conversations SET last_seq = ?, updated_at = ?, message_count = message_count + ?, "
            "title = COALESCE(?, title), opening = CASE WHEN opening = '' THEN ? ELSE opening END WHERE id = ?",
            [last_seq, at, self._messages, self._title, self._opening, self._id],
        )


def once_names(event: Event) -> tuple[str, tuple[str, ...]]:
    """The name under which an event may be kept once ("" for any number), and other names that forbid it too."""
    match event:
        case UserMessage(client_id=client_id) if client_id:
            return f"message:{client_id}", ()
        case MessageQueued(client_id=client_id) if client_id:
            # Delivered already, or at once: sending it again must not queue it.
            return f"queued:{client_id}", (f"message:{client_id}",)
        case RequestAnswered(request_id=request_id):
            return f"answer:{request_id}", ()
        case _:
            return "", ()


def _owner_text(owner: Owner | None) -> str:
    return msgspec.json.encode(owner).decode() if owner else ""


def _first_line(text: str) -> str:
    for line in text.splitlines():
        if line.strip():
            return line.strip()[:OPENING_CHARACTERS]
    return ""


def is_conversation_id(name: str) -> bool:
    """Whether a conversation may be called so; its mirror's file has the same name."""
    return bool(name) and len(name) <= 80 and _ID_CHARACTERS.issuperset(name)


def start_conversation(database: Database, event: ConversationStarted, now: str) -> None:
    """Make the row of a new conversation, inside a transaction; raises `StoreError` for a bad id or unknown agent."""
    name = event.conversation_id
    if not is_conversation_id(name):
        raise StoreError(f"{name!r} cannot be a conversation's id")
    if not database.query("SELECT 1 FROM agents WHERE id = ?", [event.agent_id]):
        raise StoreError(f"There is no agent {event.agent_id}")
    database.query(
        "INSERT INTO conversations (id, agent_id, cwd, title, opening, created_at, updated_at, last_seq, "
        "message_count, forked_from) VALUES (?, ?, ?, '', '', ?, ?, 0, 0, ?)",
        [name, event.agent_id, event.cwd, now, now, event.forked_from],
    )
