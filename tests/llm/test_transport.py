"""HTTP: certificates, proxies, addresses, and what is loaded when."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from letta_code.config.settings import Endpoint, Settings
from letta_code.core.errors import BadRequest, ConfigError, EndpointUnreachable, ProviderError
from letta_code.llm.connect import open_model, warm
from letta_code.llm.model import ChatModel, Finish
from tests.fakes.model_server import ModelServer, Reply
from tests.llm.contract import parts_of, text_in
from tests.llm.examples import request, user

TLS = Path(__file__).parent / "tls"


def client(url: str, key: str = "") -> ChatModel:
    settings = Settings(endpoints={"me": Endpoint(base_url=url)})
    return open_model("me/x", settings, lambda _: key)


async def fault(url: str, key: str = "") -> ProviderError:
    model = client(url, key)
    with pytest.raises(ProviderError) as caught:
        await parts_of(model, request(user("hi")))
    await model.close()
    return caught.value


@pytest.fixture
def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    return context


async def test_an_authority_of_ones_own(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "cert.pem"))
    with ModelServer((Reply(text="private"),), tls=tls) as server:
        assert server.url.startswith("https://")
        model = client(f"{server.url}/v1")
        warm(model)
        assert text_in(await parts_of(model, request(user("hi")))) == "private"
        await model.close()


async def test_an_untrusted_certificate_is_refused_for_good(tls: ssl.SSLContext) -> None:
    with ModelServer((Reply(text="never"),), tls=tls) as server:
        error = await fault(f"{server.url}/v1")
    assert isinstance(error, EndpointUnreachable)
    assert not error.retryable
    assert "SSL_CERT_FILE" in error.hint
    assert server.url in str(error)
    assert server.requests == []


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer((Reply(text="by proxy"),)) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        model = client("http://models.invalid/v1")
        assert text_in(await parts_of(model, request(user("hi")))) == "by proxy"
        await model.close()
    assert server.requests[0].path == "http://models.invalid/v1/chat/completions"


async def test_no_proxy_is_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with ModelServer((Reply(text="direct"),)) as server:
        model = client(f"{server.url}/v1")
        assert text_in(await parts_of(model, request(user("hi")))) == "direct"
        await model.close()


async def test_a_dead_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    error = await fault("https://models.invalid/v1")
    assert isinstance(error, EndpointUnreachable)


async def test_no_such_host() -> None:
    error = await fault("http://no-such-host.invalid/v1")
    assert isinstance(error, EndpointUnreachable)
    assert error.retryable
    assert "no-such-host.invalid" in str(error)
    assert "no such host" in error.hint


async def test_nothing_listens() -> None:
    error = await fault("http://127.0.0.1:1/v1")
    assert isinstance(error, EndpointUnreachable)
    assert "http://127.0.0.1:1/v1/chat/completions" in str(error)
    assert "Nothing listens" in error.hint


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    reply = Reply(status=307, body="moved", headers={"location": "http://elsewhere.invalid/v1"})
    with ModelServer((reply,)) as server:
        error = await fault(f"{server.url}/v1", key="sk-abcdefgh12345")
    assert isinstance(error, BadRequest)
    assert "redirects" in error.hint


async def test_no_address_at_all() -> None:
    model = client("http://127.0.0.1:port/v1")
    with pytest.raises(ConfigError, match="no address"):
        await parts_of(model, request(user("hi")))


async def test_a_big_request_and_a_big_answer() -> None:
    with ModelServer((Reply(text="word " * 40_000, piece=5000),)) as server:
        model = client(f"{server.url}/v1")
        parts = await parts_of(model, request(user("x" * 8_000_000)))
        assert len(text_in(parts)) == 200_000
        assert parts[-1] == Finish(reason="stop")
        await model.close()
    assert len(server.requests[0].body) > 8_000_000


async def test_one_model_serves_several_answers_at_once() -> None:
    import asyncio

    with ModelServer((Reply(text="a" * 50, pause=0.02, repeat=3),)) as server:
        model = client(f"{server.url}/v1")
        answers = await asyncio.gather(*(parts_of(model, request(user(str(n)), conversation=str(n))) for n in range(3)))
        assert [text_in(parts) for parts in answers] == ["a" * 50] * 3
        await model.close()
    assert server.connections == 3


def test_httpx_comes_without_its_command_line() -> None:
    code = """
import sys
from letta_code.llm.transport import load_httpx
httpx = load_httpx()
print(sorted({"rich", "click", "pygments", "certifi"} & set(sys.modules)), httpx.__name__, load_httpx() is httpx)
import httpx._main  # still there for who wants it
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] httpx True"
