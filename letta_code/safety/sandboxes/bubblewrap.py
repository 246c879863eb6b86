"""Bubblewrap: commands see the disk read-only but for their work tree, no network and no other process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from letta_code.safety.containment import Confined, Containment, Grant
from letta_code.safety.places import is_within
from letta_code.safety.rules import Rules
from letta_code.safety.sandboxes import environment, hidden
from letta_code.safety.sandboxes.denied import Denied
from letta_code.safety.sandboxes.guards import Guards
from letta_code.safety.sandboxes.limits import Limits, Meter
from letta_code.safety.sandboxes.mounts import Mounts
from letta_code.safety.sandboxes.own_folder import OwnFolder
from letta_code.safety.sandboxes.web import Web, carriers, closing
from letta_code.safety.sandboxes.wide import held

if TYPE_CHECKING:
    from letta_code.safety.sandboxes.choose import Territory

_APART = (
    *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
)
_LIMITS = Limits()
HOLDS = Containment(
    kind="bubblewrap",
    confines=True,
    says="Commands are kept to the work tree and off the network (bubblewrap).",
)


class Bubblewrap:
    """Satisfies `Sandbox` with the program `bwrap`, which must have been found to work."""

    def __init__(
        self,
        program: str,
        territory: Territory,
        web: Web | None = None,
        limits: Limits = _LIMITS,
        rules: Callable[[], Rules] = Rules,
    ) -> None:
        self.containment = held(HOLDS, territory)
        self._web = web or Web()
        self._program = program
        self._at = territory
        self._meter = Meter(limits, territory.root)
        self._own = OwnFolder(territory)
        self._rules = rules
        self._denied = Denied(territory.root, territory.home)
        self._guards = Guards(territory.root, territory.home, self._own.path)

    def confine(self, argv: Sequence[str], cwd: str, env: Mapping[str, str], grant: Grant) -> Confined:
        """The command behind `bwrap`; the mounts follow from what exists now."""
        self._own.prepare()
        with ExitStack() as undo:
            door = self._web.door(self._own.path) if grant.network == "proxy" else None
            if door is not None:
                undo.callback(door.close)
            mounts = self._mounts(grant, env)
            raised = self._guards.raise_for(grant, mounts, cwd, argv)
            undo.callback(raised.lower)
            self._hide(mounts, grant, env)
            told = self._cover(mounts)

            def lower() -> Sequence[str]:
                return (*told, *raised.lower())

            inner = [*argv]
            if door is not None:  # hidden from all other commands with letta-code's home
                mounts.admitted(door.path)
                mounts.writable(door.path)
                inner = self._web.through(door, argv)
            undo.pop_all()
        words = [self._program, *_APART, *([] if grant.network == "open" else ["--unshare-net"])]
        words += [*mounts.argv(), "--chdir", cwd, "--", *self._meter.inside(inner)]

        return Confined(
            argv=tuple(words),
            env=environment.confined(env, self._own, self._at.home, grant),
            private_pids=True,
            close=closing(door, lower) if door is not None else lower,
            exceeded=self._meter.watch(),
            joins=self._meter.group.joins,
        )

    def close(self) -> None:
        """End the proxy; each command's own `close` removed its stubs."""
        self._web.close()
        self._meter.close()

    def _mounts(self, grant: Grant, env: Mapping[str, str]) -> Mounts:
        """The disk, what may be written, and what programs expect."""
        mounts, at = Mounts(self._own.nothing, self._at.root), self._at
        mounts.read_only("/")
        mounts.special("--dev", "/dev")
        mounts.special("--proc", "/proc")
        mounts.writable("/tmp", self._own.temp)
        for folder in (at.home, at.temp):
            if folder and (is_within(folder, "/tmp") or is_within(folder, at.root)):
                mounts.read_only(folder)
        programs = [os.path.realpath(path) for path in env.get("PATH", "").split(":") if path]
        if grant.network == "proxy":  # what carries its requests is a Python of ours
            programs += map(os.path.realpath, carriers())
        for path in programs:
            if is_within(path, "/tmp") and not is_within(path, at.root) and os.path.isdir(path):
                mounts.read_only(path)
        mounts.writable(self._own.temp)
        mounts.writable(at.root)
        for path in grant.writes:
            if os.path.exists(path):
                mounts.writable(os.path.realpath(path))
        return mounts

    def _hide(self, mounts: Mounts, grant: Grant, env: Mapping[str, str]) -> None:
        """Secrets, letta-code's own home, sockets; last, since it wins over what was said about the same path."""
        at = self._at
        kept = (at.root, *(path for path in grant.writes if not os.path.isdir(path)))  # a folder of secrets stays
        mounts.admitted(*kept, *grant.reads, at.temp or self._own.temp, self._own.caches, f"{at.letta_home}/skills")
        for path in (*hidden.secrets(at.home, grant), at.letta_home):
            if path in kept or not os.path.exists(path):
                continue
            mounts.hidden(path) if os.path.isdir(path) else mounts.read_only(path, self._own.empty)
        for path in grant.reads:
            if os.path.isfile(path) or os.path.isdir(path):
                mounts.read_only(path)
        mounts.writable(self._own.caches)
        if os.path.isdir(f"{at.letta_home}/skills"):
            mounts.read_only(f"{at.letta_home}/skills")
        mounts.hidden("/run")
        for path in hidden.shown_in_run():
            mounts.admitted(path)
            mounts.read_only(path)
        for path in hidden.sockets("/run", "/proc", "/dev", at.root, at.temp, at.letta_home):
            if is_within(path, at.home) or not is_within(path, "/tmp"):
                folder = hidden.doors(path)  # a door may be gone before `bwrap` mounts something on it
                mounts.hidden(folder) if folder else mounts.read_only(path, self._own.empty)
        agent = env.get("SSH_AUTH_SOCK", "") if hidden.logs_in_by_ssh(grant) else ""
        if agent and os.path.exists(agent):
            mounts.admitted(os.path.realpath(agent))
            mounts.writable(os.path.realpath(agent))

    def _cover(self, mounts: Mounts) -> tuple[str, ...]:
        """What deny rules keep from being read, after everything else; what is to be told about it."""
        paths, told = self._denied.found(self._rules())
        needed = (self._own.path, self._own.temp)
        for path in paths:
            if not any(is_within(one, path) for one in needed):
                mounts.covered(path, self._own.shut if os.path.isdir(path) else self._own.closed)
        return told
