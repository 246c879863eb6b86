"""Planted: new repositories in a work tree, and what in them would run when somebody uses git there."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress

from letta_code.safety.sandboxes import beneath
from letta_code.safety.sandboxes.named_programs import CONFIGURATIONS, NamedPrograms
from letta_code.safety.sandboxes.repositories import Repository, is_one, read
from letta_code.safety.terminal import visible

_MOST_HOOKS = 1000  # git knows some thirty
_SECTION = re.compile(r"^\s*\[\s*([\w.-]+)")
_VARIABLE = re.compile(r"^\s*(?:\[[^\]]*\]\s*)?hookspath\s*=\s*(.*)$", re.IGNORECASE)


def planted(entry: str, shown: str, since: int, programs: NamedPrograms, *, what: str = "new") -> Iterator[str]:
    """What is told about a `.git` that a command made, or changed (`what`).

    Its active hooks are switched off, its programs named.  A hook that has not changed `since` (ns) is the person's and
    stays.  A hook is switched off by taking its right to be executed, which git respects; all on opened descriptors,
    since whoever made it may still run and put links in the way.
    """
    folder = -1
    try:
        with beneath.parent(entry) as (around, name):
            if not beneath.exists(around, name):
                return
            with suppress(OSError):
                folder = os.open(name, beneath.PASS, dir_fd=around)
    except OSError:  # a folder on the way is a link by now, and what it leads to none of the tree's
        return
    if folder < 0:
        yield f"a {what} {visible(shown)} points to a repository elsewhere"
        return
    try:
        aside = _without_detour(entry, folder)
        hooks = list(_switched_off(folder, since))
        named = [key for name in CONFIGURATIONS for key in programs.in_file(name, folder=folder)]
    finally:
        os.close(folder)
    if aside:
        yield (
            f"{visible(shown)}/commondir would have led git to the configuration and hooks of another folder; it is "
            f"now {visible(aside)}"
        )
    if hooks:
        names = ", ".join(visible(name) for name in hooks)
        yield (
            f"the {what} repository {visible(shown)} has hooks ({names}); they were switched off "
            "(chmod +x brings one back)"
        )
    if named:
        names = ", ".join(visible(name) for name in named)
        yield f"the configuration of the {what} repository {visible(shown)} names programs that git would run: {names}"


def _without_detour(entry: str, folder: int) -> str:
    """Set `commondir` aside but where git makes one, for a linked work tree; its new name, "" where there was none."""
    if not beneath.exists(folder, "commondir"):
        return ""
    above = os.path.dirname(entry)
    common = os.path.dirname(above)
    real = os.path.basename(above) == "worktrees" and os.path.lexists(f"{common}/HEAD") and is_one(entry, common)
    if real and read(f"{entry}/commondir").strip() == "../..":
        return ""
    with suppress(OSError):
        return beneath.set_aside(folder, "commondir")
    return "still there"


def hooks_path(known: Repository, *more: str) -> str:
    """The folder that `core.hooksPath` names, absolute, "" when it is not set; `more` are files of configuration."""
    places = (*more, *(f"{folder}/{name}" for folder in (known.common, known.folder) for name in CONFIGURATIONS))
    found = [value for place in places for value in _hooks_paths(read(place))]
    if not found:
        return ""
    named = os.path.expanduser(found[-1].strip('"'))  # relative to the work tree
    return os.path.normpath(os.path.join(os.path.dirname(known.entry), named))


def _hooks_paths(text: str) -> Iterator[str]:
    section = ""
    if "hookspath" not in text.lower():
        return
    for line in text.split("\n"):
        started = _SECTION.match(line)
        section = started[1].lower() if started else section
        variable = _VARIABLE.match(line) if section == "core" else None
        if variable is not None and variable[1].strip():
            yield variable[1].strip()


def _switched_off(folder: int, since: int) -> Iterator[str]:
    try:
        hooks = os.open("hooks", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        yield from _moved(folder, "hooks", since)  # a link, or a folder that only lets itself be searched
        return
    try:
        names = sorted(os.listdir(hooks))
        if len(names) > _MOST_HOOKS:
            yield from _moved(folder, "hooks", since)
            return
        for name in names:
            if not name.endswith((".sample", ".set-aside")):
                yield from _hook_off(hooks, name, since)
    finally:
        os.close(hooks)


def _hook_off(hooks: int, name: str, since: int) -> Iterator[str]:
    try:
        hook = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=hooks)
    except OSError:
        yield from _moved(hooks, name, since)
        return
    try:
        found = os.fstat(hook)
        mode = found.st_mode
        if stat.S_ISREG(mode) and mode & 0o111 and found.st_ctime_ns >= since:
            os.fchmod(hook, stat.S_IMODE(mode) & ~0o111)
            yield name
    finally:
        os.close(hook)


def _moved(folder: int, name: str, since: int) -> Iterator[str]:
    """What cannot be switched off gets a name that git does not know."""
    with suppress(OSError):
        if os.lstat(name, dir_fd=folder).st_ctime_ns >= since:
            yield f"{name}, now {beneath.set_aside(folder, name)}"
