"""The chat completions client keeps the contract, and deals with what servers do differently."""

from __future__ import annotations

import msgspec
import pytest

from letta_code.core.errors import BadRequest
from letta_code.llm.catalog import ResolvedModel
from letta_code.llm.model import ChatModel, Finish
from letta_code.llm.openai_chat import OpenAIChat
from letta_code.llm.transport import StreamLimits
from tests.fakes.model_server import ModelServer, Recorded, Reply
from tests.llm.contract import KEY, Contract, calls_in, parts_of, text_in
from tests.llm.examples import assistant, call, request, result, user


class TestOpenAI(Contract):
    dialect = "openai"

    def open(self, target: ResolvedModel, limits: StreamLimits) -> ChatModel:
        return OpenAIChat(target, limits)

    def sent_arguments(self, recorded: Recorded) -> list[object]:
        return [
            msgspec.json.decode(one["function"]["arguments"])
            for message in recorded.json["messages"]
            for one in message.get("tool_calls", ())
        ]

    async def test_the_request(self, server: ModelServer) -> None:
        server.reply(Reply(text="ok"))
        model = self.client(server.url)
        await parts_of(model, request(user("hi"), max_output=50))
        sent = server.requests[0]
        assert sent.path == "/v1/chat/completions"
        assert sent.headers["authorization"] == f"Bearer {KEY}"
        assert sent.json["model"] == "fake"
        assert sent.json["stream"] is True
        assert sent.json["stream_options"] == {"include_usage": True}
        assert sent.json["tool_choice"] == "auto"
        assert sent.json["max_tokens"] == 50
        assert [tool["function"]["name"] for tool in sent.json["tools"]] == ["Read", "Bash"]
        assert sent.json["messages"][0] == {"role": "system", "content": "You are a test."}
        await model.close()

    async def test_web_page_instead_of_an_answer(self, server: ModelServer) -> None:
        error = await self.fault(server, Reply(body="<html><h1>Login</h1></html>", content_type="text/html"))
        assert isinstance(error, BadRequest)
        assert "base URL" in error.hint

    @pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "application/json"])
    async def test_stream_under_a_wrong_content_type(self, server: ModelServer, content_type: str) -> None:
        server.reply(Reply(text="hello", content_type=content_type))
        model = self.client(server.url)
        assert text_in(await parts_of(model, request(user("hi")))) == "hello"
        await model.close()

    async def test_server_that_does_not_stream(self, server: ModelServer) -> None:
        message = {
            "content": "whole",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "Read", "arguments": "{}"}}],
        }
        body = {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 3}}
        server.reply(Reply(body=msgspec.json.encode(body).decode(), content_type="application/json"))
        model = self.client(server.url)
        parts = await parts_of(model, request(user("hi")))
        assert text_in(parts) == "whole"
        assert calls_in(parts) == [("c", "Read", "{}")]
        assert parts[-1] == Finish(reason="tool_calls")
        await model.close()

    @pytest.mark.parametrize(
        ("tail", "reason"),
        [
            ('data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', "stop"),  # no [DONE]
            ("data: [DONE]\n\n", "stop"),  # no finish_reason
            ('data: {"choices":[{"delta":{},"finish_reason":"stop"}]}', "stop"),  # no last empty line
            ('data: {"choices":[{"delta":{},"finish_reason":"content_filter"}]}\n\ndata: [DONE]\n\n', "refusal"),
        ],
    )
    async def test_ends_that_count(self, server: ModelServer, tail: str, reason: str) -> None:
        server.reply(Reply(body='data: {"choices":[{"delta":{"content":"hi"}}]}\n\n' + tail))
        model = self.client(server.url)
        parts = await parts_of(model, request(user("hi")))
        assert (text_in(parts), parts[-1]) == ("hi", Finish(reason=reason))
        await model.close()

    async def test_complete_answer_whose_connection_hangs(self, server: ModelServer) -> None:
        server.reply(Reply(text="all said", fault="stall", after=4))  # role, two pieces, finish; then nothing
        model = self.client(server.url)
        parts = await parts_of(model, request(user("hi")))
        assert (text_in(parts), parts[-1]) == ("all said", Finish(reason="stop"))
        await model.close()

    async def test_an_id_that_stands_in_the_conversation_is_made_unique(self, server: ModelServer) -> None:
        chunk = '{"choices":[{"delta":{"tool_calls":[{"index":0,%s"function":{"name":"Read","arguments":"{}"}}]}}]}'
        end = 'data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n'
        server.reply(
            Reply(body="data: " + chunk % '"id":"call_0",' + "\n\n" + end),
            Reply(body="data: " + chunk % "" + "\n\n" + end),
        )
        model = self.client(server.url)
        asked = request(user("go"), assistant("", call("call_0")), result("call_0", text="x"))
        assert calls_in(await parts_of(model, asked)) == [("call_0-2", "Read", "{}")]
        assert calls_in(await parts_of(model, asked)) == [("call_1", "Read", "{}")]
        await model.close()

    @pytest.mark.parametrize(
        ("words", "gone", "instead"),
        [
            ("Extra inputs are not permitted: stream_options", "stream_options", ""),
            ("tool_choice is not supported", "tool_choice", ""),
            ("Use 'max_completion_tokens' instead of 'max_tokens'", "max_tokens", "max_completion_tokens"),
        ],
    )
    async def test_an_optional_field_that_is_refused_is_left_out_from_then_on(
        self, server: ModelServer, words: str, gone: str, instead: str
    ) -> None:
        server.reply(Reply(status=400, message=words), Reply(text="ok"), Reply(text="ok"))
        model = self.client(server.url)
        for _ in range(2):
            assert text_in(await parts_of(model, request(user("hi"), max_output=9))) == "ok"
        assert len(server.requests) == 3
        assert gone in server.requests[0].json
        for sent in server.requests[1:]:
            assert gone not in sent.json
            assert not instead or sent.json[instead] == 9
        await model.close()

    async def test_a_field_that_stays_refused_is_an_error(self, server: ModelServer) -> None:
        server.reply(*(Reply(status=400, message="unknown field tool_choice"),) * 4)
        with pytest.raises(BadRequest, match="tool_choice"):
            await parts_of(self.client(server.url), request(user("hi")))
        assert len(server.requests) == 2

    async def test_a_value_that_is_refused_is_an_error(self, server: ModelServer) -> None:
        server.reply(*(Reply(status=400, message="max_tokens must be at least 16"),) * 2)
        with pytest.raises(BadRequest, match="at least 16"):
            await parts_of(self.client(server.url), request(user("hi"), max_output=9))
        assert len(server.requests) == 1

    async def test_error_status_without_json(self, server: ModelServer) -> None:
        error = await self.fault(server, Reply(status=502, body="<html><b>Bad Gateway</b></html>"))
        assert "Bad Gateway" in str(error)
        assert "<b>" not in str(error)
