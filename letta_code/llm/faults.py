"""What a provider's refusal means: HTTP status, headers and body become one of the errors of core/errors.py."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from letta_code.core.errors import (
    BadKey,
    BadRequest,
    ContextOverflow,
    Overloaded,
    ProviderError,
    QuotaExceeded,
    RateLimited,
)
from letta_code.core.messages import Value
from letta_code.llm.address import public_url
from letta_code.llm.redact import Secret, redact

_SHOWN = 600  # characters of a provider's own words

# Wordings of "your messages do not fit", lower case.  OpenAI, vLLM, Anthropic, Gemini, Groq, Mistral, llama.cpp,
# Bedrock, LM Studio, together.ai.
_OVERFLOW = (
    "context_length_exceeded",
    "context length",
    "context_window_exceeded",
    "context window",
    "exceed_context_size",
    "exceeds the available context size",
    "prompt is too long",
    "input is too long",
    "input length and `max_tokens` exceed",
    "maximum number of tokens allowed",
    "input token count",
    "reduce the length of the messages",
    "too many tokens in prompt",
    "request too large for model",
    "prompt contains too many tokens",
    "exceeds the maximum number of input tokens",
    "inputs tokens + max_new_tokens",
)
# An account without money or quota: waiting does not help.
_QUOTA = (
    "insufficient_quota",
    "exceeded your current quota",
    "billing_hard_limit",
    "billing_not_active",
    "credit balance is too low",
    "insufficient credits",
    "insufficient balance",
    "insufficient_balance",
    "insufficient funds",
    "payment required",
    "quota_exceeded",
    "spending limit",
    "usage limit reached",
    "more credits",
)
_UNKNOWN_MODEL = ("model_not_found", "does not exist", "not found", "no such model", "unknown model", "invalid model")


class Asked(Value):
    """Who was asked, for the words of an error: provider and model names, the address, and how a key is given."""

    provider: str = ""
    model: str = ""
    url: str = ""
    key_env: str = ""

    @property
    def shown(self) -> str:
        """The address as an error names it (see `public_url`), "" where there is none."""
        return public_url(self.url)


class _Told(msgspec.Struct):
    message: str = ""
    codes: str = ""  # type and code, lower case, joined


def fault_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    asked: Asked,
    secret: Secret | None = None,
) -> ProviderError:
    """The error for a response that is no answer.

    `headers` have lower-case names.  The message names the address, the status and the provider's own words, without
    any key; the hint says what to do.
    """
    told = _told(body)
    words = redact(told.message, secret)[:_SHOWN].strip()
    where = asked.shown or asked.provider
    said = f"{where} answered {status}" + (f": {words}" if words else "")
    after = retry_after(headers)
    return _classified(status, f"{told.codes} {told.message}".lower(), said, after, asked)


def fault_in_stream(raw: bytes, asked: Asked, secret: Secret | None = None) -> ProviderError:
    """The error for an error object that came inside a stream that had begun with 200.

    Its code or type tells the status where it can; else it counts as the provider's own fault, to be tried again.
    """
    told = _told(raw)
    words = redact(told.message, secret)[:_SHOWN].strip() or "an error without words"
    status = _status_in(told.codes)
    said = f"{asked.shown or asked.provider} broke off its answer: {words}"
    return _classified(status or 500, f"{told.codes} {told.message}".lower(), said, None, asked)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait as the provider asks: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(milliseconds / 1000, 0.0)
    raw = headers.get("retry-after")
    if raw is None:
        return None
    seconds = _number(raw)
    if seconds is not None:
        return max(seconds, 0.0)
    from email.utils import parsedate_to_datetime  # a date is rare, and email is slow to import

    try:
        at = parsedate_to_datetime(raw).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(at - (time.time() if now is None else now), 0.0)


def _classified(status: int, words: str, said: str, after: float | None, asked: Asked) -> ProviderError:
    kind, hint = _kind(status, words, asked)
    return kind(said, hint=hint, status=status, retry_after=after, url=asked.shown)


def _kind(status: int, words: str, asked: Asked) -> tuple[type[ProviderError], str]:
    if status in (400, 413, 422, 429, 500) and _holds(words, _OVERFLOW):
        return ContextOverflow, "Start a new conversation (/new), or use a model with a larger window."
    if status == 402 or (status in (400, 403, 429) and _holds(words, _QUOTA)):
        return QuotaExceeded, "Top up or raise the limit of the account, or use another model."
    if status in (401, 403):
        return BadKey, _key_hint(asked)
    if status == 429:
        return RateLimited, "The provider limits requests for now."
    if status in (408, 409, 425) or status >= 500:
        return Overloaded, "The fault is the provider's, for now."
    return BadRequest, _request_hint(status, words, asked)


def _key_hint(asked: Asked) -> str:
    if asked.key_env:
        return f"Check the key in {asked.key_env}, or run `letta-code configure`."
    return "Run `letta-code configure` to give a key."


def _request_hint(status: int, words: str, asked: Asked) -> str:
    if "model" in words and _holds(words, _UNKNOWN_MODEL):
        return f"The provider does not know the model {asked.model!r}: `letta-code models` lists what can be used."
    if status in (404, 405):
        return f"Nothing is served at {asked.shown}: is the base URL right (most end with /v1)?"
    if 300 <= status < 400:
        return "The address redirects: give the final address as the base URL."
    return "The provider refused the request as it is; sending it again does not help."


def _holds(words: str, signs: tuple[str, ...]) -> bool:
    return any(sign in words for sign in signs)


def _number(raw: str | None) -> float | None:
    try:
        value = float(raw) if raw is not None else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None


_STATUS_BY_WORD = (
    ("overloaded", 529),
    ("rate_limit", 429),
    ("too_many_requests", 429),
    ("insufficient_quota", 429),
    ("authentication", 401),
    ("invalid_api_key", 401),
    ("permission", 403),
    ("billing", 402),
    ("not_found", 404),
    ("context_length", 400),
    ("invalid_request", 400),
    ("request_too_large", 413),
    ("timeout", 504),
    ("server_error", 500),
    ("api_error", 500),
)


def _status_in(codes: str) -> int:
    for word in codes.split():
        if word.isdigit() and 400 <= int(word) < 600:
            return int(word)
    return next((status for sign, status in _STATUS_BY_WORD if sign in codes), 0)


def _told(body: bytes) -> _Told:
    """The provider's words in the shapes that are met: `{error: {…}}`, `{error: "…"}`, `{detail: …}`, `[{…}]`, text."""
    try:
        data: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Told(message=_plain(body))
    if isinstance(data, list) and data:
        data = cast("list[Any]", data)[0]
    if not isinstance(data, dict):
        return _Told(message=_plain(body))
    fields = cast("dict[str, Any]", data)
    inner: Any = fields.get("error", fields)
    if isinstance(inner, dict):
        return _told_fields(cast("dict[str, Any]", inner))
    return _Told(message=str(inner), codes=str(fields.get("type", "")).lower())


def _told_fields(fields: dict[str, Any]) -> _Told:
    message = fields.get("message") or fields.get("detail") or fields.get("error") or ""
    if not isinstance(message, str):
        message = msgspec.json.encode(message).decode()
    metadata: Any = fields.get("metadata")
    if isinstance(metadata, dict) and "raw" in metadata:  # OpenRouter puts the real provider's words here
        message = f"{message} ({metadata['raw']})"
    codes = " ".join(str(fields[name]) for name in ("type", "code", "status") if fields.get(name) is not None)
    return _Told(message=message, codes=codes.lower())


def _plain(body: bytes) -> str:
    text = body[:4096].decode("utf-8", "replace")
    if "<" not in text:
        return " ".join(text.split())
    import re

    return " ".join(re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", text).split())
