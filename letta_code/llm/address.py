"""What an address says of where a server is."""

from __future__ import annotations

import re


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    host = re.sub(r"^[a-z]+://", "", url.lower()).split("/", 1)[0].rsplit("@", 1)[-1]
    host = host[1:].split("]", 1)[0] if host.startswith("[") else host.split(":", 1)[0]
    named = host in ("localhost", "::1", "0.0.0.0") or host.endswith(".localhost")
    return named or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None
