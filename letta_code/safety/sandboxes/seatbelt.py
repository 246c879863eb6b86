"""Seatbelt: macOS's own sandbox (`sandbox-exec`) with a profile made for each command.

Written from its documentation and from how others use it, and unit-tested as text; NOT RUN on a Mac so far.  Therefore
`tried` looks at the effects of a first confined command on the very machine, and without them it is not used.
In a profile the last rule that fits wins, and paths are real ones, also of what does not exist yet.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from letta_code.host.probe import ask
from letta_code.host.programs import installed_in
from letta_code.safety.containment import Confined, Containment, Grant
from letta_code.safety.rules import Rules
from letta_code.safety.sandboxes import environment, hidden
from letta_code.safety.sandboxes.denied import Denied
from letta_code.safety.sandboxes.own_folder import OwnFolder
from letta_code.safety.sandboxes.repositories import PROTECTED, enclosing
from letta_code.safety.sandboxes.web import Web, closing

if TYPE_CHECKING:
    from letta_code.safety.sandboxes.choose import Territory

PROGRAM = "/usr/bin/sandbox-exec"
HOLDS = Containment(
    kind="seatbelt",
    confines=True,
    says="Commands are kept to the work tree and off the network (Seatbelt).",
)
# What programs need of the system to start and to find users, certificates and the log; nothing that starts programs.
_SERVICES = (
    *("com.apple.system.opendirectoryd.libinfo", "com.apple.system.opendirectoryd.membership"),
    *("com.apple.system.logger", "com.apple.logd", "com.apple.diagnosticd", "com.apple.system.notification_center"),
    *("com.apple.bsd.dirhelper", "com.apple.cfprefsd.agent", "com.apple.cfprefsd.daemon", "com.apple.trustd.agent"),
)
_OF_THE_NETWORK = (
    *("com.apple.SystemConfiguration.configd", "com.apple.SystemConfiguration.DNSConfiguration"),
    *("com.apple.dnssd.service", "com.apple.networkd", "com.apple.SecurityServer", "com.apple.ocspd"),
    "com.apple.trustd",
)  # fmt: skip
_DEVICES = ("null", "zero", "tty", "dtracehelper", "stdout", "stderr", "random", "urandom")
_CLOSED = ("config", "config.worktree", "hooks", "info", "modules", "worktrees")  # of a repository that is opened


class Seatbelt:
    """Satisfies `Sandbox` on macOS; `tried` must have found it to work."""

    def __init__(
        self,
        containment: Containment,
        territory: Territory,
        web: Web | None = None,
        *,
        rules: Callable[[], Rules] = Rules,
    ) -> None:
        self.containment = containment
        self._web = web or Web()
        self._at = territory
        self._own = OwnFolder(territory)
        self._rules = rules
        self._denied = Denied(territory.root, territory.home)

    def confine(self, argv: Sequence[str], cwd: str, env: Mapping[str, str], grant: Grant) -> Confined:
        """The command behind `sandbox-exec`."""
        self._own.prepare()
        door = self._web.door(self._own.path) if grant.network == "proxy" else None
        text = self.profile(grant, door.path if door else "")
        inner = self._web.through(door, argv) if door else argv
        return Confined(
            argv=(PROGRAM, "-p", text, "--", *inner),
            env=environment.confined(env, self._own, self._at.home, grant),
            close=closing(door) if door else None,
        )

    def close(self) -> None:
        """End the proxy."""
        self._web.close()

    def tried(self) -> str:
        """Why it does not hold on this machine, "" when it does: one confined command writes here and there."""
        self._own.prepare()
        inside, outside = f"{self._own.temp}/trial", f"{self._own.path}/trial"
        script = 'echo in > "$1"; echo out > "$2"; exit 0'
        argv = ["/bin/sh", "-c", script, "sh", inside, outside]
        said = ask([PROGRAM, "-p", self.profile(Grant(), ""), "--", *argv], env={"PATH": "/usr/bin:/bin"})
        wrote = [os.path.exists(path) for path in (inside, outside)]
        for path in (inside, outside):
            if os.path.exists(path):
                os.unlink(path)
        if said is not None and said.code == 0 and wrote == [True, False]:
            return ""
        if wrote[1]:
            return "Seatbelt let a command write where it may not."
        why = " ".join((said.text if said else "").split())[:200] or "it does not start"
        return f"Seatbelt cannot confine a command here ({why})."

    def profile(self, grant: Grant, door: str) -> str:
        """The rules for one command; `door` is the socket of its proxy, "" for none."""
        lines = [*_BASE, *self._writes(grant), *self._reads(grant), *_network(grant, door)]
        return "\n".join(lines)

    def _writes(self, grant: Grant) -> Iterator[str]:
        root = self._at.root
        for path in (root, self._own.temp, self._own.caches, *map(os.path.realpath, grant.writes)):
            yield f"(allow file-write* (subpath {_text(path)}))"
        # Upper and lower case are the same to most disks of a Mac, and so to the rules.
        names = [*PROTECTED, ".git"]
        yield f"(deny file-write* {_anywhere(root, '|'.join(map(_any_case, names)), '(/.*)?')})"
        around = enclosing(root)
        if grant.git:
            git = _any_case(".git")
            yield f"(allow file-write* {_anywhere(root, git, '/.*')})"
            closed = "|".join(map(_any_case, _CLOSED))
            yield f"(deny file-write* {_anywhere(root, git, f'/({closed})(/.*)?')})"
        for path in (*([around] if around else []), *installed_in(root)):
            yield f"(deny file-write* (subpath {_text(path)}))"
        # A folder above a repository must not be renamed, or another could take its place.
        yield f"(deny file-write-unlink (literal {_text(root)}))"

    def _reads(self, grant: Grant) -> Iterator[str]:
        at = self._at
        for path in (*hidden.secrets(at.home, grant), at.letta_home):
            if path not in (at.root, *grant.writes):
                yield f"(deny file-read* file-write* (subpath {_text(path)}))"
        shown = (f"{at.letta_home}/skills", self._own.caches, at.temp or self._own.temp)
        for path in (*shown, *map(os.path.realpath, grant.reads)):
            yield f"(allow file-read* (subpath {_text(path)}))"
        for path in (self._own.caches, self._own.temp):
            yield f"(allow file-write* (subpath {_text(path)}))"
        for path in self._denied.found(self._rules())[0]:
            yield f"(deny file-read* file-write* (subpath {_text(path)}))"


_BASE = (
    "(version 1)",
    "(deny default)",
    "(allow process-exec process-fork process-info*)",
    "(allow signal (target same-sandbox))",
    "(allow sysctl-read)",
    "(allow ipc-posix-sem ipc-posix-shm)",
    "(allow file-read*)",
    "(allow user-preference-read)",
    "(allow pseudo-tty)",
    "(allow file-ioctl (regex #\"^/dev/(ptmx|ttys[0-9]+|dtracehelper)$\"))",
    "(allow file-read* file-write* (literal \"/dev/ptmx\") (regex #\"^/dev/ttys[0-9]+$\"))",
    "(allow file-write* " + " ".join(f'(literal "/dev/{name}")' for name in _DEVICES) + ")",
    "(allow mach-lookup " + " ".join(f'(global-name "{name}")' for name in _SERVICES) + ")",
)  # fmt: skip


def _network(grant: Grant, door: str) -> Iterator[str]:
    if grant.network == "off":
        return
    if grant.network == "open":
        yield "(allow network* system-socket)"
        yield "(allow mach-lookup " + " ".join(f'(global-name "{name}")' for name in _OF_THE_NETWORK) + ")"
        return
    yield '(allow network-bind network-inbound (local ip "localhost:*"))'
    yield '(allow network-outbound (remote ip "localhost:*"))'
    yield f"(allow network-outbound (literal {_text(door)}))"


def _text(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _anywhere(root: str, names: str, rest: str) -> str:
    """A filter for these names in the folder and in every folder below."""
    quoted = re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", root).replace('"', ".")  # no quote can stand in it
    return f'(regex #"^{quoted}/(.*/)?({names}){rest}$")'


def _any_case(name: str) -> str:
    return "".join(f"[{one.lower()}{one.upper()}]" if one.isalpha() else "\\" + one for one in name)
