"""Beginning: a message that a process without a face is to work on, from any face or the command line."""

from __future__ import annotations

import asyncio

from letta_code.agent.background import keep, start_worker
from letta_code.agent.live.opening import attach
from letta_code.agent.port import SessionOptions
from letta_code.agent.start import start_session
from letta_code.config.paths import Paths
from letta_code.core.errors import ConversationBusy
from letta_code.core.messages import Value


class Begun(Value, omit_defaults=False):
    """What was begun: `pid` is the worker's; where another process has the conversation, `sent_to` describes it."""

    conversation_id: str
    run_id: str = ""
    pid: int = 0
    sent_to: str = ""


async def begin(options: SessionOptions, text: str, paths: Paths) -> Begun:
    """Keep a message and its run, then start a process that works on it; about half a second.

    Where another process runs the conversation the message is sent there.  When this raises `LettaError` after the
    message was kept, the error says how to go on with it.
    """
    try:
        session = await start_session(options, paths=paths, goes_on=False)
    except ConversationBusy:
        return await _sent(options, text, paths)
    try:
        job = session.job()
        await asyncio.to_thread(keep, job, paths)  # before the run: whoever goes on with it must know what was denied
        run_id = await session.hand_in(text, by=options.face)
    except BaseException:
        await session.close()
        raise
    await session.release(background=True, by=options.face)
    pid = await asyncio.to_thread(start_worker, job, paths)
    return Begun(conversation_id=job.conversation, run_id=run_id, pid=pid)


async def _sent(options: SessionOptions, text: str, paths: Paths) -> Begun:
    attached = await attach(options, paths)
    if attached is None:  # it ended right now
        return await begin(options, text, paths)
    try:
        await attached.send(text)
        status = attached.status
        return Begun(conversation_id=status.conversation_id, run_id=status.run_id, sent_to=attached.owner.described())
    finally:
        await attached.close()
