"""Planted: new repositories in a work tree, and what in them would run when somebody uses git there."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress

from letta_code.safety.sandboxes.repositories import Repository, read
from letta_code.safety.terminal import visible

_CONFIGURATIONS = ("config", "config.worktree")
_LONGEST = 200_000  # bytes of a configuration that is looked through
_SECTION = re.compile(r"^\s*\[\s*([\w.-]+)")
_VARIABLE = re.compile(r"^\s*(?:\[[^\]]*\]\s*)?([\w-]+)\s*(?:=\s*(.*))?$")
# Variables that name a program, by section; "" stands for every section.
_RUNS = {
    "core": {"fsmonitor", "hookspath", "sshcommand", "pager", "editor", "askpass", "gitproxy", "alternaterefscommand"},
    "filter": {"clean", "smudge", "process"},
    "diff": {"external", "command", "textconv"},
    "merge": {"driver"},
    "mergetool": {"cmd"},
    "difftool": {"cmd"},
    "credential": {"helper"},
    "gpg": {"program"},
    "sequence": {"editor"},
    "include": {"path"},
    "includeif": {"path"},
    "remote": {"uploadpack", "receivepack", "vcs"},
    "uploadpack": {"packobjectshook"},
}
_WHOLE = {"alias", "pager"}  # sections whose every variable may be a command
_HARMLESS = {"", "true", "false", "yes", "no", "on", "off", "1", "0"}
_LARGE_FILES = re.compile(r"git-lfs (clean|smudge|filter-process)( --skip)?( -- %f)?")  # as `git lfs install` writes it


def planted(entry: str, shown: str, since: int) -> Iterator[str]:
    """What is told about a `.git` that a command made: its active hooks are switched off, its programs named.

    A hook that has not changed `since` (ns) is the person's and stays.
    A hook is switched off by taking its right to be executed, which git respects; all on opened descriptors, since
    whoever made it may still run and put links in the way.
    """
    try:
        folder = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        if os.path.lexists(entry):
            yield f"a new {visible(shown)} points to a repository elsewhere"
        return
    try:
        hooks = list(_switched_off(folder, since))
        named = list(_programs(folder))
    finally:
        os.close(folder)
    if hooks:
        names = ", ".join(visible(name) for name in hooks)
        yield (
            f"the new repository {visible(shown)} has hooks ({names}); they were switched off "
            "(chmod +x brings one back)"
        )
    if named:
        names = ", ".join(visible(name) for name in named)
        yield f"the configuration of the new repository {visible(shown)} names programs that git would run: {names}"


def programs(known: Repository) -> list[str]:
    """Keys of a repository's configuration that name a program, as `section.variable`."""
    texts = (read(f"{folder}/{name}") for folder in {known.common, known.folder} for name in _CONFIGURATIONS)
    return list(dict.fromkeys(key for text in texts for key, _ in _named(text)))


def hooks_path(known: Repository, *more: str) -> str:
    """The folder that `core.hooksPath` names, absolute, "" when it is not set; `more` are files of configuration."""
    places = (*more, *(f"{folder}/{name}" for folder in (known.common, known.folder) for name in _CONFIGURATIONS))
    found = [value for place in places for key, value in _named(read(place)) if key == "core.hookspath"]
    if not found:
        return ""
    named = os.path.expanduser(found[-1].strip('"'))  # relative to the work tree
    return os.path.normpath(os.path.join(os.path.dirname(known.entry), named))


def _switched_off(folder: int, since: int) -> Iterator[str]:
    try:
        hooks = os.open("hooks", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return
    try:
        for name in sorted(os.listdir(hooks))[:1000]:
            if name.endswith(".sample"):
                continue
            with suppress(OSError):
                hook = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=hooks)
                try:
                    found = os.fstat(hook)
                    mode = found.st_mode
                    if stat.S_ISREG(mode) and mode & 0o111 and found.st_ctime_ns >= since:
                        os.fchmod(hook, stat.S_IMODE(mode) & ~0o111)
                        yield name
                finally:
                    os.close(hook)
    finally:
        os.close(hooks)


def _programs(folder: int) -> Iterator[str]:
    """Keys of the configuration that name a program, as `section.variable`."""
    try:
        config = os.open("config", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return
    with open(config, encoding="utf-8", errors="replace") as file:
        if not stat.S_ISREG(os.fstat(config).st_mode):
            return
        yield from (key for key, _ in _named(file.read(_LONGEST)))


def _named(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in text.splitlines():
        started = _SECTION.match(line)
        section = started[1].lower().split(".")[0] if started else section
        variable = _VARIABLE.match(line)
        if variable is None:
            continue
        name, value = variable[1].lower(), (variable[2] or "").strip()
        if value.lower() in _HARMLESS or (section == "filter" and _LARGE_FILES.fullmatch(value)):
            continue
        if name in _RUNS.get(section, ()) or section in _WHOLE:
            yield f"{section}.{name}", value
