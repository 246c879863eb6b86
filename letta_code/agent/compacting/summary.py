"""Summary: asks the model for a summary of what leaves, part by part where it does not fit into one request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import cache
from pathlib import Path
from time import monotonic

from letta_code.agent.compacting.must_keep import Item, listed
from letta_code.agent.compacting.outline import outline
from letta_code.agent.draft import Draft
from letta_code.agent.transcript import SHORT, Entry, Lengths, entries_of, rendered
from letta_code.core.errors import BadKey, ContextOverflow, EndpointUnreachable, ProviderError, QuotaExceeded
from letta_code.core.events import AssistantMessage, Event
from letta_code.core.ids import new_id
from letta_code.core.messages import TextPart, Usage, UserText, Value
from letta_code.llm.model import ChatModel, ChatRequest
from letta_code.llm.retry import OnWait, Restarted, RetryLimits, stream_with_retries

ASIDE = "compaction"
LONG = Lengths(person=12_000, agent=6_000, call=1_200, result=1_500, error=2_500)
SECONDS = 900.0  # for one request; a model on this machine may need minutes
RETRY_SECONDS = 90.0  # then the context is cut without a model
_MOST_REQUESTS = 8
_SMALLEST_INPUT = 1_500  # tokens
_SHORTEST = 120  # characters; less is no summary
_WORDS = 0.6  # words for a token of the budget, with some air
_THINKING = 4_000  # tokens of output for models that think before they write

# What the next request would meet as well: nothing is won by cutting the context now.
_NOT_OURS = (BadKey, QuotaExceeded, EndpointUnreachable)


class SummaryFailed(Exception):
    """No summary came; says why, for the person."""


class Task(Value):
    """What is to be summarised.

    `before` is the summary so far, `events` what left since, `kept` what must survive and `copied` what of that the
    summary is to copy, `left_out` says what else had no room; `budget` are the tokens that it may have.
    """

    conversation_id: str
    before: str
    events: tuple[Event, ...]
    kept: tuple[Item, ...]
    copied: tuple[Item, ...]
    left_out: str
    instructions: str
    budget: int


class Spent:
    """What the requests cost, also those that came to nothing."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.cost: float | None = None
        self._began = monotonic()

    def add(self, message: AssistantMessage) -> None:
        """Count an answer."""
        self.usage = self.usage.plus(message.usage)
        if message.cost is not None:
            self.cost = (self.cost or 0.0) + message.cost

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return round(monotonic() - self._began, 3)


class Summariser:
    """Asks one model; `room` are the tokens of text that a request of it may carry."""

    def __init__(
        self,
        model: ChatModel,
        count: Callable[[str], int],
        *,
        room: int,
        retry_seconds: float,
        on_wait: OnWait,
        seconds: float = SECONDS,
    ) -> None:
        self._model = model
        self._count = count
        self.room = room
        self._limits = RetryLimits(retry_seconds=min(retry_seconds, RETRY_SECONDS))
        self._on_wait = on_wait
        self._seconds = seconds
        self.spent = Spent()

    async def summarise(self, task: Task) -> str:
        """The summary.  Raises `SummaryFailed`, or the provider's error where any request would meet it."""
        room = self.room
        while True:
            try:
                return await self._all_parts(task, room)
            except ContextOverflow as error:  # our count is too low, or the window unknown
                room //= 2
                if room < _SMALLEST_INPUT:
                    raise SummaryFailed(f"the text to summarise does not fit: {error}") from error
            except _NOT_OURS:
                raise
            except ProviderError as error:
                raise SummaryFailed(str(error)) from error
            except TimeoutError as error:
                raise SummaryFailed(f"no summary came within {self._seconds:.0f} s") from error

    async def _all_parts(self, task: Task, room: int) -> str:
        fixed = self._count(_request_text(task, "", ())) + self._count(instructions())
        parts = self._parts(task.events, max(room - fixed - task.budget - self.max_output(task.budget), 0))
        summary = task.before
        if len(parts) > _MOST_REQUESTS:  # a conversation of another tool, or of a much larger window
            early = [entry for part in parts[: -_MOST_REQUESTS + 1] for entry in part]
            summary = outline(early, summary, self._count, task.budget)
            parts = parts[-_MOST_REQUESTS + 1 :]
        for part in parts:
            summary = await self._ask(task, _request_text(task, summary, part))
        return summary

    def _parts(self, events: Sequence[Event], room: int) -> list[list[Entry]]:
        """The entries for each request: as long as they may be where one is enough, else shortened."""
        room = max(room, _SMALLEST_INPUT)
        parts: list[list[Entry]] = []
        for lengths in (LONG, Lengths(), SHORT):
            parts = self._parted(entries_of(events, lengths), room)
            if len(parts) == 1:
                break
        return parts

    def _parted(self, entries: Sequence[Entry], room: int) -> list[list[Entry]]:
        parts: list[list[Entry]] = [[]]
        left = room
        for entry in entries:
            cost = self._count(entry.rendered()) + 1
            if cost > left and parts[-1]:
                parts.append([])
                left = room
            parts[-1].append(entry)
            left -= cost
        return parts

    def max_output(self, budget: int) -> int:
        """Tokens of output to ask for: twice the budget, since a model that stops in the middle gave nothing."""
        info = self._model.info
        wanted = budget * 2 + _THINKING
        limits = [limit for limit in (info.max_output, info.window // 4) if limit]
        return min([wanted, *limits])

    async def _ask(self, task: Task, text: str) -> str:
        message = await self._answer(text, self.max_output(task.budget))
        said = message.text.strip() if message else ""
        if message is None or message.finish == "refusal" or len(said) < _SHORTEST:
            raise SummaryFailed(f"the model wrote none ({said[:80]!r})" if said else "the model wrote none")
        if message.finish == "length":
            raise SummaryFailed("the summary was cut off at the output limit")
        return said

    async def _answer(self, text: str, max_output: int) -> AssistantMessage | None:
        from msgspec.structs import replace

        request = ChatRequest(
            system=instructions(),
            tools=(),
            messages=(UserText(message_id=new_id("msg"), content=(TextPart(text=text),)),),
            max_output=max_output,
            aside=ASIDE,
        )
        info, draft = self._model.info, Draft()
        draft.begin(info)
        parts = stream_with_retries(self._model, request, limits=self._limits, on_wait=self._on_wait)
        async with asyncio.timeout(self._seconds), aclosing(parts):
            async for part in parts:
                if isinstance(part, Restarted):
                    draft.begin(info)
                else:
                    draft.add(part)
        message = draft.take()
        if message is not None and not message.usage_exact:
            usage = Usage(input=self._count(request.system + text), output=self._count(message.text))
            message = replace(message, usage=usage, cost=info.cost(usage))
        if message is not None:
            self.spent.add(message)
        return message


@cache
def instructions() -> str:
    """How to summarise, from `prompts/compaction.md`."""
    path = Path(__file__).parent.parent / "prompts" / "compaction.md"
    return path.read_text(encoding="utf-8").strip()


def _request_text(task: Task, before: str, entries: Sequence[Entry]) -> str:
    words = max(int(task.budget * _WORDS) // 50 * 50, 150)
    first, last = (entries[0].seq, entries[-1].seq) if entries else (0, 0)
    parts = [
        f"Conversation {task.conversation_id}, events {first} to {last}; what came after stays with the agent. "
        f"At most {words} words."
    ]
    if before:
        parts.append(f"<earlier_summary>\n{before}\n</earlier_summary>")
    parts.append(f"<transcript>\n{rendered(entries)}\n</transcript>")
    if task.copied:
        parts.append(f"Must be kept, word for word:\n{listed(task.copied)}")
    if task.instructions:
        parts.append(f"The person says of this summary: {task.instructions}")
    parts.append(f"Write the summary now: the sections only, at most {words} words.")
    return "\n\n".join(parts)
