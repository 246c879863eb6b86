"""Planted: new repositories in a work tree, and what in them would run when somebody uses git there."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress

from letta_code.safety.terminal import visible

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


def planted(entry: str, shown: str) -> Iterator[str]:
    """What is told about a `.git` that a command made: its active hooks are switched off, its programs named.

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
        hooks = list(_switched_off(folder))
        programs = list(_programs(folder))
    finally:
        os.close(folder)
    if hooks:
        names = ", ".join(visible(name) for name in hooks)
        yield (
            f"the new repository {visible(shown)} has hooks ({names}); they were switched off "
            "(chmod +x brings one back)"
        )
    if programs:
        names = ", ".join(visible(name) for name in programs)
        yield f"the configuration of the new repository {visible(shown)} names programs that git would run: {names}"


def _switched_off(folder: int) -> Iterator[str]:
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
                    mode = os.fstat(hook).st_mode
                    if stat.S_ISREG(mode) and mode & 0o111:
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
        lines = file.read(_LONGEST).splitlines()
    section = ""
    for line in lines:
        started = _SECTION.match(line)
        section = started[1].lower().split(".")[0] if started else section
        variable = _VARIABLE.match(line)
        if variable is None:
            continue
        name, value = variable[1].lower(), (variable[2] or "").strip().lower()
        if value not in _HARMLESS and (name in _RUNS.get(section, ()) or section in _WHOLE):
            yield f"{section}.{name}"
