"""A model for long conversations: works with tools, plants facts, writes good, forgetful, broken or no summaries."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import cycle, pairwise

from letta_code.config.settings import Settings
from letta_code.core.errors import Overloaded
from letta_code.core.messages import (
    AssistantText,
    Message,
    Reminder,
    Summary,
    ToolText,
    Usage,
    UserText,
    text_of,
)
from letta_code.llm.connect import open_model
from letta_code.llm.model import (
    CallPiece,
    ChatRequest,
    Finish,
    ModelInfo,
    StreamPart,
    TellsBytes,
    TextPiece,
    UsagePiece,
)

PROVIDER_COUNTS = 1.1  # tokens of the provider for one of ours
_FILLER = "It was looked at closely, measured twice, and the outcome was written down for later. "

GOOD, LOSES, FORGETS, DENIES, EMPTY, REFUSES, FAILS, LONG, CUT = KINDS = (
    "good", "loses half", "forgets all", "contradicts", "empty", "refuses", "fails", "too long", "cut off",
)  # fmt: skip
_SECTIONS = {"What": "Goals", "Open": "Next step", "Files": "Current state"}  # by the first word of a list's title
_DECISIONS = "Decisions and exact identifiers"


class Request:
    """What one request of the conversation held."""

    def __init__(self, request: ChatRequest, head: bytes, messages: bytes, tokens: int, newest: int) -> None:
        self.head = head
        self.messages = messages
        self.tokens = tokens
        self.newest = newest  # tokens of what came since the model spoke last
        self.balanced = _balanced(request.messages)
        self.summaries = tuple(m.message_id for m in request.messages if isinstance(m, Summary))


class Talker:
    """A `ChatModel`.  What it does is in the person's message, such as `[read F G] [ask Q] [todo A|B]`.

    Several files are read by several calls of one step.  `on_summary` is called in the middle of each summary.
    """

    on_summary: Callable[[], None] | None = None

    def __init__(self, kinds: Sequence[str], seen: Callable[[ChatRequest, Request], None]) -> None:
        client = open_model("openai/torture", Settings(), lambda name: None, environ={"OPENAI_API_KEY": "none"})
        if not isinstance(client, TellsBytes):
            raise TypeError("the client does not tell its bytes")
        self._client = client
        self._seen = seen
        self.kinds: Iterator[str] = cycle(kinds)
        self.made: Counter[str] = Counter()
        self._asked = self._words = ""
        self._done = 0

    @property
    def info(self) -> ModelInfo:
        """A model with a large window: the setting is the limit."""
        return ModelInfo(name="openai/torture", window=200_000, input_price=1e-6, output_price=5e-6)

    async def close(self) -> None:
        """Nothing to give back."""

    async def stream(self, request: ChatRequest) -> AsyncIterator[StreamPart]:
        """One answer."""
        if request.aside:
            async for part in self._summary(request):
                yield part
            return
        body = self._client.body(request)
        head, _, messages = body.partition(b'"messages":[')
        tokens = int(sum(map(_tokens, _texts(request))) * PROVIDER_COUNTS)
        newest = int(sum(map(_tokens, _newest(request))) * PROVIDER_COUNTS)
        self._seen(request, Request(request, head, messages.removesuffix(b"]}"), tokens, newest))
        text, calls = self._turn(request.messages)
        yield TextPiece(text=text)
        for index, (name, arguments) in enumerate(calls):
            yield CallPiece(index=index, id=f"c_{self._asked}_{self._done}_{index}", name=name)
            yield CallPiece(index=index, arguments=json.dumps(arguments))
        said = text + "".join(json.dumps(call) for call in calls)
        yield UsagePiece(usage=Usage(input=tokens, output=_tokens(said)))
        yield Finish(reason="tool_calls" if calls else "stop")

    def _turn(self, messages: Sequence[Message]) -> tuple[str, list[tuple[str, dict[str, object]]]]:
        """The words of the person's last message are the orders; each is done once, one a step."""
        asked = next((m for m in reversed(messages) if isinstance(m, UserText)), None)
        if asked is not None and asked.message_id > self._asked:  # in a long run it leaves the context
            self._asked, self._words, self._done = asked.message_id, text_of(asked.content), 0
        orders = re.findall(r"\[(\w+) ([^\]]*)\]", self._words)
        done, self._done = self._done, self._done + 1
        if done >= len(orders):
            fact = re.search(r"tell fact (\S+)", self._words)
            told = f" For the record: the measured value is {fact[1]}." if fact else ""
            return f"Done.{told} {_FILLER}", []
        name, rest = orders[done]
        match name:
            case "read":
                return "I look.", [("Read", {"path": path}) for path in rest.split()]
            case "search":
                return "I search.", [("conversation_search", {"query": rest, "limit": 5})]
            case "write":
                return "I write it.", [("Write", {"path": rest, "content": f"{rest}\n{_FILLER}\n"})]
            case "ask":
                return "I ask.", [("AskUser", {"question": rest})]
            case _:
                items = [{"text": text, "status": "pending"} for text in rest.split("|") if text]
                return "I note it.", [("Todo", {"items": items})]

    async def _summary(self, request: ChatRequest) -> AsyncIterator[StreamPart]:
        kind = next(self.kinds)
        self.made[kind] += 1
        text = next(_texts(ChatRequest(system="", tools=(), messages=request.messages)))
        _, _, kept = text.partition("Must be kept, word for word:\n")
        kept, _, _ = kept.partition("\n\n")
        if kind == FAILS:
            raise Overloaded("the model is down")
        body = "# Errors and fixes\n" + _FILLER * 3
        said = "" if kind == FORGETS else _told(kept, kind)
        if kind == LONG:
            said += _FILLER * 2_000
        if kind not in (EMPTY, REFUSES):
            yield TextPiece(text=body)
            if self.on_summary is not None:
                self.on_summary()
            yield TextPiece(text=said)
        yield UsagePiece(usage=Usage(input=_tokens(text), output=_tokens(body + said)))
        yield Finish(reason={REFUSES: "refusal", CUT: "length"}.get(kind, "stop"))


def _told(kept: str, kind: str) -> str:
    """The items that a summary was asked to copy, each in its section: all, half of them, or said to be void."""
    title, sections = _DECISIONS, dict[str, list[str]]()
    for line in kept.splitlines():
        if item := re.fullmatch(r"- (?:\[\d+\] )?(.+)", line):
            sections.setdefault(title, []).append(item[1])
        else:
            title = _SECTIONS.get(line.split()[0], _DECISIONS)
    if kind == LOSES:
        sections = {title: items[::2] for title, items in sections.items()}
    if kind == DENIES:
        sections = {
            title: [f"What was said before, '{one}', is void" for one in items] for title, items in sections.items()
        }
    return "".join(f"\n# {title}\n" + "\n".join(f"- {item}" for item in items) for title, items in sections.items())


def _tokens(text: str) -> int:
    return (len(text) + 3) // 4


def _text(message: Message) -> str:
    match message:
        case UserText() | ToolText():
            return text_of(message.content)
        case AssistantText():
            return message.text + "".join(f"\n{call.name} {call.arguments}" for call in message.tool_calls)
        case Reminder() | Summary():
            return message.text


def _texts(request: ChatRequest) -> Iterator[str]:
    if request.system:
        yield request.system
    yield from _tools(request)
    yield from map(_text, request.messages)


def _tools(request: ChatRequest) -> Iterator[str]:
    return (f"{tool.name}{tool.description}{tool.parameters.decode()}" for tool in request.tools)


def _newest(request: ChatRequest) -> Iterator[str]:
    for message in reversed(request.messages):
        if isinstance(message, AssistantText):
            yield _text(message)
            return
        yield _text(message)


def _balanced(messages: Sequence[Message]) -> bool:
    open_calls: set[str] = set()
    for message in messages:
        if isinstance(message, ToolText):
            if message.call_id not in open_calls:
                return False
            open_calls.discard(message.call_id)
        elif open_calls:
            return False
        elif isinstance(message, AssistantText):
            open_calls = {call.id for call in message.tool_calls}
    return not open_calls


def rewritten(requests: Sequence[Request]) -> Iterator[int]:
    """Numbers of requests that do not begin with the one before, though no compaction came between."""
    for number, (before, after) in enumerate(pairwise(requests), start=2):
        if before.summaries == after.summaries:
            same = after.head == before.head and after.messages.startswith(before.messages)
            if not same:
                yield number
