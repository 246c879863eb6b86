"""Beginning: a message that a process without a face is to work on, from any face or the command line."""

from __future__ import annotations

import asyncio
from itertools import islice

from msgspec.structs import replace

from letta_code.agent.background import keep, start_worker
from letta_code.agent.live.opening import attach
from letta_code.agent.mending import open_store
from letta_code.agent.port import SessionOptions
from letta_code.agent.start import start_session
from letta_code.config.credentials import Credentials
from letta_code.config.paths import Paths
from letta_code.config.settings import with_saved_endpoints
from letta_code.core import events as ev
from letta_code.core.errors import ConversationBusy
from letta_code.core.messages import Value
from letta_code.llm.connect import open_model
from letta_code.store.database import Store

_NEWEST = 50  # runs of a folder among which one that was begun before is looked for …
_FIRST_EVENTS = 40  # … by its first message


class Begun(Value, omit_defaults=False):
    """What was begun: `pid` is the worker's; where another process has the conversation, `sent_to` describes it.

    `known`: a message of this client id was said there before, and nothing was begun; `run_id` is its run's then.
    """

    conversation_id: str
    run_id: str = ""
    pid: int = 0
    sent_to: str = ""
    known: bool = False


async def begin(options: SessionOptions, text: str, paths: Paths, *, client_id: str = "") -> Begun:
    """Keep a message and its run, then start a process that works on it; about half a second.

    Raises `ConfigError` before anything is kept where its model cannot be opened.

    Where another process runs the conversation the message is sent there.  When this raises `LettaError` after the
    message was kept, the error says how to go on with it.
    """
    if client_id and not options.conversation:
        options = replace(options, conversation=await asyncio.to_thread(_begun_before, options.cwd, client_id, paths))
    try:
        session = await start_session(options, paths=paths, goes_on=False)
    except ConversationBusy:
        return await _sent(options, text, paths, client_id)
    if client_id in session.history.client_ids and session.history.run is None:
        try:
            return _known(session.store, session.conversation_id, client_id)
        finally:
            await session.close()
    try:
        if model := session.status.model:
            await asyncio.to_thread(_can_be_opened, model, options, paths)
        job = session.handover.job()
        await asyncio.to_thread(keep, job, paths)  # before the run: whoever goes on with it must know what was denied
        run_id = await session.hand_in(text, client_id=client_id, by=options.face)
    except BaseException:
        await session.close()
        raise
    await session.handover.release(background=True, by=options.face)
    pid = await asyncio.to_thread(start_worker, job, paths)
    return Begun(conversation_id=job.conversation, run_id=run_id, pid=pid)


def _can_be_opened(name: str, options: SessionOptions, paths: Paths) -> None:
    """Raises `ConfigError` for a model that the worker could not open: nobody looks at that a second later."""
    open_model(name, with_saved_endpoints(options.settings, paths), Credentials(paths).get)


def _begun_before(cwd: str, client_id: str, paths: Paths) -> str:
    """The conversation that began in a folder with a message of this client id, "" where none of the newest did."""
    with open_store(paths.ensure()) as store:
        for conversation_id in dict.fromkeys(run.conversation_id for run in store.runs.list(cwd=cwd, limit=_NEWEST)):
            first = islice(store.read(conversation_id), _FIRST_EVENTS)
            if any(isinstance(one.event, ev.UserMessage) and one.event.client_id == client_id for one in first):
                return conversation_id
    return ""


def _known(store: Store, conversation_id: str, client_id: str) -> Begun:
    said, run_id = False, ""
    for stored in store.read(conversation_id):
        match stored.event:
            case ev.UserMessage() if stored.event.client_id == client_id:
                said = True
            case ev.RunStarted() if said:
                run_id = stored.event.run_id
                break
            case _:
                pass
    return Begun(conversation_id=conversation_id, run_id=run_id, known=True)


async def _sent(options: SessionOptions, text: str, paths: Paths, client_id: str) -> Begun:
    attached = await attach(options, paths)
    if attached is None:  # it ended right now
        return await begin(options, text, paths, client_id=client_id)
    try:
        known = client_id in attached.history.client_ids
        await attached.send(text, client_id=client_id)
        status = attached.status
        return Begun(
            conversation_id=status.conversation_id,
            run_id=status.run_id,
            sent_to=attached.owner.described(),
            known=known,
        )
    finally:
        await attached.close()
