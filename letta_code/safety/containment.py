"""Containment: what a sandbox keeps a command from, and what a decision grants beyond that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from letta_code.core.messages import Value

Kind: TypeAlias = Literal["bubblewrap", "landlock", "seatbelt", "none"]
# off: none; proxy: by HTTP(S) through a proxy that checks the host; open: as the person has it (ssh, other protocols).
Network: TypeAlias = Literal["off", "proxy", "open"]


class Containment(Value):
    """What holds here.

    `confines` says that a command which may run is kept to the work tree and off the network, so that it need not be
    asked about; without it every command is asked about, whatever is done to contain it.  `says` is what a person is
    told (what it cannot do, why there is none), `mend` the one command that gives the full one, "" when nothing does.
    """

    kind: Kind = "none"
    confines: bool = False
    says: str = ""
    mend: str = ""


def touches(held: Containment) -> str:
    """What a command may touch where less than all is held, for the question whether it may run."""
    if held.kind == "none":
        return "It runs a command without a sandbox: it can read, change and send all that you can."
    if held.kind == "landlock":
        return (
            "It runs a command in a weak sandbox (Landlock): it can read all but known secrets, write all over the "
            "work tree, and change modes and times of your files elsewhere."
        )
    return (
        "It runs a command in a work tree that is more than a project: what it writes there may run later with all of "
        "your rights."
    )


NO_CONTAINMENT = Containment(says="Commands run with all of your rights: there is no sandbox.")


class Grant(Value):
    """What one command is given beyond the sandbox; the default is nothing.

    `outside` runs it without any sandbox (mode full, a person's yes to leave it).  `git` opens the repository's `.git`
    but for config, hooks, info and modules; `hooks` lets the repository's own hooks run (inside the sandbox),
    `hooks_off` names those that do not although git would run them, and why, for whoever wrote the command.
    `writes` are further real paths that may be written, `reads` files and folders with secrets that are seen after all,
    `logins` shows what git and ssh log in with (keys, tokens, the agent of keys).
    """

    outside: bool = False
    network: Network = "off"
    git: bool = False
    hooks: bool = False
    hooks_off: str = ""
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    logins: bool = False


class Confined(Value):
    """A command as it is to be started: `argv` begins with a path; `close` undoes what was made for it (stubs).

    `close` is called when the command has ended, on any thread; it returns what is to be told about its traces.
    `exceeded`, asked now and then with the id of the first process, says which limit the command has passed, or "".
    `joins` are files of control groups into which the id of the process that will start the command is written first.
    `private_pids` says that the command has a PID namespace of its own, which ends with it.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    private_pids: bool = False
    close: Callable[[], Sequence[str]] | None = None
    exceeded: Callable[[int], str] | None = None
    joins: tuple[str, ...] = ()


class Sandbox(Protocol):
    """Confines commands of one work tree; one file each in `safety/sandboxes/`."""

    @property
    def containment(self) -> Containment:
        """What holds."""
        ...

    def confine(self, argv: Sequence[str], cwd: str, env: Mapping[str, str], grant: Grant) -> Confined:
        """The command as it is to be started; called just before, since what exists now decides the mounts.

        Blocks for a few ms.  Raises `WorkspaceError` when it cannot be confined: it is not run then.
        """
        ...

    def close(self) -> None:
        """Give back what was made (proxies, control groups); nothing runs any more."""
        ...
