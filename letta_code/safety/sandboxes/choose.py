"""Choose: the best sandbox that works on this machine, found out once a process."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from letta_code.core.messages import Value
from letta_code.safety.containment import Containment, Sandbox
from letta_code.safety.sandboxes.none import Unconfined

if TYPE_CHECKING:
    from letta_code.safety.sandboxes.probing import Probe

Wish: TypeAlias = Literal["auto", "bubblewrap", "landlock", "seatbelt", "off"]

_ALL_RIGHTS = "Commands run with all of your rights, so each one is asked about."


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
    if wish == "off":
        return Unconfined()
    if wish in ("auto", "bubblewrap") and sys.platform == "linux":
        found = _probed(territory.root)
        if found.program:
            from letta_code.safety.sandboxes.bubblewrap import Bubblewrap

            return Bubblewrap(found.program, territory)
        return Unconfined(Containment(says=f"{found.says} {_ALL_RIGHTS}", mend=found.mend))
    return Unconfined(Containment(says=f"The sandbox {wish!r} does not work on this system. {_ALL_RIGHTS}"))


@cache
def _probed(root: str) -> Probe:
    """One probe a process: `root` is where no program is taken from."""
    from letta_code.safety.sandboxes.probing import probe

    return probe(root)
