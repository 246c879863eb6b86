"""Acts on a run of another process: stop it, answer what it asks; from any face or the command line."""

from __future__ import annotations

import asyncio

from letta_code.agent.background import revive_one
from letta_code.agent.live.attached import AttachedSession
from letta_code.agent.live.opening import attach
from letta_code.agent.mending import open_store
from letta_code.agent.port import SessionOptions
from letta_code.agent.recovery import end_run
from letta_code.agent.start import start_session
from letta_code.config.paths import Paths
from letta_code.config.settings import load
from letta_code.core.errors import ConversationBusy, UsageError
from letta_code.core.requests import Answer, ApprovalRequest, Approve, Deny, Reply
from letta_code.store.runs import Run


def options_for(run: Run, cwd: str, face: str) -> SessionOptions:
    """How the conversation of a run is opened from outside."""
    return SessionOptions(cwd=cwd, settings=load(cwd).settings, conversation=run.conversation_id, face=face)


async def stop(run: Run, cwd: str, paths: Paths) -> str:
    """Interrupt a run, whoever has it; a sentence for the person."""
    if not run.is_open:
        return f"{run.id} has ended already ({run.status})."
    options = options_for(run, cwd, "runs")
    for _ in range(3):
        attached = await attach(options, paths)
        if attached is not None:
            try:
                await attached.interrupt()
                return f"{run.id} was stopped."
            finally:
                await attached.close()
        try:
            session = await start_session(options, paths=paths, goes_on=False)
        except ConversationBusy:
            continue  # somebody took it up right now
        try:
            await end_run(session)
            return f"{run.id} was stopped; no process had it."
        finally:
            await session.close()
    raise UsageError(f"{run.id} changes its owner all the time.", hint="Try it again.")


async def answer(run: Run, cwd: str, paths: Paths, *, yes: bool, words: str) -> str:
    """Answer the oldest request of a run; a sentence for the person.  Raises `UsageError` where nothing is asked."""
    options = options_for(run, cwd, "runs")
    attached = await attach(options, paths)
    if attached is None and run.is_open and run.background:
        await asyncio.to_thread(_taken_up, run, paths)
        attached = await attach(options, paths)
    if attached is None:
        raise UsageError(f"No process has {run.id} now.", hint=f"letta-code follow {run.id} takes it up.")
    try:
        return await _answered(attached, run, yes=yes, words=words)
    finally:
        await attached.close()


def _taken_up(run: Run, paths: Paths) -> None:
    """A worker goes on with the run; raises `LettaError`."""
    with open_store(paths) as store:
        revive_one(store, paths, run.conversation_id)


async def _answered(attached: AttachedSession, run: Run, *, yes: bool, words: str) -> str:
    request = next(iter(attached.history.open_requests.values()), None)
    if request is None:
        raise UsageError(f"{run.id} asks nothing now.", hint="letta-code runs shows what waits.")
    given: Answer
    if isinstance(request, ApprovalRequest):
        given = Approve() if yes else Deny(message=words)
        asked = request.title
    else:
        given = Reply(text=words or ("yes" if yes else "no"))
        asked = request.question
    stands = await attached.answer(request.request_id, given, "runs")
    if stands.answer != given:
        return f"{asked}: it was answered already, by {stands.by or 'another'}."
    return f"{asked}: {'yes' if yes else 'no'}."
