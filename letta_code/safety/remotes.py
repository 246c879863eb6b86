"""Remotes: the machine that a git command means: whether it is one, and whether a proxy can check its host."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from letta_code.core.messages import Value
from letta_code.safety.containment import Network
from letta_code.safety.git_commands import folder_meant, from_subcommand
from letta_code.safety.sandboxes.named_programs import NamedPrograms
from letta_code.safety.sandboxes.repositories import nearest, repository

_ASK = {"push", "pull", "fetch", "ls-remote", "clone"}
_MOST_BYTES = 200_000
_INCLUDES = ("include.", "includeif.")
_Settings = list[tuple[str, str]]
_ADDRESS = re.compile(r"(?:https?|ssh|git|git\+ssh|ssh\+git|ftps?)://|(?!-)(?:[\w.-]+@)?[\w.-]+:(?!:)")
# The word behind one of these is its value.
_VALUED = {
    "--depth", "--deepen", "-o", "--push-option", "--server-option", "-j", "--jobs", "--shallow-since", "--refmap",
    "--shallow-exclude", "--negotiation-tip", "--filter", "-b", "--branch", "--origin", "-X", "--strategy-option",
    "-s", "--strategy", "--reference",
}  # fmt: skip
_LOCAL = ("", ".git", ".bundle")  # git tries these names of a folder or a file before it takes a word for an address
# Hooks run only with a yes of their own, and an alias never in the place of a command.
_NOT_HERE = ("core.hookspath", "alias.")


class Remote(Value):
    """What a git command would reach: `network` is `off` where that is a folder or a program of this machine, or none.

    `programs` are the settings of the repository that name a program, which would run with what git logs in with.
    """

    network: Network
    programs: tuple[str, ...] = ()


def remote_of(words: Sequence[str], cwd: str, root: str, home: str) -> Remote:
    """As the repository and the person configured it; `proxy` where every remote that is meant has an HTTP address.

    `words` begin with git, without options that change its configuration.  Git reads the files where they were not
    read before (5 ms); nothing that they name is run.
    """
    sub, *rest = from_subcommand(words)[1:]
    folder = folder_meant(words, cwd)
    if sub not in _ASK or not folder:
        return Remote(network="open")
    known = repository(entry) if sub != "clone" and (entry := nearest(folder, root)) else None
    own = _settings(f"{known.common}/config", root) if known is not None else []
    programs = NamedPrograms(root).of(known) if known is not None else []
    urls = _urls(own or [], rest, asks_own=known is not None)
    if known is None and sub != "clone" and not any("/" in u or os.path.lexists(os.path.join(folder, u)) for u in urls):
        return Remote(network="open")  # no repository says what the name stands for
    if sub == "clone" and any(os.path.lexists(os.path.join(folder, url + end)) for url in urls for end in _LOCAL):
        urls = [""]
    persons = [_settings(path, root) for path in (f"{home}/.gitconfig", f"{home}/.config/git/config")]
    every = [*(own or []), *(pair for one in persons for pair in one or ())]
    unknown = own is None or None in persons or any(key.startswith(_INCLUDES) for key, _ in every)
    return Remote(
        network=_network([_rewritten(url, every) for url in urls], unknown=unknown),
        programs=tuple(name for name in programs if not name.startswith(_NOT_HERE)),
    )


def _network(urls: Sequence[str], *, unknown: bool) -> Network:
    if not all(_ADDRESS.match(url) for url in urls):
        return "off"
    return "proxy" if urls and not unknown and all(map(_is_web, urls)) else "open"


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


def _urls(own: _Settings, words: Sequence[str], *, asks_own: bool) -> list[str]:
    """Addresses of the remotes that the words name, of all where they name none; `words` are those of a subcommand.

    A word that names no remote is an address itself.  Without any remote git takes the folder `origin` for one.
    """
    remotes: dict[str, list[str]] = {}
    chosen: list[str] = []
    for key, value in own:
        section, _, rest = key.partition(".")
        name, _, setting = rest.rpartition(".")
        if section == "remote" and setting in {"url", "pushurl", "vcs"}:
            remotes.setdefault(name, []).append(value if setting != "vcs" else "")
        elif (section == "branch" and setting in {"remote", "pushremote"}) or key == "remote.pushdefault":
            chosen.append(value)
    plain = [w for at, w in enumerate(words) if not w.startswith("-") and (not at or words[at - 1] not in _VALUED)]
    if any(word.startswith("--rep") for word in words):  # `--repo=`
        return [""]
    if plain and plain[0] not in remotes:
        return plain[:1]
    named = [name for name in remotes if name in plain] or list(remotes)
    others = [value for value in chosen if value not in remotes and value != "."] if not plain else []
    return [url for name in named for url in remotes[name]] + others or ["origin"] * asks_own


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
