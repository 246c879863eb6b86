"""Together: what commands that ran at the same time changed of what each of them was kept from."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from letta_code.safety.sandboxes.beneath import Identity
from letta_code.safety.sandboxes.kept import Held, held
from letta_code.safety.sandboxes.named_programs import NamedPrograms
from letta_code.safety.sandboxes.planted import planted
from letta_code.safety.terminal import visible

_TICK = 20_000_000  # ns; a file system's clock may be that much behind


class Together:
    """One command may move a folder while another one is started, whose mounts then protect an empty place."""

    def __init__(self, root: str, programs: NamedPrograms) -> None:
        self.is_so = False  # whether several have run since one was alone
        self._root = root
        self._programs = programs
        self._before: dict[str, Held] = {}
        self._moved: dict[Identity, Held] = {}  # the same by what they are, wherever they are now
        self._came: set[Identity] = set()  # those that came while several ran
        self._since = 0  # ns

    def begun(self, paths: Sequence[str], *, alone: bool) -> None:
        """A command begins; `paths` are the protected entries.  Alone: what they hold now is as it should be."""
        if not alone:
            self.is_so = True
            return
        self.is_so = False
        self._came.clear()
        self._since = time.time_ns() - _TICK
        self._before = held(self._below(paths))
        self._moved = {one.identity: one for one in self._before.values()}

    def ended(self, paths: Sequence[str], *, last: bool) -> list[str]:
        """A command has ended, the last one that ran or not; what is to be told, hooks are switched off."""
        if not self.is_so:
            return []
        self.is_so = not last
        told: list[str] = []
        for path, now in held(self._below(paths)).items():
            old = self._moved.get(now.identity) or self._before.get(path)
            self._before[path] = self._moved[now.identity] = now
            if old is None:
                self._came.add(now.identity)
            elif old.state != now.state and (old.identity == now.identity or not path.endswith("/.git")):
                told += self._told(path, came=now.identity in self._came)
        return told

    def _told(self, path: str, *, came: bool) -> Iterator[str]:
        """One that came meanwhile is the commands' own to change; what would run in it is told again."""
        shown = os.path.relpath(path, self._root)
        if not came:
            yield (
                f"{visible(shown)} is protected and was changed while several commands ran; look at it before you use "
                "what it is for"
            )
        if path.endswith("/.git"):
            yield from planted(path, shown, self._since, self._programs, what="changed")

    def _below(self, paths: Sequence[str]) -> list[str]:
        """The root's own entries are always covered: nothing above them can be moved."""
        return [path for path in paths if os.path.dirname(path) != self._root]
