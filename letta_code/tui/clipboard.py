"""Clipboard: copies through the terminal (OSC 52), also from inside tmux and over ssh."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from typing import TypeAlias

Copy: TypeAlias = Callable[[str], None]

LIMIT = 75_000  # bytes before base64; more is dropped silently by several terminals


def osc52(text: str, env: Mapping[str, str] | None = None) -> str:
    """The sequence that puts a text on the clipboard; inside tmux also wrapped for the terminal around it.

    "" when the text is too long for terminals to take.
    """
    data = text.encode("utf-8", "replace")
    if len(data) > LIMIT:
        return ""
    plain = f"\x1b]52;c;{base64.b64encode(data).decode('ascii')}\x07"
    if not (os.environ if env is None else env).get("TMUX"):
        return plain
    escaped = plain.replace("\x1b", "\x1b\x1b")
    return f"{plain}\x1bPtmux;{escaped}\x1b\\"
