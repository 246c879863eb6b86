"""Recovery: what a process that died left open in a conversation is closed, or made ready to be gone on with.

No call that may have run is ever run again: its effect is unknown to us, and the model is told so with what is known.
A call that waited for a person's answer certainly did not run: where the run goes on it is asked about again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from letta_code.agent.changed_files import changed_since
from letta_code.agent.loop import not_run
from letta_code.core import events as ev
from letta_code.core.errors import ToolError
from letta_code.core.messages import ToolCall, Value
from letta_code.core.requests import ApprovalRequest, Approve, QuestionRequest, Unanswered
from letta_code.safety.containment import Grant
from letta_code.safety.operations import ExecOperation
from letta_code.safety.taint import source_of

if TYPE_CHECKING:
    from letta_code.agent.session import Session

ATTEMPTS = 3  # how often a run without a face is gone on with after its owner died
ORPHANED_RUN = "orphaned_run"  # the code of the notice
_BY = "recovery"

_UNKNOWN = (
    "letta-code was stopped while this call was under way; whether it took effect is unknown. "
    "Look at the state before you repeat it."
)
_NOT_BEGUN = "Not run: letta-code was stopped before this call began."
_REFUSED = "Not run: it was not approved."
_ASKED_AGAIN = "letta-code was stopped before an answer came; it is asked again."
_NO_ANSWER = "letta-code was stopped before an answer came."


class _Command(msgspec.Struct, frozen=True):
    """What is read of the arguments of a command."""

    command: str
    needs: str = ""


class Left(Value):
    """The calls without a result, sorted by what is known of them."""

    maybe_ran: tuple[ToolCall, ...] = ()
    refused: tuple[ToolCall, ...] = ()
    not_begun: tuple[ToolCall, ...] = ()
    waiting: bool = False  # the first of `not_begun` waited for a person


async def recover(session: Session) -> bool:
    """Close what a process that died left open; True when there was something.

    A run that was given away, and one that goes on without a face, stay open: `Session.go_on` takes them up.
    """
    history = session.history
    run = history.run
    if run is not None and history.run_moved is not None:
        return False  # given away at a step boundary: nothing was under way
    if run is None and not history.open_calls and not history.open_requests:
        return False
    goes_on = run is not None and history.run_background and history.run_attempts < ATTEMPTS
    left = await _left(session)
    found = await _changed_files(session, left)
    asked_again = goes_on and left.waiting
    for request_id in [*history.open_requests]:
        await session.answer(request_id, Unanswered(reason=_ASKED_AGAIN if asked_again else _NO_ANSWER), by=_BY)
    closing: list[ev.KnownEvent] = [_unknown(session, call, found) for call in left.maybe_ran]
    closing += [not_run(call, _REFUSED, title=_title(session, call)) for call in left.refused]
    if not asked_again:
        closing += [not_run(call, _NOT_BEGUN, title=_title(session, call)) for call in left.not_begun]
    run_id = run.run_id if run is not None else ""
    closing = [replace(event, run_id=run_id) for event in closing]
    if run_id and not goes_on:
        closing += [ev.RunFinished(run_id=run_id, reason=ev.StopReason.ORPHANED), _notice(session)]
    await session.commit(*closing)
    session.printed.clean()
    return True


async def end_run(session: Session) -> None:
    """End the run that nobody goes on with: the person does not want it any more.  Nothing may run here."""
    history = session.history
    if history.run is None:
        return
    for request_id in [*history.open_requests]:
        await session.answer(request_id, Unanswered(reason=_NO_ANSWER), by=_BY)
    closing = [
        replace(not_run(call, _NOT_BEGUN, title=_title(session, call)), run_id=history.run.run_id)
        for call in history.open_calls.values()
    ]
    ended = ev.RunFinished(run_id=history.run.run_id, reason=ev.StopReason.INTERRUPTED, steps=history.run_steps)
    await session.commit(*closing, ended)


def _notice(session: Session) -> ev.Notice:
    if session.history.run_background:
        text = (
            f"A run in the background was not begun again: its process has died {session.history.run_attempts + 1} "
            "times. What it had done is kept."
        )
    else:
        text = "The last run here was cut off: its process ended before it was done. What it had done is kept."
    return ev.Notice(level="warning", text=text, hint="`/continue` goes on with it.", code=ORPHANED_RUN)


# ---------------------------------------------------------------- what is known of a call


async def _left(session: Session) -> Left:
    """Groups of calls run one after the other, each stored whole: only calls of the first open one can have begun."""
    history = session.history
    calls = [*history.open_calls.values()]
    if not calls:
        return Left()
    for request in history.open_requests.values():
        if request.call_id in history.open_calls and _runs_not(request, history.open_calls[request.call_id]):
            return Left(not_begun=tuple(calls), waiting=True)
    first, behind = _first_group(session, calls)
    refused = await _refused(session)
    return Left(
        maybe_ran=tuple(call for call in first if call.id not in refused),
        refused=tuple(call for call in first if call.id in refused),
        not_begun=tuple(behind),
    )


def _runs_not(request: ApprovalRequest | QuestionRequest, call: ToolCall) -> bool:
    """Whether a call that waits for this answer has done nothing yet: a question is all that AskUser does."""
    return isinstance(request, ApprovalRequest) or call.name == "AskUser"


def _first_group(session: Session, calls: Sequence[ToolCall]) -> tuple[Sequence[ToolCall], Sequence[ToolCall]]:
    """The calls that run together with the first, and those behind them; as the loop groups them."""
    tools = session.surroundings.tools

    def reads_only(call: ToolCall) -> bool:
        tool = tools.get(call.name)
        return tool is not None and tool.reads_only

    size = 1
    if reads_only(calls[0]):
        size = next((at for at, call in enumerate(calls) if not reads_only(call)), len(calls))
    return calls[:size], calls[size:]


async def _refused(session: Session) -> set[str]:
    """The calls that somebody said no to, and whose refusal was not stored as their result any more."""
    history = session.history
    asked: dict[str, str] = {}
    refused: set[str] = set()
    for event in await session.read(history.answered_seq, history.last_seq):
        match event:
            case ev.RequestMade(request=ApprovalRequest() as request):
                asked[request.request_id] = request.call_id
            case ev.RequestAnswered() if event.request_id in asked and event.by != _BY:
                call_id = asked[event.request_id]
                if isinstance(event.answer, Approve):
                    refused.discard(call_id)
                else:
                    refused.add(call_id)
            case _:
                pass
    return refused


# ---------------------------------------------------------------- what is told of it


def _unknown(session: Session, call: ToolCall, changed: str) -> ev.ToolResult:
    parts = [_UNKNOWN]
    if printed := session.printed.left(call.id):
        parts.append(f"Its output until then:\n{printed}")
    if changed:
        parts.append(changed)
    text = "\n".join(parts)
    lost = not_run(call, text, status="unknown", title=_title(session, call))
    return replace(lost, taint=_source(session, call))


def _source(session: Session, call: ToolCall) -> str:
    """Where the text comes from that a command printed or wrote before it was cut off, as far as its words tell."""
    try:
        said = msgspec.json.decode(call.arguments, type=_Command)
    except msgspec.DecodeError:
        return ""
    operation = ExecOperation(command=said.command, cwd=session.options.cwd, needs=said.needs)
    return source_of([operation], Grant(), foreign=not session.options.trusted)


def _title(session: Session, call: ToolCall) -> str:
    """The line that a person knows the call by, "" where its tool or its arguments are not understood."""
    tool = session.surroundings.tools.get(call.name)
    if tool is None:
        return ""
    try:
        return tool.title(tool.parse(call.arguments))
    except ToolError:
        return ""


async def _changed_files(session: Session, left: Left) -> str:
    """Files that changed since the model made its calls, but for those that a finished call tells of."""
    history, tools = session.history, session.surroundings.tools
    if not any((tool := tools.get(call.name)) is None or not tool.reads_only for call in left.maybe_ran):
        return ""
    since, explained = 0.0, set[str]()
    for event in await session.read(history.answered_seq - 1, history.last_seq):
        match event:
            case ev.AssistantMessage():
                since = _seconds(event.at)
            case ev.ToolResult():
                explained.update(file.path for file in event.files)
            case _:
                pass
    if not since:
        return ""
    found = await asyncio.to_thread(changed_since, session.options.cwd, since, explained)
    return found.described()


def _seconds(at: str) -> float:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0


def taken_up(resumed: ev.RunResumed, mode: str) -> tuple[ev.Notice, ...]:
    """What a person is told of a run that goes on here; `mode` is the one that it was in."""
    return (*_found_dead(resumed), *_other_mode(mode, resumed.mode))


def _found_dead(resumed: ev.RunResumed) -> tuple[ev.Notice, ...]:
    """What a person is told who opens a conversation, perhaps to say something else, and finds a run to go on with."""
    if resumed.reason != "died" or resumed.background:
        return ()
    text = "A run in the background had lost its process here: it goes on in this one; what you say is delivered to it."
    hint = f"To end it and begin anew instead: letta-code runs stop {resumed.run_id}, then say it again."
    return (ev.Notice(level="warning", text=text, hint=hint, code="resumed"),)


def _other_mode(before: str, now: str) -> tuple[ev.Notice, ...]:
    """What the person is told of a run that goes on in another mode than it was in."""
    if not before or before == now:
        return ()
    why = "mode full holds for one start only" if before == "full" else f"it was in mode {before}"
    hint = "/mode full allows everything again, until letta-code ends." if before == "full" else ""
    return (ev.Notice(level="warning", text=f"The run goes on in mode {now}: {why}.", hint=hint, code="mode"),)
