"""Messages of chat completions as bytes: pictures, reasoning, ids, and the same head in every process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from letta_code.core.messages import ReasoningPart
from letta_code.llm.history import History
from letta_code.llm.openai_wire import OpenAIEncoder
from letta_code.llm.providers import PROVIDERS
from tests.llm.examples import PIXEL, assistant, call, reminder, result, user


def sent(*messages: Any, encoder: OpenAIEncoder | None = None) -> list[dict[str, Any]]:
    data, _ = History(encoder or OpenAIEncoder()).update(messages)
    return msgspec.json.decode(b"[" + bytes(data) + b"]")


def test_pictures_of_results_follow_all_results_of_the_turn() -> None:
    said = assistant("", call("1"), call("2"))
    messages = sent(
        user("go"), said, result("1", PIXEL, text="a picture"), result("2", text="words"), reminder("noted")
    )
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user", "user"]
    assert messages[2]["content"] == "a picture\n[picture: see below]"
    assert messages[4]["content"][1]["image_url"]["url"] == f"data:image/png;base64,{PIXEL.data}"
    assert messages[5]["content"] == "<system-reminder>\nnoted\n</system-reminder>"


def test_text_alone_is_a_string_and_with_pictures_it_is_parts() -> None:
    assert sent(user("hi"))[0]["content"] == "hi"
    assert [part["type"] for part in sent(user("hi", "u", PIXEL))[0]["content"]] == ["text", "image_url"]


def test_an_answer_without_words_and_calls_is_left_out() -> None:
    assert [message["role"] for message in sent(user("a"), assistant(""), user("b"))] == ["user", "user"]


def test_reasoning_goes_back_only_where_it_is_asked_for() -> None:
    said = assistant("", call("1"), reasoning=(ReasoningPart(text="hm"),))
    words = assistant("so", reasoning=(ReasoningPart(text="hm"),))
    assert "reasoning_content" not in sent(said)[0]
    encoder = OpenAIEncoder(send_reasoning=True)
    assert sent(said, encoder=encoder)[0]["reasoning_content"] == "hm"
    assert "reasoning_content" not in sent(words, encoder=encoder)[0]
    assert "reasoning_content" not in sent(assistant("", call("1")), encoder=encoder)[0]


@pytest.mark.parametrize("provider", ["mistral", "openai"])
def test_ids_that_a_provider_refuses_are_replaced_in_call_and_result(provider: str) -> None:
    pattern = PROVIDERS[provider].call_id
    encoder = OpenAIEncoder(call_id=pattern)
    good, bad = "abcDEF123", "functions.Read:0-and-a-very-long-tail-of-another-provider"
    messages = sent(assistant("", call(good), call(bad)), result(good), result(bad), encoder=encoder)
    ids = [one["id"] for one in messages[0]["tool_calls"]]
    assert ids == [message["tool_call_id"] for message in messages[1:]]
    assert ids[0] == good
    assert ids[1] != bad
    assert all(re.fullmatch(pattern, id) for id in ids)


def test_the_body_is_the_same_in_every_process() -> None:
    code = """
import sys
from letta_code.config.settings import Endpoint, Settings
from letta_code.llm.connect import open_model
from tests.llm.examples import STORY, request
settings = Settings(endpoints={"me": Endpoint(base_url="http://127.0.0.1:1", dialect=sys.argv[1])})
sys.stdout.buffer.write(open_model("me/x", settings, lambda name: None).body(request(*STORY)))
"""
    for dialect in ("openai", "anthropic", "litellm"):
        bodies = {
            subprocess.run(
                [sys.executable, "-c", code, dialect],
                capture_output=True,
                check=True,
                env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()},
            ).stdout
            for seed in ("1", "2")
        }
        assert len(bodies) == 1
        assert len(bodies.pop()) > 1000
