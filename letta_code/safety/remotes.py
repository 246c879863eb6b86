"""Remotes: whether the machine that a git command means is reached by HTTP, so that a proxy can check its host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from letta_code.safety.containment import Network
from letta_code.safety.sandboxes.repositories import nearest, repository

_ASK = {"push", "pull", "fetch", "ls-remote"}
_MOST_BYTES = 200_000
_INCLUDES = ("include.", "includeif.")
_Settings = list[tuple[str, str]]


def network_of_remote(words: Sequence[str], cwd: str, root: str, home: str) -> Network:
    """`proxy` where every remote that is meant has an HTTP address, as the repository and the person configured it.

    `words` begin with git, without options that change its configuration.  What cannot be told is `open`: ssh, a path,
    an included file.  Git reads the files where they were not read before (5 ms); nothing that they name is run.
    """
    at = 1
    while at + 1 < len(words) and words[at] == "-C":
        cwd, at = os.path.join(cwd, words[at + 1]), at + 2
    sub = next((word for word in words[at:] if not word.startswith("-")), "")
    known = repository(entry) if sub in _ASK and (entry := nearest(cwd, root)) else None
    if known is None:
        return "open"
    own = _settings(f"{known.common}/config", root)
    persons = [_settings(path, root) for path in (f"{home}/.gitconfig", f"{home}/.config/git/config")]
    if own is None or None in persons:
        return "open"
    every = [*own, *(pair for one in persons for pair in one or ())]
    if any(key.startswith(_INCLUDES) for key, _ in every):
        return "open"
    urls = _urls(own, words[at:])
    return "proxy" if urls and all(_is_web(_rewritten(url, every)) for url in urls) else "open"


def _settings(path: str, root: str) -> _Settings | None:
    """Every setting of a file, none of one that is not there; None where git cannot read it."""
    from letta_code.host.files import read_bounded
    from letta_code.host.git_config import settings
    from letta_code.host.programs import program_outside

    if not os.path.lexists(path):
        return []
    git = program_outside("git", os.environ.get("PATH") or os.defpath, root)
    try:
        found = settings(read_bounded(Path(os.path.realpath(path)), _MOST_BYTES), git) if git else None
    except (OSError, ValueError):
        return None
    return list(found) if found is not None else None


def _urls(own: _Settings, words: Sequence[str]) -> list[str]:
    """Addresses of the remotes that the words name, of all where they name none; [""] where one is not a remote."""
    remotes: dict[str, list[str]] = {}
    chosen: list[str] = []
    for key, value in own:
        section, _, rest = key.partition(".")
        name, _, setting = rest.rpartition(".")
        if section == "remote" and setting in {"url", "pushurl", "vcs"}:
            remotes.setdefault(name, []).append(value if setting != "vcs" else "")
        elif (section == "branch" and setting in {"remote", "pushremote"}) or key == "remote.pushdefault":
            chosen.append(value)
    plain = [word for word in words if not word.startswith("-")][1:2]  # behind the subcommand; else of a branch
    if any(value not in remotes and value != "." for value in (*chosen, *plain)):
        return [""]
    named = [name for name in remotes if name in words] or list(remotes)
    return [url for name in named for url in remotes[name]]


def _rewritten(url: str, every: _Settings) -> str:
    """As `url.BASE.insteadOf` has it; where another base is for pushing, the one that is no HTTP address."""
    found = [
        (value, key[len("url.") : key.rindex(".")])
        for key, value in every
        if key.startswith("url.") and key.endswith((".insteadof", ".pushinsteadof")) and url.startswith(value)
    ]
    if not found:
        return url
    longest = max(len(value) for value, _ in found)
    bases = [base for value, base in found if len(value) == longest]
    return next((base for base in bases if not _is_web(base)), bases[0]) + url[longest:]


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))
