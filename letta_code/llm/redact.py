"""Keys never stand in a message: what looks like one is taken out of texts that came from a provider."""

from __future__ import annotations

import functools
import re

# Compiled when first needed: only errors need it, and a start has none.
_KEY_LIKE = r"""(?ix)
    \b(?: sk | pk | rk | gsk | xai | key | pplx | fw | hf )[-_] [A-Za-z0-9_\-*.]{8,}   # sk-…, gsk_…, also half masked
    | \b AIza [A-Za-z0-9_\-]{20,}
    | \b bearer \s+ [A-Za-z0-9_\-.=+/]{8,}
    """

_USER_INFO = r"(?<=://)[^\s/?#@]+@"  # of an address: a name and a password

_MARK = "[key]"


class Secret:
    """A key that does not show itself in a repr, a log or a traceback; `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself, "" when there is none."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(…)" if self._value else "Secret()"


def redact(text: str, secret: Secret | None = None) -> str:
    """The text without the given key, without anything that looks like a key, and without passwords in addresses."""
    value = secret.reveal() if secret is not None else ""
    if len(value) >= 4:
        text = text.replace(value, _MARK)
    return re.sub(_USER_INFO, "", _key_like().sub(_MARK, text))


@functools.cache
def _key_like() -> re.Pattern[str]:
    return re.compile(_KEY_LIKE)
