"""Short ways to say what the store's tests need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw

from letta_code.core.events import ConversationStarted, Notice, UserMessage
from letta_code.core.messages import TextPart
from letta_code.store.database import Store
from tests.fakes.redaction import NoSecrets

REPOSITORY = Path(__file__).resolve().parents[2]


def open_store(home: Path, *, read_only: bool = False) -> Store:
    """The store of a home, with mirrors and agents' folders."""
    return Store.open(
        home / "letta.db",
        conversations_dir=home / "conversations",
        agents_dir=home / "agents",
        run_dir=home / "run",
        read_only=read_only,
        redactor=NoSecrets(),
    )


def started(conversation_id: str, agent_id: str, cwd: str = "/work") -> ConversationStarted:
    """The first event of a conversation."""
    return ConversationStarted(conversation_id=conversation_id, agent_id=agent_id, cwd=cwd, version="0.1.0")


def said(text: str, client_id: str = "") -> UserMessage:
    """What a person said."""
    return UserMessage(message_id=f"msg-{text[:20]}", content=(TextPart(text=text),), client_id=client_id)


def note(text: str) -> Notice:
    """An event that changes nothing but the journal."""
    return Notice(level="info", text=text)


def raw_sql(home: Path, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Change or read the database behind the store's back, as damage or another program would."""
    connection = apsw.Connection(str(home / "letta.db"))
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def worker(*arguments: object) -> subprocess.Popen[str]:
    """Start `tests/store/worker.py` as a process of its own."""
    command = [sys.executable, "-m", "tests.store.worker", *map(str, arguments)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
