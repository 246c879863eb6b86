"""Draft: one answer while it comes, so that whatever has come can be kept at any moment."""

from __future__ import annotations

from time import monotonic

from letta_code.core.events import AssistantMessage, CallDelta, LiveEvent, ReasoningDelta, TextDelta
from letta_code.core.ids import new_id
from letta_code.core.messages import ReasoningPart, ToolCall, Usage
from letta_code.llm.model import (
    CallPiece,
    Finish,
    ModelInfo,
    ReasoningDone,
    ReasoningPiece,
    StreamPart,
    TextPiece,
    UsagePiece,
)
from letta_code.safety.flowing import Flowing
from letta_code.safety.vault import Vault


class _Call:
    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.characters = 0


class _Shown:
    """What was told of a text, so that the next piece has its place."""

    def __init__(self, vault: Vault) -> None:
        self._flowing = Flowing(vault)
        self._length = 0

    def more(self, text: str) -> tuple[int, str]:
        """Where the next piece stands, and the piece, "" when all of it waits."""
        shown = self._flowing.add(text)
        at, self._length = self._length, self._length + len(shown)
        return at, shown


class Draft:
    """Gathers the parts of one answer; `take` makes the message of what has come and empties it."""

    def __init__(self, vault: Vault | None = None) -> None:
        """`vault` takes secrets out of what is told live; what is taken is as it came."""
        self._vault = vault or Vault()
        self._info = ModelInfo(name="")
        self._reset()

    def _reset(self) -> None:
        self.message_id = ""
        self._text: list[str] = []
        self._text_shown = _Shown(self._vault)
        self._thought: list[str] = []
        self._thought_shown = _Shown(self._vault)
        self._reasoning: list[ReasoningPart] = []
        self._calls: dict[int, _Call] = {}
        self._usage: Usage | None = None
        self._finish = ""
        self._began = 0.0
        self._first = 0.0

    def begin(self, info: ModelInfo) -> None:
        """A new answer is awaited."""
        self._reset()
        self._info = info
        self.message_id = new_id("msg")
        self._began = monotonic()

    def add(self, part: StreamPart) -> LiveEvent | None:
        """Take a part in; gives the live event that tells of it."""
        if not self._first:
            self._first = monotonic()
        match part:
            case TextPiece(text=text):
                return self._add_text(text)
            case ReasoningPiece(text=text):
                self._thought.append(text)
                at, shown = self._thought_shown.more(text)
                return ReasoningDelta(message_id=self.message_id, offset=at, text=shown) if shown else None
            case ReasoningDone(part=whole):
                self._reasoning.append(whole)
            case CallPiece():
                return self._add_call(part)
            case UsagePiece(usage=usage):
                self._usage = usage
            case Finish(reason=reason):
                self._finish = reason
        return None

    def _add_text(self, text: str) -> LiveEvent | None:
        self._text.append(text)
        at, shown = self._text_shown.more(text)
        return TextDelta(message_id=self.message_id, offset=at, text=shown) if shown else None

    def _add_call(self, part: CallPiece) -> LiveEvent:
        call = self._calls.setdefault(part.index, _Call())
        call.id = call.id or part.id
        call.name = call.name or part.name
        call.arguments.append(part.arguments)
        call.characters += len(part.arguments)
        return CallDelta(message_id=self.message_id, call_id=call.id, name=call.name, characters=call.characters)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self._thought)

    def take(self, finish: str = "") -> AssistantMessage | None:
        """The message of what has come, None when nothing has.

        With `finish` given the answer is a part: its calls, which may be torn, are left out.
        """
        calls = () if finish else self._whole_calls()
        reasoning = tuple(self._reasoning) or ((ReasoningPart(text=self.reasoning),) if self._thought else ())
        text = self.text
        if not (text or calls or (reasoning and finish)):
            self._reset()
            return None
        usage = self._usage or Usage()
        now = monotonic()
        message = AssistantMessage(
            message_id=self.message_id,
            model=self._info.name,
            text=text,
            reasoning=reasoning,
            tool_calls=calls,
            usage=usage,
            usage_exact=self._usage is not None,
            cost=self._info.cost(usage) if self._usage is not None else None,
            finish=finish or self._finish or "stop",
            first_part_seconds=round(max(self._first - self._began, 0.0), 4),
            seconds=round(now - self._began, 4),
        )
        self._reset()
        return message

    def _whole_calls(self) -> tuple[ToolCall, ...]:
        used: set[str] = set()
        calls: list[ToolCall] = []
        for _, call in sorted(self._calls.items()):
            # A provider that repeats an id, or sends none, would make the results ambiguous.
            call_id = call.id if call.id and call.id not in used else new_id("call")
            used.add(call_id)
            calls.append(ToolCall(id=call_id, name=call.name, arguments="".join(call.arguments)))
        return tuple(calls)
