"""History: what a conversation's journal adds up to, kept up to date one event at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from letta_code.core import events as ev
from letta_code.core.messages import (
    AssistantText,
    Message,
    Reminder,
    ToolCall,
    ToolText,
    Usage,
    UserText,
)
from letta_code.core.requests import Approve, Request

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
        self.facts: dict[str, str] = {}  # the fact_key last told, by kind
        self.seen: dict[str, str] = {}  # the SHA-256 of each file version that the model knows, by real path
        self.tool_state: dict[str, Mapping[str, str]] = {}
        self.loaded_tools: list[str] = []  # JSON arrays of specifications, in the order they came
        self.queued: dict[str, ev.MessageQueued] = {}
        self.client_ids: set[str] = set()
        self.open_calls: dict[str, ToolCall] = {}
        self.open_requests: dict[str, Request] = {}
        self.approvals: list[Approve] = []
        self.run: ev.RunStarted | None = None
        self.last_run: ev.RunFinished | None = None
        self.settings: dict[str, str] = {}
        self.todo: tuple[str, ...] = ()
        self.usage = Usage()
        self.cost: float | None = None
        self.known_tokens = 0  # tokens of the context as the provider last counted them
        self.known_messages = 0  # how many messages that count covers

    def extend(self, events: Iterable[ev.Event]) -> None:
        """Apply several events in order."""
        for event in events:
            self.apply(event)

    def apply(self, event: ev.Event) -> None:
        """Take one stored event into account; unknown ones only move `last_seq`."""
        if event.seq:
            self.last_seq = event.seq
        match event:
            case ev.UserMessage():
                self.messages.append(UserText(message_id=event.message_id, content=event.content))
                self._delivered(event.client_id)
            case ev.AssistantMessage():
                self._assistant(event)
            case ev.ToolResult():
                self._tool_result(event)
            case ev.ReminderAdded():
                self.messages.append(Reminder(message_id=event.message_id, kind=event.kind, text=event.text))
                if event.fact_key:
                    self.facts[event.kind] = event.fact_key
            case ev.ContextPinned():
                self.pinned = event
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
            case ev.RunStarted():
                self.run = event
            case ev.RunFinished():
                self.run, self.last_run = None, event
            case ev.RequestMade():
                self.open_requests[event.request.request_id] = event.request
            case ev.RequestAnswered():
                self.open_requests.pop(event.request_id, None)
                if isinstance(event.answer, Approve) and event.answer.pattern:
                    self.approvals.append(event.answer)
            case ev.SettingChanged():
                self.settings[event.name] = event.value
            case ev.TodoChanged():
                self.todo = event.lines
            case _:
                pass

    def _delivered(self, client_id: str) -> None:
        if client_id:
            self.queued.pop(client_id, None)
            self.client_ids.add(client_id)

    def _assistant(self, event: ev.AssistantMessage) -> None:
        self.usage = self.usage.plus(event.usage)
        if event.cost is not None:
            self.cost = (self.cost or 0.0) + event.cost
        if event.finish in _NOT_SENT:
            return
        self.messages.append(
            AssistantText(
                message_id=event.message_id,
                text=event.text,
                reasoning=event.reasoning,
                tool_calls=event.tool_calls,
            )
        )
        for call in event.tool_calls:
            self.open_calls[call.id] = call
        if event.usage_exact:
            self.known_tokens = event.usage.input + event.usage.output
            self.known_messages = len(self.messages)

    def _tool_result(self, event: ev.ToolResult) -> None:
        self.open_calls.pop(event.call_id, None)
        self.messages.append(
            ToolText(
                message_id=event.message_id,
                call_id=event.call_id,
                name=event.name,
                content=event.content,
                is_error=event.status != "ok",
            )
        )
        for file in event.files:
            self.seen[file.path] = file.sha
        if event.state:
            self.tool_state[event.name] = event.state

    @property
    def mode(self) -> str:
        """The mode this conversation was set to, "" when it never was; `full` holds for one start only."""
        mode = self.settings.get("mode", "")
        return "" if mode == "full" else mode

    @property
    def model(self) -> str:
        """The model this conversation was set to, "" when it never was."""
        return self.settings.get("model", "")
