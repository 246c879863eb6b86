"""What every client must do, whatever its dialect: run by the test files of the three clients against one server."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from typing import ClassVar

import pytest

from letta_code.config.settings import Endpoint, Settings
from letta_code.core.errors import (
    BadKey,
    BadRequest,
    ContextOverflow,
    EndpointUnreachable,
    Overloaded,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    StreamBroken,
    StreamStalled,
)
from letta_code.core.messages import Usage
from letta_code.llm.catalog import ResolvedModel, resolve
from letta_code.llm.model import (
    CallPiece,
    ChatModel,
    ChatRequest,
    Finish,
    ReasoningPiece,
    StreamPart,
    TextPiece,
    UsagePiece,
)
from letta_code.llm.transport import StreamLimits
from tests.fakes.model_server import Call, ModelServer, Recorded, Reply
from tests.llm.examples import PIXEL, STOPS, STORY, assistant, call, request, result, user

KEY = "sk-very-secret-0123456789"
LONG = "one two three four five six seven eight nine ten"
QUICK = StreamLimits(connect=2.0, first_part=5.0, silence=0.25, closing=0.25)


async def parts_of(model: ChatModel, asked: ChatRequest) -> list[StreamPart]:
    return [part async for part in model.stream(asked)]


def text_in(parts: list[StreamPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPiece))


def calls_in(parts: list[StreamPart]) -> list[tuple[str, str, str]]:
    """The calls, put together as a consumer would: (id, name, arguments)."""
    calls: dict[int, list[str]] = {}
    for part in parts:
        if isinstance(part, CallPiece):
            known = calls.setdefault(part.index, ["", "", ""])
            known[0] = known[0] or part.id
            known[1] = known[1] or part.name
            known[2] += part.arguments
    return [(known[0], known[1], known[2]) for _, known in sorted(calls.items())]


def wait_for(happened: object, seconds: float = 3.0) -> bool:
    wait = getattr(happened, "wait")  # noqa: B009 - a threading.Event
    return bool(wait(seconds))


class Contract:
    """Tests of a client; a subclass says which: `dialect` and `model` (the name behind the endpoint's)."""

    dialect = ""
    model = "fake"
    base = "/v1"
    sees_comments = True  # whether a comment in the stream counts as a sign of life
    keeps_connection = True
    statuses: ClassVar[dict[int, int]] = {}  # what the client makes of a status that it does not pass on

    def open(self, target: ResolvedModel, limits: StreamLimits) -> ChatModel:
        raise NotImplementedError

    def wire_messages(self, recorded: Recorded) -> bytes:
        """The messages of a request as they must be a prefix of the next request's."""
        return recorded.body[recorded.body.index(b'"messages":[') : -2]

    @pytest.fixture
    def server(self) -> Iterator[ModelServer]:
        with ModelServer() as server:
            yield server

    def client(self, url: str, limits: StreamLimits = QUICK) -> ChatModel:
        endpoint = Endpoint(base_url=url + self.base, dialect=self.dialect, key_env="FAKE_API_KEY")
        settings = Settings(endpoints={"fake": endpoint})
        return self.open(resolve(f"fake/{self.model}", settings, lambda _: KEY), limits)

    async def fault(self, server: ModelServer, reply: Reply, limits: StreamLimits = QUICK) -> ProviderError:
        server.reply(reply)
        model = self.client(server.url, limits)
        with pytest.raises(ProviderError) as caught:
            await parts_of(model, request(user("hi")))
        await model.close()
        assert len(server.requests) == 1, "a client never retries by itself"
        assert KEY not in str(caught.value) + caught.value.hint
        return caught.value

    # ------------------------------------------------------------ answers

    async def test_text_comes_in_pieces_and_ends_with_finish(self, server: ModelServer) -> None:
        server.reply(Reply(text="Hello, wörld 日本 — this is said in pieces."))
        model = self.client(server.url)
        parts = await parts_of(model, request(user("hi")))
        assert text_in(parts) == "Hello, wörld 日本 — this is said in pieces."
        assert sum(isinstance(part, TextPiece) for part in parts) > 2
        assert parts[-1] == Finish(reason="stop")
        await model.close()

    @pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
    async def test_torn_at_every_byte(self, server: ModelServer, newline: str) -> None:
        if self.dialect == "litellm" and newline == "\r":
            pytest.skip("litellm's own parser does not take a bare CR")
        server.reply(Reply(text="日本 é\n\nend", tools=(Call("Read", '{"path": "é.py"}'),), torn=1, newline=newline))
        model = self.client(server.url)
        parts = await parts_of(model, request(user("hi")))
        assert text_in(parts) == "日本 é\n\nend"
        assert [(name, arguments) for _, name, arguments in calls_in(parts)] == [("Read", '{"path": "é.py"}')]
        await model.close()

    async def test_reasoning(self, server: ModelServer) -> None:
        server.reply(Reply(reasoning="Let me think about it.", text="Yes."))
        model = self.client(server.url)
        parts = await parts_of(model, request(user("hi")))
        assert "".join(part.text for part in parts if isinstance(part, ReasoningPiece)) == "Let me think about it."
        assert text_in(parts) == "Yes."
        await model.close()

    async def test_parallel_calls_in_fragments(self, server: ModelServer) -> None:
        wanted = (Call("Read", '{"path": "src/main.py"}', "c-1"), Call("Bash", '{"command": "ls -la"}', "c-2"))
        server.reply(Reply(text="I look.", tools=wanted))
        model = self.client(server.url)
        parts = await parts_of(model, request(user("hi")))
        assert calls_in(parts) == [(one.id, one.name, one.arguments) for one in wanted]
        assert parts[-1] == Finish(reason="tool_calls")
        await model.close()

    async def test_broken_arguments_come_as_they_were_written(self, server: ModelServer) -> None:
        server.reply(Reply(tools=(Call("Bash", '{"command": "ls'),)))
        model = self.client(server.url)
        parts = await parts_of(model, request(user("hi")))
        assert [arguments for _, _, arguments in calls_in(parts)] == ['{"command": "ls']
        await model.close()

    async def test_usage_includes_cached_tokens(self, server: ModelServer) -> None:
        server.reply(Reply(text="ok", usage={"input": 1000, "output": 7, "cache_read": 900}))
        model = self.client(server.url)
        parts = await parts_of(model, request(user("hi")))
        last = [part.usage for part in parts if isinstance(part, UsagePiece)][-1]
        assert last == Usage(input=1000, output=7, cache_read=900)
        await model.close()

    async def test_length_is_named(self, server: ModelServer) -> None:
        server.reply(Reply(text="cut sh", finish="length"))
        model = self.client(server.url)
        assert (await parts_of(model, request(user("hi"))))[-1] == Finish(reason="length")
        await model.close()

    async def test_connection_is_kept_between_answers(self, server: ModelServer) -> None:
        if not self.keeps_connection:
            pytest.skip("its library keeps connections as it likes")
        server.reply(Reply(text="one"), Reply(text="two"))
        model = self.client(server.url)
        await parts_of(model, request(user("hi")))
        await parts_of(model, request(user("hi")))
        assert server.connections == 1
        await model.close()

    # ------------------------------------------------------------ faults

    async def test_bad_key(self, server: ModelServer) -> None:
        error = await self.fault(server, Reply(status=401, message=f"Incorrect API key provided: {KEY}", code="x"))
        assert isinstance(error, BadKey)
        assert not error.retryable
        assert "FAKE_API_KEY" in error.hint

    async def test_rate_limit_says_how_long(self, server: ModelServer) -> None:
        error = await self.fault(server, Reply(status=429, message="slow down", headers={"retry-after": "7"}))
        assert isinstance(error, RateLimited)
        assert (error.retryable, error.retry_after, error.status) == (True, 7.0, 429)
        assert "slow down" in str(error)

    async def test_empty_account(self, server: ModelServer) -> None:
        reply = Reply(status=429, message="You exceeded your current quota", code="insufficient_quota")
        error = await self.fault(server, reply)
        assert isinstance(error, QuotaExceeded)
        assert not error.retryable

    @pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 529])
    async def test_the_providers_own_fault(self, server: ModelServer, status: int) -> None:
        error = await self.fault(server, Reply(status=status, message="try later"))
        assert isinstance(error, Overloaded)
        assert error.retryable
        assert error.status == self.statuses.get(status, status)

    @pytest.mark.parametrize(
        "words",
        [
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
            "prompt is too long: 212000 tokens > 200000 maximum",
            "the request exceeds the available context size",
        ],
    )
    async def test_context_overflow(self, server: ModelServer, words: str) -> None:
        error = await self.fault(server, Reply(status=400, message=words, code="invalid_request_error"))
        assert isinstance(error, ContextOverflow)

    async def test_unknown_model(self, server: ModelServer) -> None:
        error = await self.fault(server, Reply(status=404, message="The model `fake` does not exist", code="not_found"))
        assert isinstance(error, BadRequest)
        assert "letta-code models" in error.hint

    async def test_refused_request(self, server: ModelServer) -> None:
        error = await self.fault(server, Reply(status=400, message="messages must not be empty"))
        assert type(error) is BadRequest
        assert not error.retryable

    async def test_refused_connection_names_the_url(self, server: ModelServer) -> None:
        url = server.url
        server.__exit__(None, None, None)
        model = self.client(url)
        with pytest.raises(EndpointUnreachable) as caught:
            await parts_of(model, request(user("hi")))
        assert url in str(caught.value)
        await model.close()

    async def test_cut_in_the_middle(self, server: ModelServer) -> None:
        error = await self.fault(server, Reply(text=LONG, fault="cut", after=4))
        assert isinstance(error, StreamBroken)
        assert error.retryable

    async def test_stream_that_just_ends(self, server: ModelServer) -> None:
        assert isinstance(await self.fault(server, Reply(text=LONG, fault="end", after=4)), StreamBroken)

    async def test_garbage_in_the_stream(self, server: ModelServer) -> None:
        assert isinstance(await self.fault(server, Reply(text=LONG, fault="garbage", after=4)), StreamBroken)

    async def test_error_object_inside_the_stream(self, server: ModelServer) -> None:
        reply = Reply(text=LONG, fault="error", after=4, message="Overloaded", code="overloaded_error")
        error = await self.fault(server, reply)
        assert error.retryable
        assert "verloaded" in str(error)

    async def test_hang_up_before_an_answer(self, server: ModelServer) -> None:
        error = await self.fault(server, Reply(fault="hang_up"))
        assert error.retryable

    async def test_silence_in_the_middle(self, server: ModelServer) -> None:
        began = time.monotonic()
        error = await self.fault(server, Reply(text=LONG, fault="stall", after=4))
        assert isinstance(error, StreamStalled)
        assert time.monotonic() - began < 2.0

    async def test_silence_before_the_first_part(self, server: ModelServer) -> None:
        limits = StreamLimits(first_part=0.3, silence=5.0)
        error = await self.fault(server, Reply(text="late", first_byte=20.0), limits)
        assert isinstance(error, StreamStalled)
        assert "0.3 s" in str(error)

    async def test_first_part_may_take_long_when_there_is_no_limit(self, server: ModelServer) -> None:
        server.reply(Reply(text="late", first_byte=0.6))
        model = self.client(server.url, StreamLimits(first_part=0, silence=0.2))
        assert text_in(await parts_of(model, request(user("hi")))) == "late"
        await model.close()

    async def test_slow_pieces_are_no_silence(self, server: ModelServer) -> None:
        server.reply(Reply(text="one two three four five six seven", pause=0.1))
        model = self.client(server.url)
        assert text_in(await parts_of(model, request(user("hi")))) == "one two three four five six seven"
        await model.close()

    async def test_comments_are_a_sign_of_life(self, server: ModelServer) -> None:
        if not self.sees_comments:
            pytest.skip("this client does not see comments")
        server.reply(Reply(text=LONG, fault="comments", after=5))
        model = self.client(server.url)
        parts: list[StreamPart] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):  # four times the silence that is allowed
                async for part in model.stream(request(user("hi"))):
                    parts.append(part)
        assert text_in(parts)
        await model.close()

    # ------------------------------------------------------------ ending it early

    async def test_closing_the_stream_ends_the_request(self, server: ModelServer) -> None:
        server.reply(Reply(text="word " * 400, pause=0.05), Reply(text="again"))
        model = self.client(server.url)
        stream = model.stream(request(user("hi")))
        async for part in stream:
            if isinstance(part, TextPiece):
                break
        await stream.aclose()  # type: ignore[attr-defined]  # ChatModel promises it
        assert await asyncio.to_thread(wait_for, server.requests[0].hung_up)
        assert text_in(await parts_of(model, request(user("hi")))) == "again"
        await model.close()

    @pytest.mark.parametrize("reply", [Reply(first_byte=30), Reply(text=LONG, fault="stall", after=4)])
    async def test_cancelling_is_immediate(self, server: ModelServer, reply: Reply) -> None:
        server.reply(reply)
        model = self.client(server.url, StreamLimits(first_part=60, silence=60))
        task = asyncio.create_task(parts_of(model, request(user("hi"))))
        await asyncio.sleep(0.4)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 0.3
        assert await asyncio.to_thread(wait_for, server.requests[0].hung_up)
        await model.close()

    # ------------------------------------------------------------ what is sent

    async def send_story(self, server: ModelServer, model: ChatModel, stops: tuple[int, ...]) -> list[bytes]:
        for stop in stops:
            server.reply(Reply(text="ok"))
            await parts_of(model, request(*STORY[:stop]))
        return [self.wire_messages(recorded) for recorded in server.requests]

    async def test_messages_are_a_byte_prefix_of_the_next_requests(self, server: ModelServer) -> None:
        model = self.client(server.url)
        sent = await self.send_story(server, model, STOPS)
        assert len(sent) == len(STOPS)
        for earlier, later in itertools.pairwise(sent):
            assert later.startswith(earlier)
            assert len(later) > len(earlier)
        await model.close()

    async def test_a_new_process_sends_the_same_bytes(self, server: ModelServer) -> None:
        grown, fresh = self.client(server.url), self.client(server.url)
        await self.send_story(server, grown, STOPS)
        await self.send_story(server, fresh, STOPS[-1:])
        assert server.requests[-1].body == server.requests[-2].body
        await grown.close()
        await fresh.close()

    async def test_images_are_sent(self, server: ModelServer) -> None:
        server.reply(Reply(text="ok"))
        model = self.client(server.url)
        await parts_of(model, request(user("look", "u", PIXEL), assistant("", call("c1")), result("c1", PIXEL)))
        assert server.requests[0].body.count(PIXEL.data.encode()) == 2
        await model.close()

    async def test_broken_arguments_are_sent_as_an_object(self, server: ModelServer) -> None:
        server.reply(Reply(text="ok"))
        model = self.client(server.url)
        broken = assistant("", call("c1", "Bash", '{"command": "ls'), call("c2", "Bash", "[1]"), call("c3", "Bash", ""))
        await parts_of(model, request(user("go"), broken, *(result(f"c{n}", text="no") for n in (1, 2, 3))))
        assert self.sent_arguments(server.requests[0]) == [{"_invalid": '{"command": "ls'}, {"_invalid": "[1]"}, {}]
        await model.close()

    def sent_arguments(self, recorded: Recorded) -> list[object]:
        """The arguments of the calls in a request, decoded."""
        raise NotImplementedError
