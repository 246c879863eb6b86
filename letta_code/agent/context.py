"""Context: what the model is sent, as sections whose sizes can be shown, and as one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from letta_code.agent.guarded import Guarded
from letta_code.agent.head import decode_specs
from letta_code.agent.history import History
from letta_code.core.events import ContextPinned, KnownEvent, ReminderAdded, UserMessage
from letta_code.core.messages import (
    AssistantText,
    Message,
    Reminder,
    Summary,
    TextPart,
    ToolText,
    UserText,
    Value,
    text_of,
)
from letta_code.llm.model import ChatRequest, ToolSpec


class Counter(Protocol):
    """Counts tokens: roughly at first, exactly once its vocabulary is loaded."""

    @property
    def exact(self) -> bool:
        """Whether counts are exact now."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a text."""
        ...

    def warm(self) -> None:
        """Load the vocabulary behind the scenes; harmless when done twice."""
        ...

    def use(self, encoding: str) -> None:
        """Count as a model's `ModelInfo.encoding` says."""
        ...


IMAGE_TOKENS = 1_500  # a rough figure for one picture; providers count by its size
MESSAGE_TOKENS = 4  # what a message's frame costs


class Section(Value):
    """One part of the context: `kind` is instructions, memory, tools, reminder, user, assistant, tool or summary.

    `title` names what of that kind: a block, a tool, the kind of a reminder; `seq` is the event that a message came
    with, 0 for what stands before all messages.
    """

    kind: str
    title: str
    text: str
    tokens: int
    seq: int = 0


class Context:
    """The context of one conversation: builds requests that only ever grow at their end until it is pinned anew."""

    def __init__(self, history: History, counter: Counter, guarded: Guarded | None = None) -> None:
        self._history = history
        self._guarded = guarded
        self._counter = counter
        self._count = counter.count
        self._exact = counter.exact
        self._sizes: list[int] = []  # tokens of each message, as long as the list of messages is
        self._rewritten = 0  # the state of the list that they count
        self._specs: tuple[ToolSpec, ...] = ()
        self._specs_key: tuple[str, int] = ("", 0)

    def request(self, *, max_output: int = 0) -> ChatRequest:
        """The next request: the pinned head and all messages, without secrets."""
        pinned, started = self._history.pinned, self._history.started
        request = ChatRequest(
            system=pinned.system if pinned else "",
            tools=self.tools(),
            messages=tuple(self._history.messages),
            max_output=max_output,
            conversation_id=started.conversation_id if started else "",
        )
        return self._guarded.request(request, self._history.seqs) if self._guarded else request

    def looked(self) -> None:
        """Note for the next process how far the messages were looked through for secrets (writes a file)."""
        if self._guarded:
            self._guarded.keep(self._history.messages, self._history.seqs)

    def tools(self) -> tuple[ToolSpec, ...]:
        """The tools of the next request: the pinned ones, then those that were loaded since."""
        pinned = self._history.pinned
        if pinned is None:
            return ()
        loaded = self._history.loaded_tools
        if self._specs_key != (pinned.key, len(loaded)):
            known: dict[str, ToolSpec] = {}
            for tools in (pinned.tools, *loaded):
                known.update({s.name: s for s in decode_specs(tools) if s.name not in known})
            self._specs, self._specs_key = tuple(known.values()), (pinned.key, len(loaded))
        return self._specs

    def tokens(self) -> tuple[int, bool]:
        """Tokens of the next request, and whether the provider counted most of them."""
        history = self._history
        known = history.known_messages
        if not known:
            return self.head_tokens() + sum(self._message_sizes()), False
        counted = self._current_sizes()[known:]  # those before were counted by the provider: ours may not be needed
        following = history.messages[known + len(counted) :]
        return history.known_tokens + sum(counted) + sum(map(self._size, following)), history.known_exact

    def count(self, text: str) -> int:
        """Tokens of a text by our own count."""
        return self._count(text)

    def own_count(self) -> tuple[int, Sequence[int]]:
        """Tokens of the head and of each message by our own count, comparable with each other."""
        return self.head_tokens(), self._message_sizes()

    def size_of(self, event: KnownEvent) -> int:
        """Tokens that a message will add which is not stored yet."""
        match event:
            case UserMessage():
                return self._size(UserText(message_id="", content=event.content))
            case ReminderAdded():
                return self._size(Reminder(message_id="", kind=event.kind, text=event.text))
            case _:
                return 0

    def head_tokens(self) -> int:
        """Tokens of the head by our own count."""
        pinned = self._history.pinned
        return self._count(pinned.system) + self._count(pinned.tools) if pinned else 0

    def _current_sizes(self) -> list[int]:
        """The sizes that are counted already and still hold."""
        if self._exact != self._counter.exact or self._rewritten != self._history.rewritten:
            self._exact, self._rewritten = self._counter.exact, self._history.rewritten
            self._sizes.clear()
        return self._sizes

    def _message_sizes(self) -> list[int]:
        sizes = self._current_sizes()
        sizes.extend(map(self._size, self._history.messages[len(sizes) :]))
        return sizes

    def _size(self, message: Message) -> int:
        more = MESSAGE_TOKENS
        if isinstance(message, UserText | ToolText):
            more += IMAGE_TOKENS * sum(not isinstance(part, TextPart) for part in message.content)
        if isinstance(message, AssistantText):  # signed reasoning is sent back
            more += sum(self._count(part.text) for part in message.reasoning if part.signature)
        return self._count(_text(message)) + more

    def sections(self) -> Sequence[Section]:
        """All parts of the context in the order in which they are sent; their tokens add up to `tokens`, nearly."""
        from msgspec.structs import replace

        pinned = self._history.pinned
        head = [*self._pinned_sections(pinned), *(self._tool_section(spec) for spec in self.tools())] if pinned else []
        messages = zip(self._history.messages, self._history.seqs, self._message_sizes(), strict=True)
        found = [*head, *(_section(message, seq, tokens) for message, seq, tokens in messages)]
        scale = self.tokens()[0] / max(sum(section.tokens for section in found), 1)  # the provider's count against ours
        return [replace(section, tokens=round(section.tokens * scale)) for section in found]

    def _pinned_sections(self, pinned: ContextPinned) -> Sequence[Section]:
        """The instructions and each block of memory."""
        from letta_code.memory.render import parted

        instructions, blocks = parted(pinned.system)  # a new agent's memory has no pin yet
        found = [
            Section(kind="instructions", title="Instructions", text=instructions, tokens=self._count(instructions))
        ]
        return [*found, *(Section(kind="memory", title=n, text=t, tokens=self._count(t)) for n, t in blocks)]

    def _tool_section(self, spec: ToolSpec) -> Section:
        text = f"{spec.name}\n{spec.description}\n{spec.parameters.decode()}"
        return Section(kind="tools", title=spec.name, text=text, tokens=self._count(text))


def _text(message: Message) -> str:
    match message:
        case AssistantText():
            calls = "".join(f"\n{call.name} {call.arguments}" for call in message.tool_calls)
            return message.text + calls
        case UserText() | ToolText():
            return text_of(message.content)
        case Reminder() | Summary():
            return message.text


def _section(message: Message, seq: int, tokens: int) -> Section:
    match message:
        case UserText():
            kind, title = "user", "Message"
        case AssistantText():
            kind, title = "assistant", "Answer"
        case ToolText():
            kind, title = "tool", f"Result of {message.name}"
        case Reminder():
            kind, title = "reminder", message.kind
        case Summary():
            kind, title = "summary", "Summary"
    return Section(kind=kind, title=title, text=_text(message), tokens=tokens, seq=seq)
