"""Secrets: texts that look like keys or passwords, so that they are kept out of memory and of exports."""

from __future__ import annotations

import functools
import re

# Formats that carry their own mark; free passwords cannot be told from words.
_FORMATS = (
    (
        "a private key",
        r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?:.*?-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    ("an AWS key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,})"),
    ("a GitLab token", r"\bgl(?:pat|ptt|dt|rt|cbt|ft|soat)-[A-Za-z0-9_\-]{20,}"),
    ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("a Google key", r"\bAIza[A-Za-z0-9_\-]{30,}"),
    (
        "an API key",
        r"\b(?:sk|pk|rk|gsk|xai|pplx|fw|hf|r8|key)[-_](?=[A-Za-z0-9_\-]*[0-9][A-Za-z0-9_\-]*[0-9])[A-Za-z0-9_\-]{20,}",
    ),
    ("a Stripe key", r"\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("an npm token", r"\bnpm_[A-Za-z0-9]{30,}"),
    ("a PyPI token", r"\bpypi-[A-Za-z0-9_\-]{50,}"),
    ("a Telegram token", r"\b\d{8,10}:AA[A-Za-z0-9_\-]{32,}"),
    ("a SendGrid key", r"\bSG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}"),
    ("a JSON web token", r"\beyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}"),
    ("a password in an address", r"(?<=://)[^\s/?#@:]+:[^\s/?#@]{3,}(?=@)"),
    ("a bearer token", r"(?i)\bbearer\s+(?=[A-Za-z0-9_\-.=+/]*[0-9])[A-Za-z0-9_\-.=+/]{20,}"),
    (
        "a password",
        r"(?i)\b[a-z0-9_]*(?:password|passwd|secret|api_?key|access_?key|auth_?token)[\"']?\s*[:=]\s*[\"']?"
        r"(?=[^\s\"']*[0-9])(?=[^\s\"']*[A-Za-z])[^\s\"'<>${}()]{8,}",
    ),
)


@functools.cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, re.compile(pattern, re.DOTALL)) for name, pattern in _FORMATS)


def secret_reason(text: str) -> str:
    """Why a text is not to be kept, such as `it holds a GitHub token`; "" when nothing in it looks like a secret."""
    for name, pattern in _patterns():
        if pattern.search(text):
            return f"it holds {name}"
    return ""


def without_secrets(text: str) -> tuple[str, int]:
    """The text with `[removed: a GitHub token]` in the place of each, and how many there were."""
    count = 0
    for name, pattern in _patterns():
        text, found = pattern.subn(f"[removed: {name}]", text)
        count += found
    return text, count
