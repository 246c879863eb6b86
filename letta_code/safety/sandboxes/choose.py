"""Choose: the best sandbox that works on this machine, found out once a process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from letta_code.core.messages import Value
from letta_code.safety.containment import Containment, Sandbox
from letta_code.safety.rules import Rules
from letta_code.safety.sandboxes.none import Unconfined

if TYPE_CHECKING:
    from letta_code.host.proxy import Admits, Reach
    from letta_code.safety.sandboxes.bubblewrap_probe import Probe

Wish: TypeAlias = Literal["auto", "bubblewrap", "landlock", "seatbelt", "off"]

_ALL_RIGHTS = "Commands run with all of your rights, so each one is asked about."


class Territory(Value):
    """What a sandbox is drawn around: real absolute paths.

    `root` is the work tree, `temp` the session's folder for whole outputs (only `tmp` in it may be written: what lies
    beside it is read by us and by commands that run outside), `home` the person's home folder, `letta_home`
    letta-code's own (masked but for what commands need).
    """

    root: str
    temp: str
    home: str
    letta_home: str


def choose(wish: Wish, territory: Territory, rules: Callable[[], Rules] | None = None) -> Sandbox:
    """The sandbox for a wish: `auto` takes bubblewrap, else Landlock (Linux), Seatbelt (macOS), else none.

    A wished one that does not work is none, and says so: never another one silently.  One around a work tree that is
    more than a project (a home folder, a folder of the system) does not claim that it `confines`.  `rules`,
    asked for each command and host, say which hosts may be reached with the web, and which files are not read.
    """
    if wish == "off":
        return Unconfined()
    if wish in ("auto", "seatbelt") and sys.platform == "darwin":
        return _seatbelt(territory, rules or Rules)
    if wish in ("auto", "bubblewrap", "landlock") and sys.platform == "linux":
        return _of_linux(wish, territory, rules or Rules)
    return Unconfined(Containment(says=f"The sandbox {wish!r} does not work on this system. {_ALL_RIGHTS}"))


def _of_linux(wish: Wish, territory: Territory, rules: Callable[[], Rules]) -> Sandbox:
    from letta_code.safety.sandboxes.web import Web

    web = Web(_admitted(rules), environ=os.environ)
    found = _probed(territory.root) if wish != "landlock" else None
    if found is not None and found.program:
        from letta_code.safety.sandboxes.bubblewrap import Bubblewrap

        return Bubblewrap(found.program, territory, web, rules=rules)
    says, mend = (found.says, found.mend) if found is not None else ("", "")
    if wish == "bubblewrap":
        return Unconfined(Containment(says=f"{says} {_ALL_RIGHTS}", mend=mend))
    from letta_code.safety.sandboxes.landlock import Landlock, holds

    version, why = _landlock()
    if version:
        return Landlock(holds(version, says, mend), territory, web)
    return Unconfined(Containment(says=" ".join(part for part in (says, why, _ALL_RIGHTS) if part), mend=mend))


def _seatbelt(territory: Territory, rules: Callable[[], Rules]) -> Sandbox:
    from letta_code.safety.sandboxes.seatbelt import HOLDS, PROGRAM, Seatbelt
    from letta_code.safety.sandboxes.web import Web
    from letta_code.safety.sandboxes.wide import held

    sandbox = Seatbelt(held(HOLDS, territory), territory, Web(_admitted(rules), environ=os.environ), rules=rules)
    why = sandbox.tried() if os.access(PROGRAM, os.X_OK) else f"{PROGRAM} of macOS is not there."
    return Unconfined(Containment(says=f"{why} {_ALL_RIGHTS}")) if why else sandbox


def _admitted(rules: Callable[[], Rules]) -> Admits:
    from letta_code.safety.hosts import host_verdict, is_named

    def reach(host: str, _port: int) -> Reach:
        known = rules()
        if host_verdict(known, host) != "allow":
            return "nowhere"
        return "named" if is_named(known, host) else "world"

    return reach


@cache
def _landlock() -> tuple[int, str]:
    """The version of a Landlock that works here and "", or 0 and why there is none; one try a process (some 25 ms)."""
    from letta_code.host.probe import ask, landlock_version
    from letta_code.safety.sandboxes.landlock import refused, trial

    version = landlock_version()
    why = refused(version, os.uname().machine)
    if why:
        return 0, why
    said = ask(trial())
    if said is not None and said.code == 0:
        return version, ""
    return 0, f"Landlock does not work here ({' '.join((said.text if said else '').split())[:200] or 'no answer'})."


@cache
def _probed(root: str) -> Probe:
    """One probe a process: `root` is where no program is taken from."""
    from letta_code.safety.sandboxes.bubblewrap_probe import probe

    return probe(root)
