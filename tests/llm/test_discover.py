"""Keys in the environment, servers on this machine, models of an endpoint, a first call."""

from __future__ import annotations

import socket
import time

import pytest

from letta_code.config.settings import Endpoint, Settings
from letta_code.core.errors import BadKey, BadRequest, EndpointUnreachable
from letta_code.llm import discover
from letta_code.llm.connect import open_model
from letta_code.llm.discover import keys_in_environment, list_models, local_servers
from letta_code.llm.redact import Secret
from tests.fakes.model_server import ModelServer, Reply


def test_keys_are_named_but_not_told() -> None:
    found = keys_in_environment({"GROQ_API_KEY": "gsk_secret", "OPENAI_API_KEY": " ", "GEMINI_API_KEY": "x"})
    assert [(key.provider, key.variable) for key in found] == [("groq", "GROQ_API_KEY"), ("gemini", "GEMINI_API_KEY")]
    assert "gsk_secret" not in repr(found)


async def test_servers_on_this_machine() -> None:
    with ModelServer(models=("qwen3:8b", "tiny")) as server, socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()  # takes connections and never answers
        ports = {server.port: "Ollama", mute.getsockname()[1]: "Mute", 1: "Nothing"}
        began = time.monotonic()
        found = await local_servers(ports)
        assert time.monotonic() - began < 1.5
    assert [(one.title, one.base_url, one.models) for one in found] == [
        ("Ollama", f"{server.url}/v1", ("qwen3:8b", "tiny"))
    ]


async def test_models_of_an_endpoint() -> None:
    with ModelServer(models=("a", "b")) as server:
        assert await list_models(f"{server.url}/v1", Secret("sk-abcdefgh1")) == ["a", "b"]
        assert await list_models(server.url, Secret("sk-abcdefgh1"), dialect="anthropic") == ["a", "b"]
        openai, anthropic = server.requests
    assert (openai.path, openai.headers["authorization"]) == ("/v1/models", "Bearer sk-abcdefgh1")
    assert (anthropic.path, anthropic.headers["x-api-key"]) == ("/v1/models", "sk-abcdefgh1")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(status=401, message="no"), BadKey),
        (Reply(body="<html>hi</html>", content_type="text/html"), BadRequest),
        (Reply(body='{"hello": 1}', content_type="application/json"), BadRequest),
    ],
)
async def test_endpoints_that_list_nothing(reply: Reply, kind: type[Exception]) -> None:
    with ModelServer(listing=reply) as server, pytest.raises(kind):
        await list_models(f"{server.url}/v1")


async def test_nobody_there() -> None:
    with pytest.raises(EndpointUnreachable, match=r"127\.0\.0\.1:1"):
        await list_models("http://127.0.0.1:1/v1")


async def test_a_first_call() -> None:
    with ModelServer((Reply(text="ready", first_byte=0.05), Reply(status=401, message="no"))) as server:
        settings = Settings(endpoints={"me": Endpoint(base_url=f"{server.url}/v1")})
        model = open_model("me/x", settings, {}.get)
        done = await discover.test_call(model)
        assert done.text == "ready"
        assert 0.04 < done.first_part_seconds <= done.seconds < 2
        with pytest.raises(BadKey):
            await discover.test_call(model)
        await model.close()
