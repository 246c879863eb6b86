"""Web: how a command in a sandbox without a network gets to the web: through our proxy, which judges every host."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from letta_code.core.errors import WorkspaceError
from letta_code.host import forwarder
from letta_code.host.proxy import Admits, Door, Outside, Proxy
from letta_code.safety.terminal import visible

_NAMED = 8  # hosts in one note


def every_host(host: str, port: int) -> bool:
    """What is admitted without rules: a person said yes to the web for this command."""
    return True


class Web:
    """The proxy of a session, started with the first command that needs it; `outside` is for tests."""

    def __init__(self, admits: Admits = every_host, outside: Outside | None = None) -> None:
        self._admits = admits
        self._outside = outside
        self._proxy: Proxy | None = None

    def door(self, folder: str) -> Door:
        """A way to the proxy for one command, its socket in `folder`, which other commands must not see."""
        try:
            if self._proxy is None:
                self._proxy = Proxy(self._admits, outside=self._outside)
            return self._proxy.door(folder)
        except OSError as error:
            raise WorkspaceError(
                f"The proxy that commands reach the web through could not be started: {error}. The command was not run."
            ) from error

    def close(self) -> None:
        """End the proxy."""
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None


def carriers() -> tuple[str, ...]:
    """The folders that `through` needs to see: the interpreter, its library, and the script."""
    return sys.prefix, sys.base_prefix, os.path.dirname(forwarder.__file__)


def through(door: Door, argv: Sequence[str]) -> list[str]:
    """The command with a proxy on its own loopback that leads to the door."""
    return [sys.executable, "-I", "-S", forwarder.__file__, door.path, "--", *argv]


def closing(door: Door, then: Callable[[], Sequence[str]] | None = None) -> Callable[[], Sequence[str]]:
    """What a `Confined` does at the end: shut the door, and tell what was asked for through it."""

    def close() -> Sequence[str]:
        door.close()
        return (*contacted(door), *(then() if then else ()))

    return close


def contacted(door: Door) -> tuple[str, ...]:
    """Which hosts a command reached and which were refused, as sentences; none where it asked for none."""
    told: list[str] = []
    for allowed, words in ((True, "It reached"), (False, "Refused to it")):
        hosts = [*dict.fromkeys(visible(one.host) for one in door.contacts if one.allowed is allowed)]
        if hosts:
            more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
            told.append(f"{words}: {', '.join(hosts[:_NAMED])}{more}.")
    return tuple(told)
