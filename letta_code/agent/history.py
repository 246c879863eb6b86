"""History: what a conversation's journal adds up to, kept up to date one event at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

from letta_code.core import events as ev
from letta_code.core.messages import (
    AssistantText,
    Message,
    Reminder,
    Summary,
    ToolCall,
    ToolText,
    Usage,
    UserText,
    text_of,
)
from letta_code.core.requests import ApprovalRequest, Approve, Request
from letta_code.core.view import View, goes_back
from letta_code.safety.taint import Taints

MEMORY = "memory"  # the kind of reminders that tell of changed blocks, until the head carries them
COMPACTION = "compaction"  # why a head is pinned by a compaction, in one commit with it
PRESSURE = "memory_pressure"  # the kind of the reminder that the context will soon be compacted

_STILL_ASKED = 3  # messages of runs that did not end well which may still be work to do

# Parts of an answer that was asked for again from the same prompt: shown to the person, not sent to the model.
_NOT_SENT = frozenset({"stalled"})


class History:
    """The conversation so far: the messages a model is sent, and the state that the next step needs.

    Only `apply` changes it; the same events give the same history in every process.
    """

    def __init__(self) -> None:
        self.last_seq = 0
        self.started: ev.ConversationStarted | None = None
        self.title = ""
        self.pinned: ev.ContextPinned | None = None
        self.messages: list[Message] = []
        self.seqs: list[int] = []  # the event that each message came with
        self.rewritten = 0  # how often messages were taken away, so that what was counted of them is counted anew
        self.answered_seq = 0  # the newest answer of the model
        self.compaction: ev.ContextCompacted | None = None
        self.compactions = 0
        self.pressed = False  # whether the model was told since then that the context is nearly full
        self.reflected_until = 0  # the newest event that a reflection has read
        self.facts: dict[str, str] = {}  # the fact_key last told, by kind
        self.seen: dict[str, str] = {}  # the SHA-256 of each file version that the model knows, by real path
        self.tool_state: dict[str, Mapping[str, str]] = {}
        self.loaded_tools: list[str] = []  # JSON arrays of specifications, in the order they came
        self.queued: dict[str, ev.MessageQueued] = {}
        self.client_ids: set[str] = set()
        self.open_calls: dict[str, ToolCall] = {}
        self.open_requests: dict[str, Request] = {}
        self.approvals: list[Approve] = []
        self.run: ev.RunStarted | None = None  # the one that has not ended
        self.run_said = 0  # the first message since the last run ended: what the run at hand is about
        self.run_moved: ev.RunMoved | None = None  # it was given away, and nobody has taken it yet
        self.run_background = False
        self.run_mode = ""  # which mode the open run was in last
        self.run_attempts = 0  # how often its owner died and another went on with it
        self.run_steps = 0
        self.before_run: tuple[Usage, float | None] = (Usage(), None)  # used and spent when it began
        self.checkpoints: list[ev.CheckpointMade] = []  # also of what was taken back: they lead there again
        self.taints = Taints()  # the sources of text from outside, also of what was summarised since
        self.rewinds: list[tuple[int, int]] = []  # seq and `to_seq` of each time that messages were taken back
        self.rewinding: ev.CheckpointMade | None = None  # a rewind began and has not ended
        self.last_run: ev.RunFinished | None = None
        self.asked: list[tuple[int, str]] = []  # event and words of what the person said for work that is not done yet
        self.settings: dict[str, str] = {}
        self.todo: tuple[str, ...] = ()
        self.usage = Usage()
        self.cost: float | None = None
        self.known_tokens = 0  # tokens of the context as the provider last counted them, or a compaction left them
        self.known_messages = 0  # how many messages that count covers
        self.known_exact = False  # whether it is the provider's

    def extend(self, events: Iterable[ev.Event]) -> None:
        """Apply several events in order: a conversation's whole journal, or what follows with no way back in it."""
        whole = list(events)
        back = [(event.seq, event.to_seq) for event in whole if isinstance(event, ev.Rewound) and goes_back(event)]
        if not back:
            for event in whole:
                self.apply(event)
            return
        counting = View(back, whole[-1].seq)
        for event in whole:
            if counting.counts(event.seq):
                self.apply(event)
            else:
                self._taken_back(event)

    def _taken_back(self, event: ev.Event) -> None:
        """What stays true of an event that counts no longer: what it cost, what a person set, that it was sent."""
        self.last_seq = event.seq
        match event:
            case ev.UserMessage(client_id=client_id):
                self._delivered(client_id)
            case ev.AssistantMessage() | ev.ContextCompacted():
                self._spent(event.usage, event.cost)
            case (
                ev.MessageQueued()
                | ev.MessageUnqueued()
                | ev.ConversationRenamed()
                | ev.SettingChanged()
                | ev.RequestAnswered()
                | ev.ReflectionDone()
                | ev.CheckpointMade()
                | ev.Rewound()
                | ev.Notice()
            ):
                self._state(event)
            case _:
                pass

    @property
    def view(self) -> View:
        """Which events of the journal count."""
        return View(self.rewinds, self.last_seq)

    def become(self, other: History) -> None:
        """Be what another history is: messages were taken back, and it was built from the journal as it is now."""
        rewritten = self.rewritten
        self.__dict__.update(other.__dict__)
        self.rewritten = rewritten + 1

    def apply(self, event: ev.Event) -> None:
        """Take one stored event into account; unknown ones only move `last_seq`."""
        if event.seq:
            self.last_seq = event.seq
        if (often := self._OFTEN.get(type(event))) is not None:
            often(self, event)
            return
        match event:
            case ev.ReminderAdded():
                self._add(Reminder(message_id=event.message_id, kind=event.kind, text=event.text), event.seq)
                self.pressed = self.pressed or event.kind == PRESSURE
                if event.fact_key:
                    self.facts[event.kind] = event.fact_key
            case ev.ContextPinned():
                self._pin(event)
            case ev.ContextCompacted():
                self._compact(event)
            case ev.ToolsLoaded():
                self.loaded_tools.append(event.tools)
            case _:
                self._state(event)

    def _state(self, event: ev.Event) -> None:
        match event:
            case ev.ConversationStarted():
                self.started = event
            case ev.ConversationRenamed():
                self.title = event.title
            case ev.MessageQueued():
                self.queued[event.client_id] = event
                self.client_ids.add(event.client_id)
            case ev.MessageUnqueued():
                self.queued.pop(event.client_id, None)
            case ev.RunStarted() | ev.RunDetached() | ev.RunMoved() | ev.RunResumed():
                self._run_lives(event)
            case ev.RequestMade():
                self.open_requests[event.request.request_id] = event.request
                if isinstance(event.request, ApprovalRequest):
                    self.taints = self.taints.asked(event.request.request_id, event.request.reason)
            case ev.RequestAnswered():
                self.open_requests.pop(event.request_id, None)
                given = event.answer if isinstance(event.answer, Approve) and event.answer.pattern else None
                if given is not None:
                    self.approvals.append(given)
                rule = given.pattern.strip() if given is not None and given.remember != "once" else ""
                self.taints = self.taints.answered(event.request_id, rule)
            case ev.SettingChanged():
                self._set(event)
            case ev.TodoChanged():
                self.todo = event.lines
            case ev.CheckpointMade() | ev.Rewound() | ev.Notice(code="rewind"):
                self._went_back(event)
            case ev.ReflectionDone():
                self._spent(event.usage, event.cost)
                if event.status != "failed":
                    self.reflected_until = max(self.reflected_until, event.read_until)
            case _:
                pass

    def _went_back(self, event: ev.CheckpointMade | ev.Rewound | ev.Notice) -> None:
        """Checkpoints and rewinds; the messages of those that were taken back go with `become`."""
        match event:
            case ev.CheckpointMade():
                self.checkpoints.append(event)
                self.rewinding = event if event.kind == "rewind" else self.rewinding
            case ev.Rewound():
                self.rewinding = None
                if event.to_seq:
                    self.rewinds.append((event.seq, event.to_seq))
                    self.run, self.run_moved = None, None  # one may have gone on at the place that is gone back to
                    self.run_said = 0
                    self.open_calls.clear()
                    self.open_requests.clear()
            case ev.Notice():
                self.rewinding = None

    def _run_lives(self, event: ev.RunStarted | ev.RunDetached | ev.RunMoved | ev.RunResumed) -> None:
        self.run_background = event.background
        match event:
            case ev.RunStarted():
                self.run, self.run_steps, self.run_attempts = event, 0, 0
                self.run_mode = event.mode
                self.before_run = (self.usage, self.cost)
            case ev.RunMoved():
                self.run_moved = event
            case ev.RunResumed():
                self.run_moved, self.run_attempts = None, event.attempt
                self.run_mode = event.mode or self.run_mode
            case ev.RunDetached():
                pass

    def _run_ends(self, event: ev.RunFinished) -> None:
        self.run, self.run_moved, self.last_run, self.run_said = None, None, event, 0
        del self.asked[: None if event.reason == ev.StopReason.DONE else -_STILL_ASKED]

    def _set(self, event: ev.SettingChanged) -> None:
        self.run_mode = event.value if event.name == "mode" else self.run_mode
        self.settings[event.name] = event.value

    def _user(self, event: ev.UserMessage) -> None:
        self._add(UserText(message_id=event.message_id, content=event.content), event.seq)
        self.asked.append((event.seq, text_of(event.content).strip()))
        self.run_said = self.run_said or event.seq
        self._delivered(event.client_id)

    def _add(self, message: Message, seq: int) -> None:
        self.messages.append(message)
        self.seqs.append(seq)

    def _spent(self, usage: Usage, cost: float | None) -> None:
        self.usage = self.usage.plus(usage)
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost

    def _pin(self, event: ev.ContextPinned) -> None:
        """The head carries memory as of its pin: what was told of memory before says nothing any more."""
        if self.pinned is not None:
            compacted = self.known_tokens if event.reason == COMPACTION else 0  # counted with this head
            self._keep([not (isinstance(m, Reminder) and m.kind == MEMORY) for m in self.messages])
            self._counted_anew(compacted)
        self.pinned = event
        self.facts[MEMORY] = event.memory

    def _compact(self, event: ev.ContextCompacted) -> None:
        """Evict what is older than the first kept event; each fact's newest reminder stays, before the summary."""
        self.compaction = event
        self.compactions += 1
        self.pressed = False
        self._spent(event.usage, event.cost)
        standing = self.standing()
        kept = [seq >= event.first_kept_seq or at in standing for at, seq in enumerate(self.seqs)]
        answers = sum(_answers(message) for message, stays in zip(self.messages, kept, strict=True) if not stays)
        self._keep(
            [
                stays and not (isinstance(message, Reminder) and message.kind == PRESSURE)
                for message, stays in zip(self.messages, kept, strict=True)
            ]
        )
        place = sum(seq < event.first_kept_seq for seq in self.seqs)
        self.messages.insert(place, Summary(message_id=event.message_id, text=event.summary, answers=answers))
        self.seqs.insert(place, event.first_kept_seq)
        self._counted_anew(event.tokens_after)

    def standing(self) -> set[int]:
        """Where the newest reminder of each fact stands: a compaction leaves it, but for what was told of memory."""
        newest = {m.kind: at for at, m in enumerate(self.messages) if isinstance(m, Reminder) and m.kind in self.facts}
        newest.pop(MEMORY, None)
        return set(newest.values())

    def _keep(self, kept: Sequence[bool]) -> None:
        self.messages[:] = [message for message, stays in zip(self.messages, kept, strict=True) if stays]
        self.seqs[:] = [seq for seq, stays in zip(self.seqs, kept, strict=True) if stays]

    def _counted_anew(self, tokens: int = 0) -> None:
        self.rewritten += 1
        self.known_tokens, self.known_exact = tokens, False
        self.known_messages = len(self.messages) if tokens else 0

    def _delivered(self, client_id: str) -> None:
        if client_id:
            self.queued.pop(client_id, None)
            self.client_ids.add(client_id)

    def _assistant(self, event: ev.AssistantMessage) -> None:
        self._spent(event.usage, event.cost)
        if event.finish in _NOT_SENT:
            return
        self.answered_seq = event.seq
        self.run_steps += 1
        message = AssistantText(
            message_id=event.message_id, text=event.text, reasoning=event.reasoning, tool_calls=event.tool_calls
        )
        self._add(message, event.seq)
        for call in event.tool_calls:
            self.open_calls[call.id] = call
        if event.usage_exact:
            self.known_tokens = event.usage.input + event.usage.output
            self.known_messages, self.known_exact = len(self.messages), True

    def _tool_result(self, event: ev.ToolResult) -> None:
        self.open_calls.pop(event.call_id, None)
        message = ToolText(
            message_id=event.message_id,
            call_id=event.call_id,
            name=event.name,
            content=event.content,
            is_error=event.status != "ok",
        )
        self._add(message, event.seq)
        for file in event.files:
            self.seen[file.path] = file.sha
        if event.state:
            self.tool_state[event.name] = event.state
        self.taints = self.taints.plus(event.taint)

    # Nearly all events of a long conversation are of these kinds: one look instead of a dozen comparisons for each.
    _OFTEN: ClassVar[Mapping[type, Callable[..., None]]] = {
        ev.UserMessage: _user,
        ev.AssistantMessage: _assistant,
        ev.ToolResult: _tool_result,
        ev.RunStarted: _run_lives,
        ev.RunFinished: _run_ends,
        ev.SettingChanged: _set,
    }

    @property
    def mode(self) -> str:
        """The mode this conversation was set to, "" when it never was; `full` holds for one start only."""
        mode = self.settings.get("mode", "")
        return "" if mode == "full" else mode

    @property
    def model(self) -> str:
        """The model this conversation was set to, "" when it never was."""
        return self.settings.get("model", "")


def _answers(message: Message) -> int:
    """How many answers of the model a message is, or stands for."""
    return message.answers if isinstance(message, Summary) else int(isinstance(message, AssistantText))
