"""LateSandbox: the sandbox of a session, chosen when first asked for, so that the start does not wait for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from letta_code.safety.containment import NO_CONTAINMENT, Confined, Containment, Grant, Sandbox

if TYPE_CHECKING:
    from letta_code.safety.rules import Rules
    from letta_code.safety.sandboxes.choose import Wish


class LateSandbox:
    """Satisfies `Sandbox`; a call that was granted to run outside is left as it is."""

    def __init__(self, wish: Wish, letta_home: str, root: str) -> None:
        self.temp = ""  # the session's folder for whole outputs
        self.rules: Callable[[], Rules] | None = None  # of now: hosts that may be reached, files not to be read
        self._wish: Wish = wish
        self._letta_home = letta_home
        self._root = root
        self._chosen: Sandbox | None = None
        self._choosing = threading.Lock()  # it may be warmed while it is asked for

    @property
    def containment(self) -> Containment:
        """What holds."""
        return NO_CONTAINMENT if self._wish == "off" else self._sandbox.containment

    @property
    def known(self) -> Containment | None:
        """What holds, None while that is being found out; never waits."""
        if self._wish == "off":
            return NO_CONTAINMENT
        return self._chosen.containment if self._chosen is not None else None

    def confine(self, argv: Sequence[str], cwd: str, env: Mapping[str, str], grant: Grant) -> Confined:
        """The command as it is to be started."""
        if grant.outside or self._wish == "off":
            return Confined(argv=tuple(argv), env=env)
        return self._sandbox.confine(argv, cwd, env, grant)

    def close(self) -> None:
        """Give back what was made."""
        if self._chosen is not None:
            self._chosen.close()

    def warm(self) -> None:
        """Begin to find out what holds, behind the scenes."""
        if self._chosen is None and self._wish != "off":
            threading.Thread(target=lambda: self.containment, name="sandbox", daemon=True).start()

    @property
    def _sandbox(self) -> Sandbox:
        with self._choosing:
            return self._found()

    def _found(self) -> Sandbox:
        if self._chosen is None:
            from letta_code.safety.sandboxes.choose import Territory, choose

            real = os.path.realpath
            territory = Territory(
                root=real(self._root),
                temp=self.temp,
                home=real(os.path.expanduser("~")),
                letta_home=real(self._letta_home),
            )
            self._chosen = choose(self._wish, territory, self.rules)
        return self._chosen
