"""Acts on a run of another process: stop it, answer what it asks; from any face or the command line."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from letta_code.agent.background import revive_one
from letta_code.agent.folder_trust import look
from letta_code.agent.live.attached import AttachedSession
from letta_code.agent.live.opening import attach
from letta_code.agent.mending import open_store
from letta_code.agent.port import SessionOptions
from letta_code.agent.recovery import end_run
from letta_code.agent.seeing_runs import asked_of, because_of, last_answer, question_of
from letta_code.agent.start import start_session
from letta_code.config.paths import Paths
from letta_code.config.settings import load
from letta_code.core.errors import ConversationBusy, UsageError
from letta_code.core.events import RequestAnswered
from letta_code.core.requests import Answer, ApprovalRequest, Approve, Deny, QuestionRequest, Reply, Request, Unanswered
from letta_code.safety.terminal import visible
from letta_code.store.database import Store
from letta_code.store.runs import Run
from letta_code.store.summary import RunStatus

_ASKED_AGAIN_SECONDS = 10.0
_SHOWS = "letta-code runs shows what waits."


def options_for(run: Run, cwd: str, face: str) -> SessionOptions:
    """How the conversation of a run is opened from outside."""
    trusted = look(cwd, Paths.find()).trusted
    settings = load(cwd, trusted=trusted).settings
    return SessionOptions(cwd=cwd, settings=settings, conversation=run.conversation_id, face=face, trusted=trusted)


async def stop(run: Run, cwd: str, paths: Paths) -> str:
    """Interrupt a run, whoever has it; a sentence for the person."""
    if not run.is_open:
        return f"{run.id} has ended already ({run.status})."
    options = options_for(run, cwd, "runs")
    for _ in range(3):
        attached = await attach(options, paths)
        if attached is not None:
            try:
                if (ended := _ended(attached.store, run)) == "":
                    await attached.interrupt()
                    ended = _ended(attached.store, run)
                stopped = ended in ("", RunStatus.INTERRUPTED)
                return f"{run.id} was stopped." if stopped else f"{run.id} had just ended by itself ({ended})."
            finally:
                await attached.close()
        try:
            session = await start_session(options, paths=paths, goes_on=False)
        except ConversationBusy:
            continue  # somebody took it up right now
        try:
            if ended := _ended(session.store, run):
                return f"{run.id} had ended already ({ended})."
            await end_run(session)
            return f"{run.id} was stopped; no process had it."
        finally:
            await session.close()
    raise UsageError(f"{run.id} changes its owner all the time.", hint="Try it again.")


def _ended(store: Store, run: Run) -> str:
    """The status of a run that has ended by now, "" while it is open."""
    now = store.runs.get(run.id)
    return now.status if now is not None and not now.is_open else ""


async def answer(run: Run, cwd: str, paths: Paths, words: str) -> str:
    """Answer the oldest request of a run; a sentence for the person.

    `words` are "yes" or "no" with the reason behind it for an approval, and the answer itself for a question, a
    choice by its number too.  Raises `UsageError` where they fit neither, or where nothing is asked.
    """
    if not run.is_open:
        raise UsageError(f"{run.id} has ended ({run.status}); it asks nothing.", hint=_SHOWS)
    options = options_for(run, cwd, "runs")
    attached = await attach(options, paths)
    if attached is None and run.is_open and run.background:
        await asyncio.to_thread(_taken_up, run, paths)
        attached = await attach(options, paths)
        if attached is not None:
            await _asked_again(attached)
    if attached is None:
        raise UsageError(f"No process has {run.id} now.", hint=f"letta-code follow {run.id} takes it up.")
    try:
        return await _answered(attached, run, words.strip())
    finally:
        await attached.close()


async def _asked_again(attached: AttachedSession) -> None:
    """Wait until a run that was just taken up asks again, or comes to its end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_ASKED_AGAIN_SECONDS):
            while attached.status.running and not attached.history.open_requests:  # noqa: ASYNC110 - either may come
                await asyncio.sleep(0.05)


def _taken_up(run: Run, paths: Paths) -> None:
    """A worker goes on with the run; raises `LettaError`."""
    with open_store(paths) as store:
        revive_one(store, paths, run.conversation_id)


async def _answered(attached: AttachedSession, run: Run, words: str) -> str:
    request = next(iter(attached.history.open_requests.values()), None)
    if request is None:
        before = last_answer(attached.store, run.conversation_id)
        told = f" {_standing(*before)}" if before else ""
        raise UsageError(f"{run.id} asks nothing now.{told}", hint=_SHOWS)
    given = _approval(words, request) if isinstance(request, ApprovalRequest) else _reply(words, request)
    stands = await attached.answer(request.request_id, given, "runs")
    if stands.answer != given:
        return _standing(request, stands)
    why = because_of(request)
    return f"{question_of(request)}: {_said(given)}." + (f"\nIt was asked because: {why}" if why else "")


def _standing(request: Request, answered: RequestAnswered) -> str:
    return f"{question_of(request)}: it was answered already: {_said(answered.answer)}, by {answered.by or 'another'}."


def _approval(words: str, request: ApprovalRequest) -> Answer:
    first, _, rest = words.partition(" ")
    match first.lower():
        case "yes" | "y":
            return Approve()
        case "no" | "n":
            return Deny(message=rest.strip())
        case _:
            asks = f"It asks whether this may be done: {asked_of(request)}\n{because_of(request)}".rstrip()
            raise UsageError(visible(asks), hint="To that answer yes, or no with your reason behind it.")


def _reply(words: str, request: QuestionRequest) -> Answer:
    """A choice by its number or its label, several with commas between them; else the words themselves."""
    if not words:
        raise UsageError(f"It asks: {visible(question_of(request))}", hint="Put the answer behind the run.")
    parts = [part.strip() for part in words.split(",")] if request.several else [words]
    labels = {choice.label.lower(): choice.label for choice in request.choices}
    labels |= {str(number): choice.label for number, choice in enumerate(request.choices, 1)}
    chosen = [labels.get(part.lower(), "") for part in parts]
    return Reply(text=", ".join(chosen) if all(chosen) else words)


def _said(answer: Answer) -> str:
    match answer:
        case Approve():
            return "yes"
        case Deny(message=message):
            return f"no, {message}" if message else "no"
        case Reply(text=text):
            return text
        case Unanswered():
            return "nobody answered"
