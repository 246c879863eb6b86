"""The Anthropic client keeps the contract; prompt-cache marks and signed thinking."""

from __future__ import annotations

import pytest

from letta_code.core.errors import Overloaded
from letta_code.core.messages import ReasoningPart
from letta_code.llm.anthropic_messages import AnthropicMessages
from letta_code.llm.anthropic_wire import MARK
from letta_code.llm.catalog import ResolvedModel
from letta_code.llm.model import ChatModel, Finish, ReasoningDone
from letta_code.llm.transport import StreamLimits
from tests.fakes.model_server import ModelServer, Recorded, Reply
from tests.llm.contract import KEY, Contract, calls_in, parts_of
from tests.llm.examples import STORY, assistant, call, reminder, request, result, user

MARKED = {"type": "ephemeral"}


class TestAnthropic(Contract):
    dialect = "anthropic"
    base = ""

    def open(self, target: ResolvedModel, limits: StreamLimits) -> ChatModel:
        return AnthropicMessages(target, limits)

    def wire_messages(self, recorded: Recorded) -> bytes:
        return super().wire_messages(recorded).replace(MARK, b"")

    def sent_arguments(self, recorded: Recorded) -> list[object]:
        return [
            block["input"]
            for message in recorded.json["messages"]
            for block in message["content"]
            if block["type"] == "tool_use"
        ]

    async def test_the_request(self, server: ModelServer) -> None:
        server.reply(Reply(text="ok"))
        model = self.client(server.url)
        await parts_of(model, request(user("hi"), max_output=50))
        sent = server.requests[0]
        assert sent.path == "/v1/messages"
        assert sent.headers["x-api-key"] == KEY
        assert sent.headers["anthropic-version"] == "2023-06-01"
        assert sent.json["max_tokens"] == 50
        assert sent.json["tools"][0]["input_schema"]["required"] == ["path"]
        await model.close()

    async def test_marks_stand_on_tools_system_and_the_last_two_user_turns(self, server: ModelServer) -> None:
        server.reply(Reply(text="ok"))
        model = self.client(server.url)
        await parts_of(
            model,
            request(
                user("first"),
                assistant("", call("c1")),
                result("c1", text="1"),
                reminder("noted"),
                assistant("", call("c2"), call("c3")),
                result("c2", text="2"),
                result("c3", text="3"),
            ),
        )
        sent = server.requests[0].json
        assert [tool.get("cache_control") for tool in sent["tools"]] == [None, MARKED]
        assert [block.get("cache_control") for block in sent["system"]] == [MARKED]
        marked = [
            (at, block["type"])
            for at, message in enumerate(sent["messages"])
            for block in message["content"]
            if "cache_control" in block
        ]
        # The turn before last ends with the reminder behind its result; the last turn with its second result.
        assert marked == [(3, "text"), (5, "tool_result")]
        assert sent["messages"][5]["content"][-1]["cache_control"] == MARKED
        assert server.requests[0].body.count(b"cache_control") == 4
        await model.close()

    async def test_marks_move_so_that_the_last_request_is_found_again(self, server: ModelServer) -> None:
        server.reply(Reply(text="ok"), Reply(text="ok"))
        model = self.client(server.url)
        story = (user("first"), assistant("", call("c1")), result("c1", text="1"), assistant("said"), user("second"))
        await parts_of(model, request(*story[:3]))
        await parts_of(model, request(*story))
        first, second = (recorded.body.split(b'"messages":[')[1] for recorded in server.requests)
        end_of_first = first.removesuffix(b"}]}]}")
        assert second.replace(MARK, b"").startswith(end_of_first.replace(MARK, b""))
        # Where the first request's last mark stood, there is one in the second as well.
        assert second.split(MARK)[0].endswith(first.split(MARK)[1].removesuffix(b"}]}]}"))
        await model.close()

    async def test_signed_thinking_makes_the_round_trip(self, server: ModelServer) -> None:
        server.reply(Reply(reasoning="deep thought", signature="c2lnbmVk", text="So."), Reply(text="ok"))
        model = self.client(server.url)
        parts = await parts_of(model, request(user("hi")))
        done = [part.part for part in parts if isinstance(part, ReasoningDone)]
        assert done == [ReasoningPart(text="deep thought", signature="c2lnbmVk")]
        reasoning = (*done, ReasoningPart(redacted="blob"), ReasoningPart(text="other"))
        said = assistant("So.", call("c1"), reasoning=reasoning)
        await parts_of(model, request(user("hi"), said, result("c1", text="1")))
        blocks = server.requests[1].json["messages"][1]["content"]
        assert blocks[0] == {"type": "thinking", "thinking": "deep thought", "signature": "c2lnbmVk"}
        assert blocks[1] == {"type": "redacted_thinking", "data": "blob"}
        assert [block["type"] for block in blocks[2:]] == ["text", "tool_use"]  # unsigned reasoning is not sent
        await model.close()

    async def test_results_of_one_turn_are_one_message_right_behind_their_calls(self, server: ModelServer) -> None:
        server.reply(Reply(text="ok"))
        model = self.client(server.url)
        await parts_of(model, request(*STORY))
        messages = server.requests[0].json["messages"]
        at = next(at for at, message in enumerate(messages) if message["role"] == "assistant")
        results = messages[at + 1]
        assert [block["tool_use_id"] for block in results["content"]] == ["c1", "c2"]
        assert [block.get("is_error", False) for block in results["content"]] == [False, True]
        assert results["content"][0]["content"][1]["source"]["media_type"] == "image/png"
        await model.close()

    async def test_ids_of_other_providers_are_made_fit(self, server: ModelServer) -> None:
        server.reply(Reply(text="ok"))
        model = self.client(server.url)
        await parts_of(model, request(user("go"), assistant("", call("functions.Read:0")), result("functions.Read:0")))
        messages = server.requests[0].json["messages"]
        assert messages[1]["content"][0]["id"] == messages[2]["content"][0]["tool_use_id"] == "functions_Read_0"
        await model.close()

    async def test_empty_words_are_not_sent(self, server: ModelServer) -> None:
        server.reply(Reply(text="ok"))
        model = self.client(server.url)
        await parts_of(model, request(user(" "), assistant("\n"), user("hi"), system=""))
        sent = server.requests[0].json
        assert "system" not in sent
        assert [message["role"] for message in sent["messages"]] == ["user", "user"]
        assert sent["messages"][0]["content"][0]["text"] == "(empty)"
        await model.close()

    async def test_overloaded_in_the_stream(self, server: ModelServer) -> None:
        reply = Reply(text="one two three", fault="error", after=5, message="Overloaded", code="overloaded_error")
        error = await self.fault(server, reply)
        assert isinstance(error, Overloaded)
        assert error.status == 529

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [("refusal", "refusal"), ("stop_sequence", "stop"), ("pause_turn", "stop"), ("max_tokens", "length")],
    )
    async def test_stop_reasons(self, server: ModelServer, theirs: str, ours: str) -> None:
        server.reply(Reply(text="ok", finish=theirs))
        model = self.client(server.url)
        assert (await parts_of(model, request(user("hi"))))[-1] == Finish(reason=ours)
        await model.close()

    async def test_input_sent_whole_with_the_start_of_its_block(self, server: ModelServer) -> None:
        events = (
            '{"type":"content_block_start","index":0,"content_block":'
            '{"type":"tool_use","id":"t1","name":"Read","input":{"path":"a"}}}',
            '{"type":"content_block_stop","index":0}',
            '{"type":"message_delta","delta":{"stop_reason":"tool_use"}}',
            '{"type":"message_stop"}',
        )
        server.reply(Reply(body="".join(f"data: {event}\n\n" for event in events)))
        model = self.client(server.url)
        assert calls_in(await parts_of(model, request(user("hi")))) == [("t1", "Read", '{"path":"a"}')]
        await model.close()
