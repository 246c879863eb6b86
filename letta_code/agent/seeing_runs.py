"""Seeing runs: what goes on in a home, what waits for whom, and how a run is named."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from letta_code.agent.history import History
from letta_code.core import events as ev
from letta_code.core.display import ShellBlock
from letta_code.core.errors import UsageError
from letta_code.core.ids import utc_now
from letta_code.core.messages import Value
from letta_code.core.requests import ApprovalRequest, Request
from letta_code.store.database import Store
from letta_code.store.runs import Run
from letta_code.store.summary import RunStatus

SILENT_SECONDS = 15.0  # three missed beats: then its owner is stopped or hangs
NEWEST = 20
_TAIL = 400  # events at the end of a conversation among which an open request is looked for


class RunSeen(Value, omit_defaults=False):
    """One run as a person sees it.

    `status` is a `RunStatus` value, and orphaned as well where the store calls it open and its owner is dead;
    `seconds` from its beginning to its end or now; `owner` describes the living process that has it, "" for none;
    `waits_for` is what is asked, whole, `because` why and what a yes gives;
    `silent` the seconds since its owner last said that it goes on (0: it did just now);
    `error` is why it did not end well, `hint` what the person may do about that.
    """

    id: str
    conversation_id: str
    status: str
    background: bool
    attempts: int
    started_at: str
    ended_at: str
    seconds: float
    folder: str
    title: str
    owner: str = ""
    pid: int = 0
    waits_for: str = ""
    because: str = ""
    silent: float = 0.0
    error: str = ""
    hint: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it goes on or waits."""
        return not self.ended_at and self.status != RunStatus.ORPHANED


def runs_seen(store: Store, *, folder: str = "", newest: int | None = NEWEST) -> list[RunSeen]:
    """The newest first, of a folder or of all; those that have not ended are always among them."""
    runs = store.runs.list(cwd=folder, limit=newest)
    known = {run.id for run in runs}
    if newest is not None:
        runs += [run for run in store.runs.list(cwd=folder) if run.is_open and run.id not in known]
    return [seen(store, run) for run in runs]


def seen(store: Store, run: Run) -> RunSeen:
    """One run, with its conversation and its owner looked up."""
    conversation = store.conversations.get(run.conversation_id)
    owner = store.runs.writer(run.conversation_id) if run.is_open else None
    status = run.status
    if owner is None and status in (RunStatus.RUNNING, RunStatus.WAITING):
        status = RunStatus.ORPHANED
    request = open_request(store, run.conversation_id) if status == RunStatus.WAITING else None
    error, hint = _failure(store, run, status)
    silent = store.runs.silent_for(run.conversation_id) if owner and status == RunStatus.RUNNING else 0.0
    return RunSeen(
        id=run.id,
        conversation_id=run.conversation_id,
        status=status,
        background=run.background,
        attempts=run.attempts,
        started_at=run.started_at,
        ended_at=run.ended_at,
        seconds=_seconds(run.started_at, run.ended_at or utc_now()),
        folder=conversation.cwd if conversation else "",
        title=conversation.name if conversation else "",
        owner=owner.described() if owner else "",
        pid=owner.pid if owner else 0,
        waits_for=asked_of(request) if request else "",
        because=because_of(request) if request else "",
        silent=silent if silent >= SILENT_SECONDS else 0.0,
        error=error,
        hint=hint,
    )


def _failure(store: Store, run: Run, status: str) -> tuple[str, str]:
    """Why a run did not end well, and what may be done about it."""
    again = f"letta-code --resume {run.conversation_id}"
    if status == RunStatus.ORPHANED:
        if not run.background:
            return "its process died", f"go on with: {again}"
        if run.is_open:
            return "its process died", f"go on with: letta-code follow {run.id}"
        return f"its process died {run.attempts + 1} times; it is not tried again", f"go on with: {again}"
    if status != RunStatus.FAILED:
        return "", ""
    for stored in store.read(run.conversation_id, max(0, store.last_seq(run.conversation_id) - _TAIL)):
        if isinstance(stored.event, ev.RunFinished) and stored.event.run_id == run.id:
            return stored.event.error, stored.event.hint
    return "", ""


def open_request(store: Store, conversation_id: str) -> Request | None:
    """The oldest request of a conversation that nobody has answered; None where there is none."""
    history = History()
    for stored in store.read(conversation_id, max(0, store.last_seq(conversation_id) - _TAIL)):
        if isinstance(stored.event, ev.RequestMade | ev.RequestAnswered):
            history.apply(stored.event)
    return next(iter(history.open_requests.values()), None)


def last_answer(store: Store, conversation_id: str) -> tuple[Request, ev.RequestAnswered] | None:
    """The newest answer in a conversation, with what had been asked; None where there is none."""
    asked: dict[str, Request] = {}
    found: tuple[Request, ev.RequestAnswered] | None = None
    for stored in store.read(conversation_id, max(0, store.last_seq(conversation_id) - _TAIL)):
        match stored.event:
            case ev.RequestMade(request=request):
                asked[request.request_id] = request
            case ev.RequestAnswered() as answered if answered.request_id in asked:
                found = asked[answered.request_id], answered
            case _:
                pass
    return found


def question_of(request: Request) -> str:
    """What is asked, in one line."""
    words = request.title if isinstance(request, ApprovalRequest) else request.question
    return " ".join(words.split())


def asked_of(request: Request) -> str:
    """What is asked, nothing of it left out: who answers from here sees no card."""
    if isinstance(request, ApprovalRequest):
        for block in request.blocks:
            if isinstance(block, ShellBlock):
                return f"$ {block.command.strip()}"
    return question_of(request)


def because_of(request: Request) -> str:
    """Why an approval is asked for, which says what a yes gives; "" for a question."""
    if not isinstance(request, ApprovalRequest):
        return ""
    careful = "Careful, it may destroy work that nothing brings back." if request.destructive else ""
    longer = f"The answer means: {request.yes}." if request.yes else ""
    return " ".join(filter(None, (careful, *request.reason.split(), longer)))


def find_run(store: Store, name: str, folder: str = "", *, open_first: bool = False) -> Run:
    """A run by its id, the newest of a conversation by that id, or `last`: the newest of a folder, else of all.

    With `open_first` the last is the newest of those that have not ended, where there is one.  An id may be cut as long
    as it fits one run only.  Raises `UsageError`.
    """
    if name == "last":
        newest = store.runs.list(cwd=folder, limit=1) or store.runs.list(limit=1)
        if not newest:
            raise UsageError("There is no run yet.", hint='Start one: letta-code run --background "PROMPT"')
        going = [run for run in store.runs.list(cwd=folder) if run.is_open] if open_first else []
        return going[0] if going else newest[0]
    if (run := store.runs.get(name)) is not None:
        return run
    if of_conversation := store.runs.list(conversation_id=name, limit=1):
        return of_conversation[0]
    near = [run for run in store.runs.list() if name and _fits(run, name)]
    if len({run.id for run in near}) == 1:
        return near[0]
    if near:
        raise UsageError(f"{len(near)} runs are called {name}…", hint="letta-code runs --all shows them.")
    raise UsageError(f"There is no run or conversation {name}.", hint="letta-code runs --all lists the runs.")


def _fits(run: Run, name: str) -> bool:
    return run.id.startswith(name) or run.id.removeprefix("run-").startswith(name)


def _seconds(since: str, until: str) -> float:
    try:
        return round((datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds(), 1)
    except ValueError:
        return 0.0


def lines_of(runs: Sequence[RunSeen]) -> list[tuple[str, ...]]:
    """A row each for people: id, status, how long, title, and whose it is or what it waits for."""
    return [(run.id, _status(run), how_long(run.seconds), run.title[:60], _note(run)) for run in runs]


def _status(run: RunSeen) -> str:
    return f"{run.status}, background" if run.background and run.is_open else run.status


def _note(run: RunSeen) -> str:
    parts: list[str] = []
    if run.waits_for:
        parts.append(f"waits for an answer: {' '.join(run.waits_for.split())[:80]}")
    if run.silent:
        parts.append(f"silent for {run.silent:.0f} s")
    if run.owner:
        parts.append(run.owner)
    elif run.error:
        parts.append(run.error[:80])
    elif run.status == RunStatus.QUEUED:
        parts.append("waits for its process")
    return "; ".join(parts)


def how_long(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
