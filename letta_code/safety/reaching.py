"""Reaching: what git gets for the network, by what it would run with it, and the sentence that says so."""

from __future__ import annotations

from letta_code.safety.containment import Grant
from letta_code.safety.git_commands import from_subcommand, git_effect, is_as_without_options
from letta_code.safety.named_paths import Where
from letta_code.safety.remotes import Remote, remote_of
from letta_code.safety.shell_values import Command
from letta_code.safety.terminal import visible

NETWORK = "It needs the network"
_NEITHER = "git gets neither your credentials nor the repository"


def reaching(command: Command, where: Where, *, apart: str) -> tuple[str, Grant]:
    """The sentence and the grant; `apart` says why git gets the network only, "" where no other program gets it too.

    What runs for a remote that is a folder gets nothing at all.
    """
    if apart:
        says = f"{NETWORK}, but {apart} {_NEITHER}"
        return says, Grant(network="proxy")
    remote = _remote(command, where)
    if remote.network == "off":
        says = "Its remote is no other machine: what runs for a folder gets neither your credentials nor the repository"
        return says, Grant()
    if remote.programs:
        named = ", ".join(map(visible, remote.programs))
        says = (
            f"{NETWORK}, but git gets none of your credentials: the repository's configuration names programs ({named})"
        )
        return says, Grant(network=remote.network, git=True)
    return NETWORK, Grant(network=remote.network, git=True, logins=True)


def beside_logins(says: str) -> str:
    """The sentence where another program of the line gets the credentials, so that git sees them too."""
    return says.replace(_NEITHER, "git does not get the repository")


def runs_others(command: Command, where: Where) -> bool:
    """Whether a git command by its own words runs what is not git: an option's program, or that of a folder."""
    effect = git_effect(from_subcommand(command.words)).effect
    if effect == "runs" or not is_as_without_options(command.words):
        return True
    return effect == "network" and _remote(command, where).network == "off"


def _remote(command: Command, where: Where) -> Remote:
    return remote_of(command.words, command.cwd or where.root, where.root, where.home)
