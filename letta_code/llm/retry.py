"""Trying again: which faults are worth it, how long to wait, and a stream that does it."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol, TypeAlias, cast

from letta_code.core.errors import EndpointUnreachable, LettaError, ProviderError
from letta_code.core.messages import Value
from letta_code.llm.model import ChatModel, ChatRequest, LoadsFirst, StreamPart, UsagePiece


class Restarted(Value, tag_field="kind", tag="restarted"):
    """The answer broke off in the middle and the same request is sent again, from its beginning.

    What came so far stays with the caller as a kept part; the pieces after this are a new answer.  `reason` is the
    error's text, `error_kind` its kind.
    """

    reason: str
    error_kind: str = ""


RetriedPart: TypeAlias = StreamPart | Restarted


class RetryLimits(Value):
    """How long to go on trying, in seconds from the first fault.

    `unreachable_seconds` is for an address where nothing answers, `restarts` how often an answer that broke off in its
    middle is asked for again; `tick_seconds` is the step of the countdown.
    """

    retry_seconds: float = 600.0
    unreachable_seconds: float = 60.0
    first_delay: float = 1.0
    longest_delay: float = 60.0
    restarts: int = 1
    tick_seconds: float = 1.0


class OnWait(Protocol):
    """Hears what is waited for; the fields are those of the live event `Waiting`.

    Phases: `sent` once a request goes out; `first_part` (`loading` while a local model is read into memory) every tick
    with the seconds passed until something comes;
    `retry` every tick with the seconds left until try number `attempt`, and why.
    """

    def __call__(self, phase: str, seconds: float, attempt: int = 1, reason: str = "") -> None: ...


class Clock(Protocol):
    """Time, so that a test need not wait."""

    def now(self) -> float:
        """Seconds on a clock that never jumps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; cancellation ends it at once."""
        ...


class SystemClock:
    """The monotonic clock of this machine."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


def random_share() -> float:
    """A number from 0 to 1 (the `random` module would be 2 ms of start time)."""
    return int.from_bytes(os.urandom(4), "big") / 0xFFFFFFFF


def delay_before(
    error: LettaError,
    attempt: int,
    spent: float,
    limits: RetryLimits,
    share: Callable[[], float] = random_share,
) -> float | None:
    """Seconds to wait before try number `attempt` (2 is the first retry), None to give up.

    A wait that the provider asks for is kept to, or given up at once when it is longer than what is left; else full
    jitter: a random share of 1, 2, 4 … 60 s.  `spent` are the seconds since the first fault.
    """
    if not isinstance(error, ProviderError) or not error.retryable:
        return None
    budget = limits.retry_seconds
    if isinstance(error, EndpointUnreachable):
        budget = min(budget, limits.unreachable_seconds)
    left = budget - spent
    if left <= 0:
        return None
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= left else None
    ceiling = min(limits.longest_delay, limits.first_delay * 2 ** min(attempt - 2, 16))
    return min(share() * ceiling, left)


async def stream_with_retries(
    model: ChatModel,
    request: ChatRequest,
    *,
    limits: RetryLimits | None = None,
    on_wait: OnWait | None = None,
    clock: Clock | None = None,
    share: Callable[[], float] = random_share,
) -> AsyncGenerator[RetriedPart, None]:
    """The parts of one answer, tried again as the policy says; ends with `Finish` or raises the last error.

    Before any part came a fault costs only time; after that the answer is asked for once more and `Restarted` says so.
    Closing the generator (or cancelling the task) ends request and waiting at once.  The last error's hint says how
    often it was tried.
    """
    limits = limits or RetryLimits()
    clock = clock or SystemClock()
    say = on_wait or _silent
    restarts = 0
    attempt = 1
    first_fault: float | None = None
    while True:
        ticker = _Ticker(say, clock, limits.tick_seconds, attempt, model)
        began = False
        try:
            async with aclosing(_closable(model.stream(request))) as parts:
                async for part in parts:
                    if not began and not isinstance(part, UsagePiece):
                        began = True
                        ticker.stop()
                    yield part
            return
        except ProviderError as error:
            fault = error
        finally:
            ticker.stop()
        if first_fault is None or (began and not restarts):
            first_fault = clock.now()
        attempt += 1
        delay = delay_before(fault, attempt, clock.now() - first_fault, limits, share)
        if delay is None or (began and restarts >= limits.restarts):
            raise _tired(fault, attempt - 1, limits)
        if began:
            restarts += 1
            yield Restarted(reason=str(fault), error_kind=fault.kind)
        async for left in _countdown(delay, limits.tick_seconds, clock):
            say("retry", left, attempt, str(fault))


async def _countdown(delay: float, tick: float, clock: Clock) -> AsyncGenerator[float, None]:
    """The seconds left, every tick."""
    end = clock.now() + delay
    while (left := end - clock.now()) > 0:
        yield left
        await clock.sleep(min(tick, left))


class _Ticker:
    """Tells every tick how long the first part has been waited for; a timer on the loop, no task."""

    def __init__(self, say: OnWait, clock: Clock, tick: float, attempt: int, model: ChatModel) -> None:
        self._model = model
        self._say = say
        self._clock = clock
        self._tick = tick
        self._attempt = attempt
        self._sent = clock.now()
        self._loop = asyncio.get_running_loop()
        say("sent", 0.0, attempt)
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(tick, self._tell)

    def stop(self) -> None:
        """No more ticks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self) -> None:
        self._timer = self._loop.call_later(self._tick, self._tell)
        loading = isinstance(self._model, LoadsFirst) and self._model.loading
        self._say("loading" if loading else "first_part", self._clock.now() - self._sent, self._attempt)


def _closable(parts: AsyncIterator[StreamPart]) -> AsyncGenerator[StreamPart, None]:
    """ChatModel promises that closing the iterator ends the request: it has `aclose`."""
    return cast("AsyncGenerator[StreamPart, None]", parts)


def _tired(error: ProviderError, tries: int, limits: RetryLimits) -> ProviderError:
    if not error.retryable:
        return error
    if error.retry_after:
        asked, kept = _for_people(error.retry_after), _for_people(limits.retry_seconds)
        said = f"It asks to wait {asked} before the next try; letta-code waits {kept} at most in all."
        error.hint = f"{error.hint} {said}".strip()
    if tries > 1:
        error.hint = f"{error.hint} It was tried {tries} times.".strip()
    return error


def _for_people(seconds: float) -> str:
    """86400 as `1 day`, 5400 as `1 h 30 min`, 90 as `1 min 30 s`: the two largest units that are not 0."""
    left = math.ceil(seconds)
    days, left = divmod(left, 86400)
    hours, left = divmod(left, 3600)
    minutes, left = divmod(left, 60)
    named = ((days, "day" if days == 1 else "days"), (hours, "h"), (minutes, "min"), (left, "s"))
    return " ".join(f"{count} {unit}" for count, unit in [one for one in named if one[0]][:2]) or "0 s"


def _silent(phase: str, seconds: float, attempt: int = 1, reason: str = "") -> None:
    """Nobody listens."""
