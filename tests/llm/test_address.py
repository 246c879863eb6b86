"""Addresses are shown without what is secret in them, whatever went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from letta_code.cli._connecting import checked_url
from letta_code.config.settings import Endpoint, Settings
from letta_code.core.errors import LettaError, ProviderError
from letta_code.llm.address import public_url
from letta_code.llm.connect import open_model
from letta_code.llm.discover import list_models
from letta_code.llm.redact import redact
from letta_code.llm.retry import RetryLimits, stream_with_retries
from tests.fakes.model_server import ModelServer, Reply
from tests.llm.examples import request, user

PASSWORD = "s3cretpass"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1"),
        ("http://user:s3cretpass@127.0.0.1:9/v1", "http://127.0.0.1:9/v1"),
        ("HTTPS://s3cretpass@h/v1?key=s3cretpass#s3cretpass", "HTTPS://h/v1"),
        ("user:s3cretpass@h/v1", "h/v1"),
        ("http://user:a/s3cretpass@h:1/v1", "http://h:1/v1"),
        ("http://user:a?s3cretpass#@h/v1", "http://h/v1"),
        ("http://user:s3cret@pass@h/v1", "http://h/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://h:8443/models/@me/x", "https://h:8443/models/@me/x"),
        ("https://h/a:b/@me/x", "https://h/a:b/@me/x"),
        ("Cohere (through litellm)", "Cohere (through litellm)"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_passwords(url: str, shown: str) -> None:
    assert public_url(url) == shown


def with_password(url: str) -> str:
    return url.replace("http://", f"http://user:{PASSWORD}@")


async def waited_and_raised(url: str, dialect: str = "openai") -> tuple[LettaError, list[str]]:
    settings = Settings(endpoints={"up": Endpoint(base_url=url, dialect=dialect, first_part_seconds=0.5)})
    reasons: list[str] = []

    def on_wait(phase: str, seconds: float, attempt: int = 1, reason: str = "") -> None:
        reasons.append(reason)

    model = open_model("up/openai/x" if dialect == "litellm" else "up/x", settings, lambda _: "")
    limits = RetryLimits(retry_seconds=0.3, unreachable_seconds=0.3, first_delay=0.1)
    try:
        with pytest.raises(LettaError) as caught:
            async for _ in stream_with_retries(model, request(user("hi")), limits=limits, on_wait=on_wait):
                pass
    finally:
        await model.close()
    return caught.value, reasons


def shows_no_password(error: LettaError, reasons: list[str]) -> None:
    url = error.url if isinstance(error, ProviderError) else ""
    for text in (str(error), error.hint, url, *reasons):
        assert PASSWORD not in text


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "litellm"])
async def test_nothing_there(dialect: str) -> None:
    error, reasons = await waited_and_raised(f"http://user:{PASSWORD}@127.0.0.1:9/v1", dialect)
    assert "http://127.0.0.1:9/v1" in str(error)
    assert any(reasons)  # it was told why it is tried again
    shows_no_password(error, reasons)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=500, message="oops"),
        Reply(status=404, message="no"),
        Reply(status=401, message="no"),
        Reply(body="<html>hi</html>", content_type="text/html"),
        Reply(text="half of it all", fault="cut", after=2),
        Reply(text="half of it all", fault="garbage", after=2),
        Reply(text="half of it all", fault="error", after=2),
        Reply(text="half of it all", fault="end", after=2),
        Reply(fault="hang_up"),
        Reply(first_byte=1.0),
    ],
)
async def test_every_fault_of_a_server(reply: Reply) -> None:
    with ModelServer((reply,) * 9) as server:
        error, reasons = await waited_and_raised(with_password(f"{server.url}/v1"))
        assert server.requests
    assert "127.0.0.1" in str(error) + error.hint
    shows_no_password(error, reasons)


@pytest.mark.parametrize("url", [f"http://user:a/{PASSWORD}@h/v1", f"http://user:{PASSWORD}/@h/v1"])
async def test_an_address_that_is_none(url: str) -> None:
    shows_no_password(*await waited_and_raised(url))


def listing(url: str) -> None:
    asyncio.run(list_models(url))


@pytest.mark.parametrize(
    ("ask", "url"),
    [
        (listing, f"http://user:{PASSWORD}@127.0.0.1:9/v1"),
        (listing, f"http://user:{PASSWORD}/@h/v1"),
        (checked_url, f"user:{PASSWORD}@127.0.0.1:9/v1"),
        (lambda url: open_model("up/x", Settings(endpoints={"up": Endpoint(base_url=url)}), lambda _: ""),
         f"ftp://user:{PASSWORD}@h/v1"),
    ],
)  # fmt: skip
def test_setting_it_up(ask: Callable[[str], object], url: str) -> None:
    with pytest.raises(LettaError) as caught:
        ask(url)
    shows_no_password(caught.value, [])


def test_addresses_in_others_words() -> None:
    assert redact(f"cannot reach https://user:{PASSWORD}@h/v1, sorry") == "cannot reach https://h/v1, sorry"
