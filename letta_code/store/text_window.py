"""Text window: what of the text index is looked at, and how SQLite is told."""

from __future__ import annotations

from letta_code.core.messages import Value
from letta_code.store.dialect import SqlValue


class Spoken(Value, frozen=True):
    """What of an event is searched: its role, message id and text."""

    role: str
    message_id: str
    text: str


class Window(Value, frozen=True):
    """Which entries are looked at: all filters hold before any is counted.

    `start` and `end` are UTC times (`end` itself is outside), "" for none; `tags` as `all` or any of them.  `but_from`
    leaves out a conversation from an event on, and the copies of those messages in the conversation it was forked from.
    """

    agent_id: str
    start: str = ""
    end: str = ""
    roles: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    all_tags: bool = False
    but_from: tuple[str, int] | None = None


def _times(window: Window, table: str) -> tuple[list[str], list[SqlValue]]:
    where, values = [f"{table}.agent_id = ?"], list[SqlValue]([window.agent_id])
    if window.start:
        where.append(f"{table}.at >= ?")
        values.append(window.start)
    if window.end:
        where.append(f"{table}.at < ?")
        values.append(window.end)
    return where, values


def message_filter(window: Window) -> tuple[str, list[SqlValue]]:
    """The condition on `messages m`, and its values."""
    where, values = _times(window, "m")
    for column, wanted in (("role", window.roles), ("conversation_id", window.conversations)):
        if wanted:
            where.append(f"m.{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    if window.but_from:
        where.append(
            "NOT (m.conversation_id = ? AND m.seq >= ?) AND (m.message_id = '' OR m.message_id NOT IN "
            "(SELECT c.message_id FROM messages c WHERE c.conversation_id = ? AND c.seq >= ?))"
        )
        values += [*window.but_from, *window.but_from]
    return " AND ".join(where), values


def passage_filter(window: Window) -> tuple[str, list[SqlValue]]:
    """The condition on `passages p`, and its values."""
    where, values = _times(window, "p")
    if window.tags:
        marks = ", ".join("?" * len(window.tags))
        count = len(set(window.tags)) if window.all_tags else 1
        where.append(f"(SELECT COUNT(DISTINCT value) FROM json_each(p.tags) WHERE value IN ({marks})) >= {count}")
        values += window.tags
    return " AND ".join(where), values
