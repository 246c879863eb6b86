"""The loop: model, tools, model, until the model has no more calls.

A pure async generator.  It yields groups of durable events (tuples), which its consumer stores before it resumes the
generator, and live events, which are only told.  It knows neither store nor policy: all that comes in by `Services`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol, TypeAlias

from letta_code.agent.draft import Draft
from letta_code.agent.repeats import Repeats, is_stopped, is_warned
from letta_code.core.errors import ContextOverflow, ProviderError
from letta_code.core.events import (
    AssistantMessage,
    DraftDropped,
    KnownEvent,
    LiveEvent,
    ReminderAdded,
    StopReason,
    TodoChanged,
    ToolResult,
    ToolsLoaded,
)
from letta_code.core.ids import new_id
from letta_code.core.messages import TextPart, ToolCall, Value, text_of
from letta_code.llm.model import ChatRequest, ModelInfo, StreamPart
from letta_code.llm.retry import Restarted

Output: TypeAlias = "tuple[KnownEvent, ...] | LiveEvent"

_EMPTY = "Your last message was empty. Go on with the task, or say that it is finished and what was done."
_CUT = "Your last message was cut at the output limit. Go on from where it stopped; use smaller steps."
_REPEATED = (
    "\n[This exact call was made {count} times. Repeating it will not help: try another way, "
    "or say what blocks you. The run is stopped if this goes on.]"
)
NUDGES = 2


class Judged(Value):
    """A call that was judged: `refusal` is its result when it may not run."""

    call: ToolCall
    reads_only: bool
    understood: bool = True
    refusal: ToolResult | None = None
    stop: bool = False  # the person said no and to stop


class Done(Value):
    """The result of a call and what goes with it into the journal; `marks` parts at its end are our own words."""

    result: ToolResult
    also: tuple[TodoChanged | ToolsLoaded, ...] = ()
    marks: int = 0


class Services(Protocol):
    """What the loop needs from outside."""

    @property
    def info(self) -> ModelInfo:
        """The model in use."""
        ...

    @property
    def draft(self) -> Draft:
        """Where the answer gathers while it comes, so that an interrupt can keep it."""
        ...

    def pending(self) -> Sequence[ToolCall]:
        """Calls of an answer that another process left before they ran; they come first."""
        ...

    def leaves(self) -> bool:
        """Whether the run is to go on elsewhere from this step boundary."""
        ...

    async def prepare(self) -> tuple[KnownEvent, ...]:
        """What is to be stored before the next request: queued messages, reminders of what changed."""
        ...

    async def make_room(self, error: ContextOverflow) -> bool:
        """Compact after the provider refused the request as too long; False when there is nothing to win."""
        ...

    def request(self) -> ChatRequest:
        """The next request, of all that is stored."""
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator[StreamPart | Restarted]:
        """Ask the model, with retries; raises `LeavesNow` when the run leaves before the answer begins."""
        ...

    def reads_only(self, call: ToolCall) -> bool:
        """Whether the call changes nothing, so that it may run beside others."""
        ...

    async def judge(self, call: ToolCall) -> Judged:
        """Parse, ask the policy, ask the person."""
        ...

    async def run(self, judged: Judged) -> Done:
        """Run a call that was allowed.  Never raises but for cancellation."""
        ...


class LeavesNow(Exception):
    """The run goes on elsewhere, and the answer had not begun: it is asked for there."""


class Ended(Value):
    """How the loop ended, left in `Steps`."""

    reason: str
    error: ProviderError | None = None


class Steps:
    """The loop's progress, readable by its consumer: steps made and how it ended."""

    def __init__(self, max_turns: int = 0, made: int = 0) -> None:
        self.max_turns = max_turns
        self.made = made
        self.ended: Ended | None = None


async def run_loop(services: Services, steps: Steps) -> AsyncGenerator[Output, None]:
    """Work until there is no call left, a limit is reached or the provider fails; then `steps.ended` says why.

    Cancellation is the interrupt: it passes through, and the consumer balances the history.
    """
    repeats = Repeats()
    nudges = 0
    overflowed = False
    if pending := services.pending():
        async for group in _run_calls(services, pending, repeats, steps):
            yield group
    while steps.ended is None:
        if services.leaves():
            steps.ended = Ended(reason=StopReason.MOVED)
            return
        if steps.max_turns and steps.made >= steps.max_turns:
            steps.ended = Ended(reason=StopReason.MAX_TURNS)
            return
        if before := await services.prepare():
            yield before
        steps.made += 1
        try:
            async for live in _answer(services):
                yield live
        except LeavesNow:
            steps.made -= 1
            steps.ended = Ended(reason=StopReason.MOVED)
            return
        except ProviderError as error:
            if partial := services.draft.take(finish="broken"):
                yield (partial,)
            if isinstance(error, ContextOverflow) and not overflowed and await services.make_room(error):
                overflowed = True  # a second time without an answer between is the end
                steps.made -= 1
                continue
            steps.ended = Ended(reason=StopReason.ERROR, error=error)
            return
        overflowed = False
        message = services.draft.take()
        if message is not None:
            yield (message,)
        if message is None or not message.tool_calls:
            if (nudge := _nudge(message)) and nudges < NUDGES:
                nudges += 1
                yield (nudge,)
                continue
            steps.ended = Ended(reason=_reason(message))
            return
        async for group in _run_calls(services, message.tool_calls, repeats, steps):
            yield group


async def _answer(services: Services) -> AsyncGenerator[LiveEvent | tuple[KnownEvent, ...], None]:
    """One model call: live events while it comes, the whole in `services.draft`."""
    draft = services.draft
    request = services.request()
    draft.begin(services.info)
    async for part in services.stream(request):
        if isinstance(part, Restarted):
            dropped = draft.message_id
            if kept := draft.take(finish="stalled"):
                yield (kept,)
            else:
                yield DraftDropped(message_id=dropped)
            draft.begin(services.info)
        elif live := draft.add(part):
            yield live


def _nudge(message: AssistantMessage | None) -> ReminderAdded | None:
    if message is None:
        return ReminderAdded(message_id=new_id("msg"), kind="empty", text=_EMPTY)
    if message.finish == "length":
        return ReminderAdded(message_id=new_id("msg"), kind="length", text=_CUT)
    return None


def _reason(message: AssistantMessage | None) -> str:
    if message is None or message.finish in ("stop", "tool_calls"):
        return StopReason.DONE
    return {"length": StopReason.LENGTH, "refusal": StopReason.REFUSAL}.get(message.finish, StopReason.DONE)


async def _run_calls(
    services: Services, calls: Sequence[ToolCall], repeats: Repeats, steps: Steps
) -> AsyncGenerator[tuple[KnownEvent, ...], None]:
    """Calls that only read run together and are stored together; the others one by one, in order."""
    errors: list[str] = []
    all_invalid = True
    for group in _groups(services, calls):
        judged = [await services.judge(call) for call in group]
        all_invalid = all_invalid and not any(j.understood for j in judged)
        results = await _run_group(services, judged)
        errors += [text_of(d.result.content) for j, d in zip(judged, results, strict=True) if not j.understood]
        counts = [_count(repeats, j, d) for j, d in zip(judged, results, strict=True)]
        yield tuple(e for d, n in zip(results, counts, strict=True) for e in (_warned(d, n), *d.also))
        if any(j.stop for j in judged):
            steps.ended = Ended(reason=StopReason.DENIED)
        elif any(is_stopped(*count) for count in counts):
            steps.ended = Ended(reason=StopReason.REPEATED_CALL)
        if steps.ended:
            if behind := _behind(calls, group):
                yield behind
            return
    if repeats.invalid("\n".join(errors) if all_invalid else ""):
        steps.ended = Ended(reason=StopReason.REPEATED_ERROR)


def _behind(calls: Sequence[ToolCall], last_group: Sequence[ToolCall]) -> tuple[KnownEvent, ...]:
    """Results for the calls behind the last group, which will not be run: the history stays balanced."""
    behind = list(calls)[list(calls).index(last_group[-1]) + 1 :]
    return tuple(not_run(call, "Not run: the run was stopped before this call.") for call in behind)


def not_run(call: ToolCall, text: str, *, status: str = "denied", title: str = "") -> ToolResult:
    """The result of a call that was not run, or whose effect is unknown."""
    return ToolResult(
        message_id=new_id("msg"),
        call_id=call.id,
        name=call.name,
        status=status,
        content=(TextPart(text=text),),
        title=title,
    )


def _groups(services: Services, calls: Sequence[ToolCall]) -> list[list[ToolCall]]:
    groups: list[list[ToolCall]] = []
    together = False
    for call in calls:
        reads = services.reads_only(call)
        if reads and together:
            groups[-1].append(call)
        else:
            groups.append([call])
        together = reads
    return groups


async def _run_group(services: Services, judged: Sequence[Judged]) -> list[Done]:
    if len(judged) == 1:
        return [await _run_one(services, judged[0])]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run_one(services, j)) for j in judged]
    return [task.result() for task in tasks]


async def _run_one(services: Services, judged: Judged) -> Done:
    if judged.refusal is not None:
        return Done(result=judged.refusal)
    return await services.run(judged)


def _count(repeats: Repeats, judged: Judged, done: Done) -> tuple[int, int]:
    content = done.result.content
    text = done.result.status + text_of(content[: len(content) - done.marks])
    return repeats.count(judged.call.name, judged.call.arguments, text, reads_only=judged.reads_only)


def _warned(done: Done, count: tuple[int, int]) -> ToolResult:
    if not is_warned(*count):
        return done.result
    from msgspec.structs import replace

    warning = TextPart(text=_REPEATED.format(count=max(count)))
    return replace(done.result, content=(*done.result.content, warning))
