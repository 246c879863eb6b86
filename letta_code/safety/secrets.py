"""Secrets: texts that look like keys or passwords, so that they are kept out of memory and of exports."""

from __future__ import annotations

import functools
import re

# What is assigned to a name that tells it to be secret.  Paths, calls and words with separators (`v2-deps-linux`) are
# no keys, and a lower-case name, as it stands in any code, needs a value that nobody would write by hand.
_MIXED = r"(?=[^\s\"']*[0-9])(?=[^\s\"']*[A-Za-z])"
_GIVEN = r"[\"']?\s*[:=]\s*[\"']?"
_NO_PATH = r"(?![~./$])"
_NO_CALL = r"(?![(\[])"
_RANDOM = r"[^\s\"'`<>${}()\[\],;]"
_WORD = r"(?:[A-Za-z]+[0-9]{0,4}|[0-9]{1,4})"
_END = r"(?=[\s\"'`<>${}()\[\],;]|$)"

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
        r"(?i)\b[a-z0-9_]*(?:password|passwd|passphrase|secret|api_?key|access_?key|auth_?token)"
        rf"{_GIVEN}{_MIXED}[^\s\"'<>${{}}()]{{8,}}",
    ),
    ("a password", rf"(?i)\b(?:[a-z0-9_]*_pass{_GIVEN}|pass=[\"']?){_NO_PATH}{_MIXED}{_RANDOM}{{8,}}+{_NO_CALL}"),
    (
        "a token or key",
        rf"\b[A-Z0-9_]*(?:TOKEN|_KEY){_GIVEN}{_NO_PATH}(?!{_WORD}(?:[-_./]{_WORD})+{_END}){_MIXED}{_RANDOM}{{8,}}+{_NO_CALL}",
    ),
    (
        "a token or key",
        r"(?i)\b[a-z0-9_]*(?:token|(?:private|encryption|signing|master|auth|service|account|license|deploy)[_-]?key)"
        rf"{_GIVEN}{_NO_PATH}(?!{_WORD}(?:[-_./]{_WORD})*{_END}){_MIXED}{_RANDOM}{{12,}}+{_NO_CALL}",
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
