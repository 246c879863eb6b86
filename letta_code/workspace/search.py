"""Search: ripgrep, or Python where it is missing."""

from __future__ import annotations

import os
import sys

from letta_code.host.process import which


def ripgrep(path: str) -> str | None:
    """The `rg` program: the one that came with our environment, else one on PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), "rg")
    return which(beside, "") if os.access(beside, os.X_OK) else which("rg", path)
