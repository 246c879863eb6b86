"""What refusals mean, and that keys never stand in them."""

from __future__ import annotations

import email.utils

import msgspec
import pytest

from letta_code.core.errors import (
    BadKey,
    BadRequest,
    ContextOverflow,
    Overloaded,
    ProviderError,
    QuotaExceeded,
    RateLimited,
)
from letta_code.llm.faults import Asked, fault_in_stream, fault_of, retry_after
from letta_code.llm.redact import Secret, redact

ASKED = Asked(provider="Test", model="m-1", url="https://x.test/v1", key_env="X_KEY")


def fault(status: int, body: object = b"", **headers: str) -> ProviderError:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return fault_of(status, headers, raw, ASKED, Secret("hunter2-hunter2"))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"error": {"message": "no auth"}}, BadKey),
        (403, {"error": {"message": "not allowed"}}, BadKey),
        (402, {"error": {"message": "Insufficient Balance"}}, QuotaExceeded),
        (429, {"error": {"message": "x", "code": "insufficient_quota"}}, QuotaExceeded),
        (400, {"error": {"message": "Your credit balance is too low to access the Anthropic API."}}, QuotaExceeded),
        (403, {"error": {"message": "Key limit exceeded (spending limit)"}}, QuotaExceeded),
        (429, {"error": {"message": "Rate limit reached for requests"}}, RateLimited),
        (408, b"", Overloaded),
        (500, {"error": {"message": "The server had an error"}}, Overloaded),
        (524, b"<html>cloudflare</html>", Overloaded),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, Overloaded),
        (400, {"error": {"message": "x", "code": "context_length_exceeded"}}, ContextOverflow),
        (
            400,
            {"error": {"message": "input length and `max_tokens` exceed context limit: 190000 + 32000"}},
            ContextOverflow,
        ),
        (413, {"error": {"message": "Request too large for model `x`"}}, ContextOverflow),
        (
            400,
            [{"error": {"message": "The input token count (1) exceeds the maximum number of tokens allowed (0)."}}],
            ContextOverflow,
        ),
        (500, {"error": {"message": "the request exceeds the available context size"}}, ContextOverflow),
        (400, {"detail": "bad field"}, BadRequest),
        (404, {"error": {"message": "model 'x' not found"}}, BadRequest),
        (422, {"detail": [{"loc": ["body", "tools"], "msg": "field required"}]}, BadRequest),
        (301, b"", BadRequest),
    ],
)
def test_classes(status: int, body: object, kind: type[ProviderError]) -> None:
    error = fault(status, body)
    assert type(error) is kind
    assert error.status == status
    assert error.hint
    assert error.url == "https://x.test/v1"
    assert error.retryable == (kind in (RateLimited, Overloaded))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "plain words"}}, "plain words"),
        ({"error": "as a string"}, "as a string"),
        ({"message": "at the top"}, "at the top"),
        ({"detail": "fastapi"}, "fastapi"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": "the real one"}}}, "the real one"),
        (b"<html><script>x()</script><h1>Bad  Gateway</h1></html>", "Bad Gateway"),
        (b"\xff\xfe not text", "not text"),
        (b"just text", "just text"),
    ],
)
def test_the_providers_words_are_found(body: object, words: str) -> None:
    assert words in str(fault(400, body))
    assert "x()" not in str(fault(400, body))


def test_long_words_are_cut() -> None:
    assert len(str(fault(400, {"error": {"message": "x" * 100_000}}))) < 1000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": email.utils.formatdate(1_000_030, usegmt=True)}, 30.0),
        ({"retry-after": email.utils.formatdate(999_000, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=1_000_000) == seconds


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', Overloaded),
        (b'{"error":{"message":"slow","code":429}}', RateLimited),
        (b'{"error":{"message":"slow","type":"rate_limit_error"}}', RateLimited),
        (b'{"error":{"message":"prompt is too long","type":"invalid_request_error"}}', ContextOverflow),
        (b'{"error":{"message":"what","type":"invalid_request_error"}}', BadRequest),
        (b'{"error":{"message":"strange"}}', Overloaded),
        (b'{"error":"strange"}', Overloaded),
    ],
)
def test_errors_inside_a_stream(raw: bytes, kind: type[ProviderError]) -> None:
    assert type(fault_in_stream(raw, ASKED)) is kind


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: hunter2-hunter2.",
        "Authorization: Bearer abcdefghijkl",
        "key sk-proj-abcdef0123456789 is wrong",
        "key sk-ant-api03-AbC_def-123456789 is wrong",
        "you sent sk-abcd****************wxyz",
        "gsk_abcdefghijklmnop",
        "AIzaSyA1234567890abcdefghijklmnop",
    ],
)
def test_keys_are_taken_out(text: str) -> None:
    shown = redact(text, Secret("hunter2-hunter2"))
    assert "[key]" in shown
    for secret in ("hunter2", "abcdefgh", "abcdef01", "AbC_def", "wxyz", "A12345"):
        assert secret not in shown


def test_ordinary_words_stay() -> None:
    text = "the task-runner asked sk-short, key_name and the bearer of news"
    assert redact(text, Secret("")) == text


def test_a_secret_does_not_show_itself() -> None:
    assert "hunter2" not in f"{Secret('hunter2')!r} {Secret('hunter2')}"
