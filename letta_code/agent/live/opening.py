"""Opening: a conversation for a face: run here where it is free, followed where another process runs it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from letta_code.agent.facts import project_root
from letta_code.agent.forking import forebears
from letta_code.agent.history import History
from letta_code.agent.live.door import socket_path
from letta_code.agent.mending import opened
from letta_code.agent.port import SessionOptions, SessionPort, Status
from letta_code.agent.start import choose_conversation, start_session
from letta_code.agent.workers import Workers
from letta_code.config.paths import Paths
from letta_code.core import events as ev
from letta_code.core.errors import ConversationBusy
from letta_code.llm.tokens import TokenCounter
from letta_code.memory.opening import open_desk

if TYPE_CHECKING:  # loaded when somebody else runs the conversation
    from letta_code.agent.live.attached import AttachedSession
    from letta_code.host.locks import Owner
    from letta_code.store.database import Store

RACE_SECONDS = 2.0  # an owner that ends, or one that only looked whether there is one
RACE_PAUSE = 0.05


async def open_session(options: SessionOptions, *, paths: Paths | None = None) -> SessionPort:
    """The conversation of `options`: a session of this process, or, where another one runs it, that one followed.

    A face tells the two apart by `status.owner`.  Raises what `start_session` raises; `ConversationBusy` only when
    the conversation was neither free nor run by anybody for two seconds.
    """
    paths = (paths or Paths.find()).ensure()
    end = time.monotonic() + RACE_SECONDS
    while True:
        try:
            return await start_session(options, paths=paths)
        except ConversationBusy:
            attached = await attach(options, paths)
            if attached is not None:
                return attached
            if time.monotonic() > end:
                raise
        await asyncio.sleep(RACE_PAUSE)


async def attach(options: SessionOptions, paths: Paths) -> AttachedSession | None:
    """Follow the conversation of `options`; None where nobody runs it.  Raises `UsageError`, `StoreError`."""
    store = opened(paths)
    attached: AttachedSession | None = None
    try:
        conversation_id, known = choose_conversation(store, options, paths)
        owner = store.runs.writer(conversation_id) if known else None
        if owner is not None:
            attached = _attached(store, conversation_id, owner, options, paths)
            await attached.ready()
        return attached
    finally:
        if attached is None:
            store.close()


def _attached(
    store: Store,
    conversation_id: str,
    owner: Owner,
    options: SessionOptions,
    paths: Paths,
) -> AttachedSession:
    from letta_code.agent.live.attached import AttachedSession

    history = History()
    events = [stored.event for stored in store.read(conversation_id)]
    history.extend(events)
    agent = store.agents.get(history.started.agent_id) if history.started else None
    cwd = history.started.cwd if history.started else options.cwd
    desk = agent and open_desk(
        store, paths.home, agent.id, project_root(cwd), conversation_id, name=agent.name, known=forebears(events)
    )
    state = Status(
        conversation_id=conversation_id,
        agent_id=agent.id if agent else "",
        agent=agent.name if agent else "",
        several=len(store.agents.list()) > 1,
        title=history.title,
        cwd=cwd,
        model=history.model,
        mode=history.mode or options.settings.mode,
        background=history.run_background,
    )
    return AttachedSession(
        store=store,
        path=socket_path(paths, conversation_id),
        owner=owner,
        history=history,
        state=state,
        counter=TokenCounter(),
        desk=desk,
        notices=[ev.Notice(level="warning", text=text, code="store") for text in store.notices],
        workers=Workers(paths),
    )
