"""What is tried again, how long it waits, and what a listener hears."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import pytest

from letta_code.core.errors import (
    BadKey,
    BadRequest,
    ConfigError,
    ContextOverflow,
    EndpointUnreachable,
    LettaError,
    Overloaded,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    StreamBroken,
    StreamStalled,
)
from letta_code.core.messages import Usage
from letta_code.llm.model import ChatRequest, Finish, ModelInfo, StreamPart, TextPiece, UsagePiece
from letta_code.llm.retry import Restarted, RetriedPart, RetryLimits, delay_before, stream_with_retries
from tests.llm.examples import request, user

LIMITS = RetryLimits()


class PlayedModel:
    """A ChatModel that plays one list a try: parts to give, an error to raise, or seconds to be silent."""

    def __init__(self, *tries: list[StreamPart | Exception | float]) -> None:
        self.tries = list(tries)
        self.asked = 0
        self.closed = 0

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(name="played")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamPart, None]:
        steps = self.tries[min(self.asked, len(self.tries) - 1)]
        self.asked += 1
        try:
            for step in steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed += 1

    async def close(self) -> None:
        pass


class FastClock:
    """A clock that sleeps in no time."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


class Ear:
    """Hears what is waited for."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, float, int, str]] = []

    def __call__(self, phase: str, seconds: float, attempt: int = 1, reason: str = "") -> None:
        self.heard.append((phase, round(seconds, 3), attempt, reason))

    def phases(self) -> list[str]:
        return [phase for phase, *_ in self.heard]


DONE: list[StreamPart | Exception | float] = [TextPiece(text="hello"), Finish(reason="stop")]
HI = request(user("hi"))


async def run(
    model: PlayedModel,
    ear: Ear | None = None,
    clock: FastClock | None = None,
    limits: RetryLimits = LIMITS,
    share: Callable[[], float] = lambda: 1.0,
) -> list[RetriedPart]:
    stream = stream_with_retries(model, HI, limits=limits, on_wait=ear, clock=clock or FastClock(), share=share)
    return [part async for part in stream]


# ---------------------------------------------------------------- the policy


@pytest.mark.parametrize("kind", [BadKey, BadRequest, QuotaExceeded, ContextOverflow])
def test_what_does_not_help_is_not_tried_again(kind: type[ProviderError]) -> None:
    assert delay_before(kind("no", retry_after=1.0), 2, 0.0, LIMITS) is None


def test_other_errors_are_not_tried_again() -> None:
    assert delay_before(ConfigError("no"), 2, 0.0, LIMITS) is None


@pytest.mark.parametrize("kind", [RateLimited, Overloaded, StreamStalled, StreamBroken, EndpointUnreachable])
def test_full_jitter_doubles_up_to_a_minute(kind: type[ProviderError]) -> None:
    most = [delay_before(kind("x"), attempt, 0.0, LIMITS, lambda: 1.0) for attempt in range(2, 11)]
    assert most == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert delay_before(kind("x"), 5, 0.0, LIMITS, lambda: 0.0) == 0
    assert delay_before(kind("x"), 5, 0.0, LIMITS, lambda: 0.25) == 2
    assert delay_before(kind("x"), 5000, 0.0, LIMITS, lambda: 1.0) == 60


def test_jitter_is_random() -> None:
    delays = {delay_before(Overloaded("x"), 8, 0.0, LIMITS) for _ in range(50)}
    assert len(delays) > 40
    assert all(delay is not None and 0 <= delay <= 60 for delay in delays)


def test_a_providers_wish_is_kept_to() -> None:
    assert delay_before(RateLimited("x", retry_after=90.0), 2, 0.0, LIMITS, lambda: 0.0) == 90
    assert delay_before(RateLimited("x", retry_after=90.0), 2, 510.0, LIMITS) == 90
    assert delay_before(RateLimited("x", retry_after=90.0), 2, 511.0, LIMITS) is None  # it would be over by then
    assert delay_before(RateLimited("x", retry_after=3600.0), 2, 0.0, LIMITS) is None


def test_the_time_ends() -> None:
    assert delay_before(Overloaded("x"), 9, 590.0, LIMITS, lambda: 1.0) == 10
    assert delay_before(Overloaded("x"), 9, 600.0, LIMITS) is None
    assert delay_before(Overloaded("x"), 2, 0.0, RetryLimits(retry_seconds=0)) is None


def test_an_address_where_nothing_answers_is_given_up_sooner() -> None:
    assert delay_before(EndpointUnreachable("x"), 9, 59.0, LIMITS, lambda: 1.0) == 1
    assert delay_before(EndpointUnreachable("x"), 9, 60.0, LIMITS) is None


def test_an_untrusted_certificate_is_not_tried_again() -> None:
    error = EndpointUnreachable("CERTIFICATE_VERIFY_FAILED")
    error.retryable = False
    assert delay_before(error, 2, 0.0, LIMITS) is None


# ---------------------------------------------------------------- the stream


async def test_an_answer_passes_through_and_the_stream_is_closed() -> None:
    model, ear = PlayedModel(DONE), Ear()
    assert await run(model, ear) == DONE
    assert ear.heard == [("sent", 0.0, 1, "")]
    assert model.closed == 1


async def test_faults_before_the_answer_cost_only_time_and_count_down() -> None:
    model, ear, clock = (
        PlayedModel([Overloaded("busy")], [RateLimited("slow", retry_after=2.5)], DONE),
        Ear(),
        FastClock(),
    )
    assert await run(model, ear, clock) == DONE
    assert ear.heard == [
        ("sent", 0.0, 1, ""),
        ("retry", 1.0, 2, "busy"),
        ("sent", 0.0, 2, ""),
        ("retry", 2.5, 3, "slow"),
        ("retry", 1.5, 3, "slow"),
        ("retry", 0.5, 3, "slow"),
        ("sent", 0.0, 3, ""),
    ]
    assert clock.time == 1003.5
    assert model.closed == 3


async def test_counts_alone_are_no_answer() -> None:
    counted = UsagePiece(usage=Usage(input=9))
    model = PlayedModel([counted, Overloaded("busy")], DONE)
    assert await run(model) == [counted, *DONE]


async def test_it_gives_up_after_its_time_and_says_how_often_it_tried() -> None:
    model, clock = PlayedModel([Overloaded("busy", hint="Wait.")]), FastClock()
    with pytest.raises(Overloaded) as caught:
        await run(model, clock=clock)
    assert 595 <= clock.time - 1000 <= 601
    assert model.asked > 10
    assert caught.value.hint == f"Wait. It was tried {model.asked} times."


@pytest.mark.parametrize(
    "error", [BadKey("k"), QuotaExceeded("q"), BadRequest("b"), ContextOverflow("c"), ConfigError("x")]
)
async def test_hopeless_faults_are_raised_at_once(error: LettaError) -> None:
    model = PlayedModel([error])
    with pytest.raises(type(error)):
        await run(model)
    assert model.asked == 1


@pytest.mark.parametrize("error", [StreamStalled("silent"), StreamBroken("cut"), Overloaded("busy")])
async def test_an_answer_that_breaks_off_is_asked_for_once_more(error: ProviderError) -> None:
    model = PlayedModel([TextPiece(text="hel"), error], DONE)
    parts = await run(model)
    assert parts == [TextPiece(text="hel"), Restarted(reason=str(error), error_kind=error.kind), *DONE]


async def test_an_answer_that_breaks_off_twice_is_given_up() -> None:
    model = PlayedModel([TextPiece(text="hel"), StreamBroken("cut")])
    parts: list[RetriedPart] = []
    with pytest.raises(StreamBroken):
        async for part in stream_with_retries(model, HI, clock=FastClock()):
            parts.append(part)
    assert model.asked == 2
    assert sum(isinstance(part, Restarted) for part in parts) == 1


async def test_faults_before_and_in_the_middle_are_counted_apart() -> None:
    broken: list[StreamPart | Exception | float] = [TextPiece(text="hel"), StreamBroken("cut")]
    model = PlayedModel([Overloaded("1")], broken, [Overloaded("2")], [Overloaded("3")], DONE)
    parts = await run(model)
    assert model.asked == 5
    assert parts[-2:] == DONE


async def test_a_broken_answer_with_hopeless_cause_is_not_asked_again() -> None:
    model = PlayedModel([TextPiece(text="hel"), ContextOverflow("too long")])
    with pytest.raises(ContextOverflow):
        await run(model)
    assert model.asked == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(86_400.0, "1 day"), (172_800.0, "2 days"), (5400.0, "1 h 30 min"), (3600.4, "1 h 1 s"), (661.0, "11 min 1 s")],
)
async def test_a_wait_that_is_too_long_is_named(seconds: float, words: str) -> None:
    model, ear = PlayedModel([RateLimited("slow", hint="Limited.", retry_after=seconds)]), Ear()
    with pytest.raises(RateLimited) as caught:
        await run(model, ear)
    said = f"It asks to wait {words} before the next try; letta-code waits 10 min at most in all."
    assert caught.value.hint == f"Limited. {said}"
    assert ear.phases() == ["sent"]  # given up at once


async def test_waiting_for_the_first_part_is_told() -> None:
    model, ear = PlayedModel([0.2, *DONE, 0.2]), Ear()
    stream = stream_with_retries(model, HI, limits=RetryLimits(tick_seconds=0.05), on_wait=ear)
    assert [part async for part in stream] == DONE
    ticks = [seconds for phase, seconds, *_ in ear.heard if phase == "first_part"]
    assert 2 <= len(ticks) <= 4  # none while the second silence lasted
    assert ticks == sorted(ticks)
    assert 0.04 <= ticks[0] <= 0.15


async def test_cancelling_ends_the_waiting_at_once() -> None:
    model, ear = PlayedModel([RateLimited("slow", retry_after=300.0)]), Ear()

    async def consume() -> None:
        async for _ in stream_with_retries(model, HI, on_wait=ear):
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.05)
    assert ear.phases()[-1] == "retry"
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 0.1


async def test_closing_it_closes_the_models_stream() -> None:
    model = PlayedModel([TextPiece(text="a"), 30.0, Finish(reason="stop")])
    stream = stream_with_retries(model, HI)
    assert await anext(stream) == TextPiece(text="a")
    await stream.aclose()
    assert model.closed == 1


async def test_no_tick_after_a_cancelled_wait_for_the_first_part() -> None:
    model, ear = PlayedModel([30.0]), Ear()
    stream = stream_with_retries(model, HI, limits=RetryLimits(tick_seconds=0.02), on_wait=ear)
    task = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    heard = len(ear.heard)
    await asyncio.sleep(0.1)
    assert len(ear.heard) == heard
    assert model.closed == 1


async def test_a_model_that_is_still_being_loaded_says_so_instead_of_waiting() -> None:
    class Loading:
        info = ModelInfo(name="local/x")
        loading = True

        async def stream(self, request: ChatRequest) -> AsyncIterator[StreamPart]:
            await asyncio.sleep(0.05)
            self.loading = False
            await asyncio.sleep(0.05)
            yield TextPiece(text="ok")
            yield Finish(reason="stop")

        async def close(self) -> None:
            pass

    heard: list[str] = []

    def hear(phase: str, seconds: float, attempt: int = 1, reason: str = "") -> None:
        heard.append(phase)

    request = ChatRequest(system="", tools=(), messages=())
    parts = [
        p async for p in stream_with_retries(Loading(), request, limits=RetryLimits(tick_seconds=0.02), on_wait=hear)
    ]
    assert parts[0] == TextPiece(text="ok")
    assert heard[0] == "sent"
    assert "loading" in heard
    assert "first_part" in heard
    assert heard.index("loading") < heard.index("first_part")
