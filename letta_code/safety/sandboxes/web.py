"""Web: how a command in a sandbox without a network gets to the web: through our proxy, which judges every host."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

from letta_code.core.errors import WorkspaceError
from letta_code.host import forwarder
from letta_code.host.proxy import Admits, Door, Outside, Proxy, Reach
from letta_code.safety.terminal import visible

_NAMED = 8  # hosts in one note


def every_host(host: str, port: int) -> Reach:
    """What is admitted without rules: a person said yes to the web for this command."""
    return "world"


class Web:
    """The proxy of a session, started with the first command that needs it; `outside` is for tests.

    `environ` may name the person's own proxy.
    """

    def __init__(
        self, admits: Admits = every_host, outside: Outside | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self._admits = admits
        self._outside = outside
        self._environ = environ
        self._proxy: Proxy | None = None

    def door(self, folder: str) -> Door:
        """A way to the proxy for one command, its socket in `folder`, which other commands must not see."""
        try:
            if self._proxy is None:
                self._proxy = Proxy(self._admits, outside=self._outside, environ=self._environ)
            return self._proxy.door(folder)
        except OSError as error:
            raise WorkspaceError(
                f"The proxy that commands reach the web through could not be started: {error}. The command was not run."
            ) from error

    def through(self, door: Door, argv: Sequence[str]) -> list[str]:
        """The command with a proxy on its own loopback that leads to the door.

        Programs look for this machine's names on that loopback, but for those that a person named as hosts.
        """
        own = [name for name in forwarder.HERE if self._admits(name, 0) != "named"]
        # The interpreter itself: an environment may lie behind a link that is not there inside.
        return [os.path.realpath(sys.executable), "-I", "-S", forwarder.__file__, door.path, *own, "--", *argv]

    def close(self) -> None:
        """End the proxy."""
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None


def carriers() -> tuple[str, ...]:
    """The folders that `Web.through` needs to see: the interpreter, its library, and the script."""
    return sys.prefix, sys.base_prefix, os.path.dirname(forwarder.__file__)


def closing(door: Door, then: Callable[[], Sequence[str]] | None = None) -> Callable[[], Sequence[str]]:
    """What a `Confined` does at the end: shut the door, and tell what was asked for through it."""

    def close() -> Sequence[str]:
        door.close()
        return (*contacted(door), *(then() if then else ()))

    return close


def contacted(door: Door) -> tuple[str, ...]:
    """Which hosts a command reached and which it did not, and why, as sentences; none where it asked for none."""
    by_why: dict[str, dict[str, None]] = {"": {}}
    for one in door.contacts:
        by_why.setdefault(visible(one.refused), {})[visible(one.host)] = None
    told: list[str] = []
    for why, hosts in by_why.items():
        if hosts:
            more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
            names = ", ".join([*hosts][:_NAMED]) + more
            told.append(f"It tried to reach {names}: refused, because {why}." if why else f"It reached: {names}.")
    return tuple(told)
