"""Landlock: where bubblewrap does not work, commands give up rights themselves; weaker, so each is asked about.

Here it is said what a command is to keep; `host/landlock.py` is the script that then makes the kernel's rules.

Landlock can only allow: what is given for a folder is given for all below it.  So the work tree is opened child by
child where something in it must not be written (`.git`, `.letta` …, there or not).  The price: directly in such a
folder a command can neither make nor remove nor replace a file or folder, only write into those that are there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from letta_code.host import landlock as script
from letta_code.host.programs import installed_in
from letta_code.safety.containment import Confined, Containment, Grant
from letta_code.safety.places import is_within
from letta_code.safety.sandboxes import environment, hidden
from letta_code.safety.sandboxes.limits import Limits, Meter
from letta_code.safety.sandboxes.own_folder import OwnFolder
from letta_code.safety.sandboxes.repositories import PROTECTED, Tree, is_one, repository
from letta_code.safety.sandboxes.web import Web, closing

if TYPE_CHECKING:
    from letta_code.safety.sandboxes.choose import Territory

_PYTHON = (sys.executable, "-I", "-S", script.__file__)
_LIMITS = Limits()
LOOK = 0.05  # seconds for finding repositories inside the work tree
_HOLDS = (
    "Landlock holds commands: they write only into what the work tree has, and reach no network and no other program. "
    "It cannot stop chmod, chown or touch elsewhere, or let a command make files in the tree's top folder, so every "
    "command is asked about."
)
_OLDER = (" This kernel's Landlock (version {version}) does not keep a command that was given the web from other ports"
          " of other machines.", " It does not keep commands from ending other programs.")  # fmt: skip


def refused(version: int, machine: str) -> str:
    """Why Landlock of a version cannot be used on a processor, "" when it can."""
    if not version:
        return "The kernel has no Landlock."
    if version < script.OLDEST:
        return f"The kernel's Landlock has version {version}; {script.OLDEST} (Linux 6.2) is the oldest that is used."
    return "" if machine in script.MACHINES else f"Landlock is not used on processors of type {machine}."


def trial() -> list[str]:
    """A command that does nothing, confined: it ends with 0 where Landlock works."""
    return [*_PYTHON, "net=off", "--", *_PYTHON[:3], "-c", ""]


def holds(version: int, why: str, mend: str) -> Containment:
    """What Landlock of a version (at least `OLDEST`) holds; `why` there is nothing better, "" when it was wished."""
    says = _HOLDS if version >= 6 else _HOLDS.replace(" and no other program", "") + _OLDER[1]
    if version < 4:
        says += _OLDER[0].format(version=version)
    return Containment(kind="landlock", confines=False, says=f"{why} {says}".strip(), mend=mend)


class Landlock:
    """Satisfies `Sandbox` where the kernel has Landlock; `containment` is what `holds` says of it."""

    def __init__(
        self, containment: Containment, territory: Territory, web: Web | None = None, limits: Limits = _LIMITS
    ) -> None:
        self.containment = containment
        self._web = web or Web()
        self._at = territory
        self._meter = Meter(limits, territory.root)
        self._own = OwnFolder(territory)
        self._tree = Tree(territory.root)

    def confine(self, argv: Sequence[str], cwd: str, env: Mapping[str, str], grant: Grant) -> Confined:
        """The command behind the script that takes its rights away."""
        self._own.prepare()
        words = [*self._words(grant), f"net={grant.network}"]
        if "LC_CTYPE" not in env:
            words.append("unset=LC_CTYPE")  # Python sets it where there is no other locale
        inner = [*_PYTHON, *words, "--", *argv]
        door = self._web.door(self._own.path) if grant.network == "proxy" else None
        return Confined(
            argv=tuple(self._web.through(door, inner) if door else inner),
            env=environment.confined(env, self._own, self._at.home, grant),
            close=closing(door) if door else None,
            exceeded=self._meter.watch(),
            joins=self._meter.group.joins,
        )

    def close(self) -> None:
        """End the proxy and the control group."""
        self._web.close()
        self._meter.close()

    def _words(self, grant: Grant) -> Iterator[str]:
        at = self._at
        for path in (at.root, self._own.temp, self._own.caches, *grant.writes):
            yield f"write={path}"
        # git makes and replaces files all over `.git` and directly in the work tree: both are open for it, or neither.
        for path in self._protected() if not grant.git else ():
            yield f"keep={path}"
        for path in (*hidden.secrets(at.home, grant), at.letta_home):
            if path not in (at.root, *grant.writes, *grant.reads):
                yield f"hide={path}"
        for path in (f"{at.letta_home}/skills", self._own.caches, at.temp or self._own.temp, *grant.reads):
            yield f"show={path}"

    def _protected(self) -> Iterator[str]:
        root = self._at.root
        own = [*(f"{root}/{name}" for name in (".git", *PROTECTED)), *installed_in(root)]
        found = self._tree.look(LOOK)
        yield from dict.fromkeys([*own, *found.gits, *found.others, *_behind(root, (f"{root}/.git", *found.gits))])


def _behind(root: str, entries: Iterable[str]) -> Iterator[str]:
    """Folders of the work tree in which git keeps a repository whose `.git` is a file that leads there."""
    for entry in entries:
        known = repository(entry)
        if known is not None and is_one(known.folder, known.common):
            yield from (path for path in (known.folder, known.common) if path != root and is_within(path, root))
