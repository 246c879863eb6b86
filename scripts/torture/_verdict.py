"""What is looked for after a kill: in the store, in the work folder, and on the wire."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _script import EFFECTS

from letta_code.agent.history import History
from letta_code.core.events import AssistantMessage, Event, MessageQueued, ToolResult, UserMessage
from letta_code.store.database import Store
from letta_code.store.journal import StoredEvent
from letta_code.store.salvage import read_mirror

# Each must be 0.
WRONGS = {
    "lost": "acknowledged events that are not in the store as they were told",
    "duplicated": "events, messages, results or effects that are there twice",
    "damaged": "gaps in seq, wrong checksums, wrong lines of a mirror",
    "unbalanced": "requests or steps with a tool call that has no result, or a result without its call",
    "rewritten": "requests that do not begin with the messages of the one before",
    "not opened": "conversations that could not be opened",
    "not finished": "conversations that could not be brought to their end",
}


class Verdict:
    """Counts what is wrong; `findings` says where, the first few of each kind."""

    def __init__(self) -> None:
        self.wrongs: Counter[str] = Counter()
        self.findings: list[str] = []
        self.acknowledged = 0
        self.reopened: list[float] = []  # milliseconds
        self.moments: Counter[str] = Counter()  # what was under way when a process was killed
        self._reported: set[tuple[str, str]] = set()

    def find(self, kind: str, where: str) -> None:
        """Count one wrong thing; the same thing seen again after the next kill is not counted again."""
        if (kind, where) in self._reported:
            return
        self._reported.add((kind, where))
        self.wrongs[kind] += 1
        if self.wrongs[kind] <= 5:
            self.findings.append(f"{kind}: {where}")

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrongs.total()


def check_store(verdict: Verdict, home: Path, conversation: str, told: Mapping[int, bytes], *, killed: bool) -> None:
    """Open the store as the next process would and compare the conversation with what was told of it."""
    began = time.perf_counter()
    history = History()
    try:
        with Store.open(home / "letta.db", conversations_dir=home / "conversations", run_dir=home / "run") as store:
            read = store.read(conversation)
            history.extend(stored.event for stored in read)
            last = store.last_seq(conversation)
    except Exception as error:  # noqa: BLE001 - whatever stops a conversation from opening is the finding
        verdict.find("not opened", f"{conversation}: {error!r}")
        return
    verdict.reopened.append((time.perf_counter() - began) * 1000)
    if killed:
        moment = "with a call under way" if history.open_calls else "in a run" if history.run else "outside a run"
        verdict.moments[moment] += 1
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
    with Store.open(home / "letta.db", run_dir=home / "run") as store:
        if [row.body for row in rows] != [stored.raw for stored in store.read(conversation)]:
            verdict.find("damaged", f"{conversation}.jsonl differs from the store")


def check_effects(verdict: Verdict, folder: Path) -> None:
    """No command ran twice."""
    path = folder / EFFECTS
    lines = path.read_text().split() if path.exists() else []
    for name, count in Counter(lines).items():
        if count > 1:
            verdict.find("duplicated", f"{folder.name}: command {name} ran {count} times")


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
