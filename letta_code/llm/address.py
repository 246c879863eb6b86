"""What an address says of where a server is, and how it is shown."""

from __future__ import annotations

import re


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    host = re.sub(r"^[a-z]+://", "", url.lower()).split("/", 1)[0].rsplit("@", 1)[-1]
    host = host[1:].split("]", 1)[0] if host.startswith("[") else host.split(":", 1)[0]
    named = host in ("localhost", "::1", "0.0.0.0") or host.endswith(".localhost")
    return named or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def public_url(url: str) -> str:
    """An address as it may be shown: without a user's name and password and without its query, which may hold keys.

    A password with an unescaped `/`, `?` or `#` makes an address wrong, and is taken out all the same.
    """
    start = r"(?i)^([a-z][a-z0-9+.-]*://)?"
    url = re.sub(start + r"[^/?#@:\[]*:(?!\d*(?:[/?#]|$))\S*@", r"\1", url)
    return re.sub(r"[?#].*", "", re.sub(start + r"[^/?#]*@", r"\1", url))
