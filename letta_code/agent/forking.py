"""Forking: a copy of a conversation with its own blocks of memory, and what the copy knows of what was before it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from letta_code.config.paths import Paths
from letta_code.core.errors import UsageError
from letta_code.core.events import ConversationStarted, Event
from letta_code.store.database import Store


async def fork_conversation(store: Store, paths: Paths, conversation_id: str, title: str = "") -> str:
    """A copy of a conversation with its own blocks of memory, under a new id, which is returned.

    `title` is the copy's ("" for the same with a mark).  Raises `UsageError`, `StoreError`, `BlockError`.
    """
    source = store.conversations.get(conversation_id)
    if source is None or not source.last_seq:
        raise UsageError("There is nothing to fork yet: nothing was said.")
    copy = await store.conversations.copy(conversation_id)
    await asyncio.to_thread(_copy_blocks, paths, source.agent_id, source.id, copy.id)
    await store.conversations.rename(copy.id, title or f"{source.name} (fork)")
    return copy.id


def forebears(events: Iterable[Event]) -> dict[str, int]:
    """The conversations that this one is a copy of → the last seq of each that was copied."""
    found: dict[str, int] = {}
    before = ""
    for event in events:
        if isinstance(event, ConversationStarted):
            if before and event.forked_from == before:
                found[before] = event.seq - 1
            before = event.conversation_id
    return found


def _copy_blocks(paths: Paths, agent_id: str, old: str, new: str) -> None:
    from letta_code.memory.block import CONVERSATIONS
    from letta_code.memory.folder import Folder
    from letta_code.memory.provenance import PROGRAM, Provenance, message

    folder = Folder(paths.agents / agent_id / "memory")
    head = folder.head()
    files = folder.repository.files(head, f"{CONVERSATIONS}/{old}") if head else {}
    if not files:
        return
    with folder.writing(("",)):
        head = folder.head()
        own = len(f"{CONVERSATIONS}/{old}/")
        changes = {f"{CONVERSATIONS}/{new}/{path[own:]}": folder.blob(path, sha) for path, sha in files.items()}
        text = message(f"fork of {old}", Provenance(source=PROGRAM, conversation=new))
        folder.commit({**changes}, text, "letta-code", head)
