"""Variables: what a command finds in its environment, and in which order its programs are looked for."""

from __future__ import annotations

import os
from collections.abc import Mapping

from letta_code.host.programs import outside

# Dropped: files that a shell would run before the command, what makes output colourful, the mark of an outer
# letta-code, and what git tells its hooks (started from one, every git command would act on that repository's index).
_DROPPED = {
    *("BASH_ENV", "ENV", "PROMPT_COMMAND", "SHELLOPTS", "BASHOPTS", "_LETTA_COMMAND"),
    *("COLORTERM", "FORCE_COLOR", "CLICOLOR_FORCE"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"),
}
# Set: nobody can answer a prompt or leave a pager (stdin is /dev/null, there is no terminal), colours and progress bars
# are noise for a model, and a background server's log must come line by line.  CI is not set: it changes what tools do.
_SET = {
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "MANPAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",  # `git rebase --continue` and `commit --amend` take the message that is there
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_NO_INPUT": "1",
    "PYTHONUNBUFFERED": "1",
}


# Programs that use the network for others, and that no project brings itself.
_CARRY = ("curl", "wget", "git", "ssh", "scp", "sftp", "rsync", "gh", "nc", "openssl", "bash", "sh", "env")


def environment(inherited: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """What a command finds in its environment: the person's, made non-interactive."""
    env = {name: value for name, value in inherited.items() if name not in _DROPPED}
    env.update(_SET)
    env.update(more)
    return env


def written_last(path: str, *folders: str) -> str:
    """A search path with what lies in `folders`, leads there or is not absolute behind the rest, else in its order."""
    first, written = _parted(path, folders)
    return os.pathsep.join([*first, *written])


def stands_in(path: str, *folders: str) -> bool:
    """Whether a program in `folders` on a search path has the name of a usual one that carries things away."""
    _, written = _parted(path, folders)
    return any(os.path.lexists(os.path.join(folder or ".", name)) for folder in written for name in _CARRY)


def _parted(path: str, folders: tuple[str, ...]) -> tuple[list[str], list[str]]:
    kept = path
    for folder in folders:
        kept = outside(kept, folder)
    first = kept.split(os.pathsep) if kept else []
    return first, [one for one in path.split(os.pathsep) if one not in first]
