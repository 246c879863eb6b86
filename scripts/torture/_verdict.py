"""What is looked for after a kill: in the store, in the work folder, and on the wire."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _script import EFFECTS, effect_of

from letta_code.agent.history import History
from letta_code.agent.recovery import ATTEMPTS
from letta_code.core.events import (
    AssistantMessage,
    ContextCompacted,
    Durable,
    Event,
    MessageQueued,
    RequestAnswered,
    RequestMade,
    RunFinished,
    RunStarted,
    StopReason,
    ToolResult,
    UserMessage,
)
from letta_code.core.requests import Approve
from letta_code.safety.vault import Secrets
from letta_code.store.database import Store
from letta_code.store.journal import StoredEvent
from letta_code.store.salvage import read_mirror

# Each must be 0.
WRONGS = {
    "lost": "acknowledged events that are not in the store as they were told",
    "duplicated": "events, messages, runs, results or effects that are there twice",
    "damaged": "gaps in seq, wrong checksums, wrong lines of a mirror",
    "unbalanced": "requests or steps with a tool call that has no result, or a result without its call",
    "rewritten": "requests that do not begin with the messages of the one before",
    "not opened": "conversations that could not be opened",
    "not finished": "conversations that could not be brought to their end, or ended in another way than they should",
    "unasked": "commands that ran without the yes that they needed, or that the model was told had not run",
    "missed": "events that a follower did not hear, heard twice, or heard otherwise than they are stored",
    "wedged": "runs that stay open although nobody does them, processes that do nothing any more",
    "left over": "processes of a dead owner that still lived after 3 s",
}


class Verdict:
    """Counts what is wrong; `findings` says where, the first few of each kind."""

    def __init__(self) -> None:
        self.wrongs: Counter[str] = Counter()
        self.findings: list[str] = []
        self.acknowledged = 0
        self.reopened: list[float] = []  # milliseconds
        self.resumed: list[float] = []  # milliseconds from the start of another process to the run that goes on
        self.moments: Counter[str] = Counter()  # what was under way when a process was killed
        self._reported: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def find(self, kind: str, where: str) -> None:
        """Count one wrong thing; the same thing seen again after the next kill is not counted again."""
        with self._lock:
            if (kind, where) in self._reported:
                return
            self._reported.add((kind, where))
            self.wrongs[kind] += 1
            if self.wrongs[kind] <= 5:
                self.findings.append(f"{kind}: {where}")
                print(f"{time.strftime('%H:%M:%S')} {kind}: {where}", file=sys.stderr)

    def heard(self, acknowledged: int) -> None:
        """So many more events and runs were told of."""
        with self._lock:
            self.acknowledged += acknowledged

    def killed(self, moment: str) -> None:
        """A process was killed at such a moment."""
        with self._lock:
            self.moments[moment] += 1

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrongs.total()


def check_store(verdict: Verdict, home: Path, conversation: str, told: Mapping[int, bytes], *, killed: bool) -> None:
    """Open the store as the next process would and compare the conversation with what was told of it."""
    began = time.perf_counter()
    history = History()
    try:
        with Store.open(
            home / "letta.db", conversations_dir=home / "conversations", run_dir=home / "run", redactor=Secrets()
        ) as store:
            read = store.read(conversation)
            history.extend(stored.event for stored in read)
            last = store.last_seq(conversation)
    except Exception as error:  # noqa: BLE001 - whatever stops a conversation from opening is the finding
        verdict.find("not opened", f"{conversation}: {error!r}")
        return
    verdict.reopened.append((time.perf_counter() - began) * 1000)
    if killed:
        verdict.killed(_moment(history))
    if [stored.seq for stored in read] != list(range(1, last + 1)):
        verdict.find("damaged", f"{conversation}: seq has gaps or ends at another place than {last}")
    for stored in read:
        if stored.damage:
            verdict.find("damaged", f"{conversation} event {stored.seq}: {stored.damage}")
    stored_raw = {stored.seq: stored.raw for stored in read}
    for seq, line in told.items():
        if stored_raw.get(seq) != line:
            verdict.find("lost", f"{conversation} event {seq}: told {line[:80]!r}")
    _check_once(verdict, conversation, read)
    _check_balance(verdict, conversation, [stored.event for stored in read])


def _moment(history: History) -> str:
    if history.open_requests:
        return "while a person was asked"
    if history.open_calls:
        return "with a call under way"
    if history.run is not None and history.run_moved is not None:
        return "between two owners"
    return "in a run" if history.run else "outside a run"


def _check_once(verdict: Verdict, conversation: str, read: Sequence[StoredEvent]) -> None:
    names: Counter[str] = Counter()
    for stored in read:
        match stored.event:
            case UserMessage() as event:
                names.update([event.message_id, *([f"client {event.client_id}"] if event.client_id else [])])
            case AssistantMessage() as event:
                names.update([event.message_id])
            case ToolResult() as event:
                names.update([event.message_id, f"result of {event.call_id}"])
            case MessageQueued() as event:
                names.update([f"queued {event.client_id}"])
            case RunStarted() as event:
                names.update([f"the beginning of {event.run_id}"])
            case RunFinished() as event:
                names.update([f"the end of {event.run_id}"])
            case ContextCompacted() as event:
                names.update([event.message_id])
            case _:
                pass
    for name, count in names.items():
        if count > 1:
            verdict.find("duplicated", f"{conversation}: {name} is there {count} times")


def _check_balance(verdict: Verdict, conversation: str, events: Sequence[Event]) -> None:
    """Every answer of the model stands after the results of all calls before it: that is what its request held."""
    open_calls: set[str] = set()
    for event in events:
        match event:
            case AssistantMessage():
                if open_calls:
                    verdict.find("unbalanced", f"{conversation} event {event.seq}: {sorted(open_calls)} have no result")
                open_calls = {call.id for call in event.tool_calls}
            case ToolResult():
                if event.call_id not in open_calls:
                    verdict.find("unbalanced", f"{conversation} event {event.seq}: a result without its call")
                open_calls.discard(event.call_id)
            case _:
                pass


def check_mirror(verdict: Verdict, home: Path, conversation: str) -> None:
    """The readable copy of a conversation that ended well holds exactly its events."""
    rows, problems = read_mirror(home / "conversations" / f"{conversation}.jsonl")
    for problem in problems:
        verdict.find("damaged", f"{conversation}.jsonl line {problem.line}: {problem.text}")
    with Store.open(home / "letta.db", run_dir=home / "run", redactor=Secrets()) as store:
        if [row.body for row in rows] != [stored.raw for stored in store.read(conversation)]:
            verdict.find("damaged", f"{conversation}.jsonl differs from the store")


def check_effects(verdict: Verdict, folder: Path, events: Sequence[Event] = ()) -> None:
    """No command ran twice; each ran as its result says: one that is told as done did, a refused one did not."""
    path = folder / EFFECTS
    done = Counter(path.read_text().split() if path.exists() else [])
    for name, count in done.items():
        if count > 1:
            verdict.find("duplicated", f"{folder.name}: command {name} ran {count} times")
    calls = {call.id: call for event in events if isinstance(event, AssistantMessage) for call in event.tool_calls}
    for event in events:
        if not isinstance(event, ToolResult) or event.call_id not in calls:
            continue
        name = effect_of(calls[event.call_id].arguments)
        if name and event.status == "ok" and not done[name]:
            verdict.find("lost", f"{folder.name}: command {name} is told as done, and was not")
        if name and event.status == "denied" and done[name]:
            verdict.find("unasked", f"{folder.name}: command {name} is told as not run, and was run")


def check_asked(verdict: Verdict, folder: Path, events: Sequence[Event]) -> None:
    """Each command that left its line had a person's yes before."""
    path = folder / EFFECTS
    done = set(path.read_text().split() if path.exists() else ())
    requests = {event.request.request_id: event.request.call_id for event in events if isinstance(event, RequestMade)}
    allowed = {
        requests[event.request_id]
        for event in events
        if isinstance(event, RequestAnswered) and event.request_id in requests and isinstance(event.answer, Approve)
    }
    for event in events:
        for call in event.tool_calls if isinstance(event, AssistantMessage) else ():
            if (name := effect_of(call.arguments)) in done and call.id not in allowed:
                verdict.find("unasked", f"{folder.name}: command {name} ran without a yes")


def check_ended(verdict: Verdict, conversation: str, events: Sequence[Event], *, run_id: str, deaths: int) -> None:
    """A run in the background came to its end under its own id; it was given up only after its third resumption."""
    history = History()
    history.extend(events)
    ends = {event.run_id: event for event in events if isinstance(event, RunFinished)}
    if history.run is not None or history.open_calls or history.open_requests:
        verdict.find("wedged", f"{conversation}: a run, a call or a question is open at the end")
    if run_id not in ends:
        verdict.find("not finished", f"{conversation}: {run_id} has no end")
        return
    reason = ends[run_id].reason
    if reason != StopReason.DONE and not (reason == StopReason.ORPHANED and deaths > ATTEMPTS):
        verdict.find(
            "not finished", f"{conversation}: {run_id} ended as {reason} after {deaths} deaths: {ends[run_id].error}"
        )


def check_heard(
    verdict: Verdict, conversation: str, heard: Sequence[tuple[int, Durable]], kept: Sequence[Event]
) -> None:
    """A follower heard the stored events one after the other, each once, from the first to the last it heard."""
    if [seq for seq, _ in heard] != list(range(1, len(heard) + 1)):
        verdict.find("missed", f"{conversation}: heard {[seq for seq, _ in heard]}")
    by_seq = {event.seq: event for event in kept}
    for seq, event in heard:
        if by_seq.get(seq) != event:
            verdict.find("missed", f"{conversation} event {seq} was heard otherwise than it is stored")


def check_requests(verdict: Verdict, conversation: str, requests: Sequence[Sequence[dict[str, Any]]]) -> None:
    """What a strict provider would refuse, and what would cost its cache: `requests` are the messages of each."""
    before: Sequence[dict[str, Any]] = ()
    for number, messages in enumerate(requests, start=1):
        _check_request(verdict, f"{conversation} request {number}", messages)
        if list(messages[: len(before)]) != list(before):
            verdict.find("rewritten", f"{conversation} request {number}")
        before = messages


def _check_request(verdict: Verdict, where: str, messages: Sequence[dict[str, Any]]) -> None:
    open_calls: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                verdict.find("unbalanced", f"{where}: a result without its call")
                return
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            verdict.find("unbalanced", f"{where}: {open_calls} have no result")
            return
        open_calls = [call["id"] for call in message.get("tool_calls") or ()]
    if open_calls:
        verdict.find("unbalanced", f"{where}: {open_calls} have no result")
