"""Welcome: what stands on the screen before anything was said."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from letta_code import __version__
from letta_code.agent.port import SessionOptions


class Welcome(Static):
    """A name, a version and three hints; gone with the first card."""

    def __init__(self, options: SessionOptions) -> None:
        text = Content.assemble(
            ("letta-code ", "bold $text-primary"),
            (__version__, "$foreground 75%"),
            ("\n\nSay what should be done in this folder.\n", "$foreground"),
            ("Shift+Tab changes what may happen without asking  ·  F1 shows all keys", "$foreground 75%"),
        )
        super().__init__(text, markup=False, id="welcome")
