"""NamedPrograms: what a repository's configuration would have git run, as git itself reads it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from functools import cached_property

from letta_code.host.git_config import settings
from letta_code.host.programs import program_outside, project_top
from letta_code.safety.sandboxes.repositories import Repository

CONFIGURATIONS = ("config", "config.worktree")
UNREAD = "what cannot be read"
_LONGEST = 200_000  # bytes of a configuration that is looked through
# Variables that name a program, by section.
_RUNS = {
    "core": {"fsmonitor", "hookspath", "sshcommand", "pager", "editor", "askpass", "gitproxy", "alternaterefscommand"},
    "filter": {"clean", "smudge", "process"},
    "diff": {"external", "command", "textconv"},
    "merge": {"driver"},
    "mergetool": {"cmd", "path"},
    "difftool": {"cmd", "path"},
    "credential": {"helper"},
    "gc": {"recentobjectshook"},
    "gpg": {"program", "defaultkeycommand"},
    "hook": {"command"},
    "interactive": {"difffilter"},
    "sequence": {"editor"},
    "include": {"path"},
    "includeif": {"path"},
    "lfs": {"clean", "smudge", "path"},
    "protocol": {"allow"},
    "remote": {"uploadpack", "receivepack", "vcs"},
    "submodule": {"update"},
    "tar": {"command"},
    "trailer": {"command", "cmd"},
    "uploadpack": {"packobjectshook"},
}
_WHOLE = {"alias", "pager"}  # sections whose every variable may be a command
_SWITCH = {"", "true", "false", "yes", "no", "on", "off", "1", "0"}
# Values that name no program, for the keys that have such; any other key may name a file by each of these words.
_HARMLESS = {
    "core.fsmonitor": _SWITCH,
    "credential.helper": {""},
    "filter.clean": {""},
    "filter.process": {""},
    "filter.smudge": {""},
    "protocol.allow": {"never"},
    "submodule.update": {"checkout", "merge", "none", "rebase"},
}
_LARGE_FILES = re.compile(r"git-lfs (clean|smudge|filter-process)( --skip)?( -- %f)?")  # as `git lfs install` writes it


class NamedPrograms:
    """Keys that name a program, as `section.variable`; `UNREAD` where git or the configuration cannot be asked."""

    def __init__(self, root: str) -> None:
        self._root = root

    def of(self, known: Repository) -> list[str]:
        """Those of a repository; blocks for some 5 ms for each configuration that was not read before."""
        files = (f"{folder}/{name}" for folder in {known.common, known.folder} for name in CONFIGURATIONS)
        return list(dict.fromkeys(key for file in files for key in self.in_file(file)))

    def in_file(self, path: str, *, folder: int | None = None) -> list[str]:
        """Those of one configuration, relative to a descriptor if there is one; none where there is no file."""
        text = _text(path, folder)
        if not text:
            return [UNREAD] if text is None else []
        found = settings(text, self._git) if self._git else None
        return [UNREAD] if found is None else list(dict.fromkeys(_named(found)))

    @cached_property
    def _git(self) -> str:
        return program_outside("git", os.environ.get("PATH") or os.defpath, project_top(self._root)) or ""


def _text(path: str, folder: int | None) -> bytes | None:
    """None for a link and all else that is not read in whole."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return b""
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        text = b""
        while len(text) <= _LONGEST and (more := os.read(descriptor, _LONGEST + 1 - len(text))):
            text += more
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return text if len(text) <= _LONGEST else None


def _named(found: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for key, value in found:
        section, _, rest = key.partition(".")
        name = rest.rpartition(".")[2]
        harmless = _SWITCH if section == "pager" else _HARMLESS.get(f"{section}.{name}", set())
        if value.lower() in harmless or (section == "filter" and _LARGE_FILES.fullmatch(value)):
            continue
        if name in _RUNS.get(section, ()) or section in _WHOLE:
            yield f"{section}.{name}"
