"""letta-code as it is, or as if there were no memory at all: `_with_memory.py on|off FLAGS…`."""

from __future__ import annotations

import sys
from typing import Any

from letta_code.agent import start
from letta_code.cli import main


def nothing(*words: Any, **named: Any) -> None:
    """In the place of `open_desk`."""


if __name__ == "__main__":
    if sys.argv[1] == "off":
        start.open_desk = nothing  # a session without a desk has no memory
    sys.exit(main(sys.argv[2:]))
