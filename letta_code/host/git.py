"""Git for our own reads, hardened: nothing that a repository's configuration names is ever run.

`git status` in a hostile repository runs its fsmonitor and hooks, `git diff` its filters and external diff, `git log
-p` its textconv (facts/reliability.md 1.5, rows D01 to D10).  The switches below stop all of that; the Git tool puts
the same ones before its own commands.  Reads here are for the status bar: plain `git`, no library, called from a
worker thread (`asyncio.to_thread`); without git, or outside a repository, they say None.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from letta_code.host.programs import program_outside, project_top

SWITCHES = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    "core.pager=cat",
    "core.editor=true",
    "core.sshCommand=false",
    "core.askPass=true",
    "credential.helper=",
    "protocol.allow=never",  # no object is fetched on the way (partial clones)
    "protocol.ext.allow=never",
    "diff.external=",
    "diff.submodule=short",
    "submodule.recurse=false",
    "status.submoduleSummary=false",
    "safe.bareRepository=explicit",  # a bare repository planted in a folder is not one
    "commit.gpgSign=false",
    "log.showSignature=false",
    "gpg.program=false",  # `%G?` in a format would run it
    "gpg.openpgp.program=false",
    "gpg.x509.program=false",
    "gpg.ssh.program=false",
    "color.ui=false",
    "advice.statusHints=false",
)
NO_DRIVERS = ("--no-ext-diff", "--no-textconv", "--no-color")  # for diff, log, show
OUTSIDE_SUBMODULES = "--ignore-submodules=dirty"  # for status and diff: a submodule has a configuration of its own
ENVIRONMENT: Mapping[str, str] = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "true",
    "LC_ALL": "C.UTF-8",
}
QUIET: Mapping[str, str] = {"GIT_OPTIONAL_LOCKS": "0"}  # for reads: never in the way of the person's own git

# What a repository's own configuration may define and only `-c` by name can undo.
DRIVERS = r"^(filter|merge)\..*\.(clean|smudge|process|required|driver)$|^core\.(worktree|hookspath)$"
# What the configuration of a submodule may run when git looks whether it is dirty: git starts itself there without our
# switches, so this can only be found and refused.  Hooks are not in it: with QUIET no index is written there.
SUBMODULE_PROGRAMS = r"^filter\..*\.(clean|smudge|process)$|^core\.fsmonitor$"
_REPOSITORY_SCOPES = ("local", "worktree")
_BOOLEANS = ("true", "false", "yes", "no", "on", "off", "1", "0")
_ENV_DROPPED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_EXTERNAL_DIFF", "GIT_CONFIG_COUNT")
_TIMEOUT = 10.0  # seconds
_OUTPUT_LIMIT = 20_000_000  # bytes of one read


def hardened(*arguments: str, git: str = "git", without: Iterable[str] = ()) -> list[str]:
    """The argv of a git command: the switches, `without` as further ones, then the arguments."""
    words = [git, "--no-pager"]
    for switch in (*SWITCHES, *without):
        words += ["-c", switch]
    return [*words, *arguments]


def ask_drivers(git: str = "git") -> list[str]:
    """The argv that lists drivers by the scope that defines them; reading configuration runs nothing."""
    return hardened("config", "--includes", "--show-scope", "-z", "--get-regexp", DRIVERS, git=git)


def ask_gitlinks(git: str = "git") -> list[str]:
    """The argv that lists the index of the whole repository, for `parse_gitlinks`."""
    return hardened("ls-files", "--stage", "-z", "--", ":/", git=git)


def parse_gitlinks(output: bytes) -> list[str]:
    """Paths of submodules, relative to where `ask_gitlinks` ran: MODE SPACE id SPACE stage TAB path NUL …"""
    entries = [entry.partition(b"\t") for entry in output.split(b"\0") if entry.startswith(b"160000 ")]
    return list(dict.fromkeys(os.fsdecode(path) for _, _, path in entries))


def ask_submodule_programs(git: str = "git") -> list[str]:
    """The argv that, run in a submodule, lists the programs its own configuration names."""
    return hardened("config", "--includes", "--show-scope", "-z", "--get-regexp", SUBMODULE_PROGRAMS, git=git)


def parse_submodule_programs(output: bytes) -> list[str]:
    """Keys that run something; git's own file monitor (`core.fsmonitor=true`) does not count."""
    fields = output.decode("utf-8", "surrogateescape").split("\0")
    found: dict[str, None] = {}
    for scope, entry in zip(fields[::2], fields[1::2], strict=False):
        key, _, value = entry.partition("\n")
        own_monitor = key == "core.fsmonitor" and value.lower() in _BOOLEANS
        if scope in _REPOSITORY_SCOPES and value and not own_monitor:
            found[key] = None
    return list(found)


class Drivers(NamedTuple):
    """Programs and places that the repository's own configuration names (the person's global ones are theirs).

    `known` is False where they could not be listed (git before 2.26), or where a filter's name holds a `=`, which `-c`
    cannot express: then nothing that reads the work tree may be run.  `hooks_path` is core.hooksPath of any scope;
    `worktree` is core.worktree.
    """

    known: bool = False
    filters: tuple[str, ...] = ()
    merges: tuple[str, ...] = ()
    worktree: str = ""
    hooks_path: str = ""
    hooks_own: bool = False  # whether `hooks_path` stands in the repository's own configuration

    def moved(self, folder: str, root: str) -> bool:
        """Whether the work tree is not `root`: a planted core.worktree would show, or change, files anywhere.

        `folder` is the repository's own; submodules name their work tree so and are fine.
        """
        return bool(self.worktree) and os.path.normpath(os.path.join(folder, self.worktree)) != os.path.normpath(root)

    @property
    def without(self) -> list[str]:
        """Switches that undo the filters."""
        settings = ("clean=", "smudge=", "process=", "required=false")
        return [f"filter.{name}.{setting}" for name in self.filters for setting in settings]


def parse_drivers(output: bytes) -> Drivers:
    """What `ask_drivers` printed: scope NUL key NEWLINE value NUL …

    Never empty where it worked: our own core.hooksPath is in it.
    """
    filters: dict[str, None] = {}
    merges: dict[str, None] = {}
    worktree, hooks_path, hooks_own = "", "", False
    fields = output.decode("utf-8", "surrogateescape").split("\0")
    for scope, entry in zip(fields[::2], fields[1::2], strict=False):
        key, _, value = entry.partition("\n")
        section, _, rest = key.partition(".")
        if key == "core.hookspath" and scope != "command":
            hooks_path, hooks_own = value, scope in _REPOSITORY_SCOPES
        elif scope not in _REPOSITORY_SCOPES:
            continue
        elif key == "core.worktree":
            worktree = value
        elif section == "filter":
            filters[rest.rpartition(".")[0]] = None
        elif section == "merge":
            merges[rest.rpartition(".")[0]] = None
    known = bool(output) and not any("=" in name for name in filters)
    return Drivers(known, tuple(filters), tuple(merges), worktree, hooks_path, hooks_own)


class GitStatus(NamedTuple):
    """What the status bar shows: `branch` is "" when detached (then `commit` says where), counts are of paths."""

    branch: str = ""
    commit: str = ""
    ahead: int = 0
    behind: int = 0
    staged: int = 0
    modified: int = 0
    untracked: int = 0
    conflicts: int = 0
    filters: tuple[str, ...] = ()  # not run: files that they manage may look modified

    @property
    def dirty(self) -> int:
        """Paths that differ from the last commit or are not known to it."""
        return self.staged + self.modified + self.untracked + self.conflicts


class GitReader:
    """Reads one work tree's repository.  Every method blocks (a few ms): call it in a worker thread."""

    def __init__(self, root: str, environment: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.environment = os.environ if environment is None else environment

    def status(self) -> GitStatus | None:
        """Branch and counts; None without git or outside a repository."""
        drivers = self.drivers()
        if not drivers.known or self._moved(drivers):
            return None
        output = self._run("status", OUTSIDE_SUBMODULES, "--porcelain=v2", "--branch", "-z", without=drivers.without)
        return None if output is None else parse_status(output, drivers.filters)

    def commits_since(self, moment: str) -> list[str]:
        """The commits of the current branch since a moment (UTC), newest first, at most 20: short name and subject."""
        asked = ("log", "-20", "--no-show-signature", f"--since={moment}", "--format=%h %s", "HEAD")
        output = self._run(*asked)
        return output.decode("utf-8", "replace").splitlines() if output else []

    def drivers(self) -> Drivers:
        """What the repository's own configuration would have run."""
        return parse_drivers(self._capture(ask_drivers()) or b"")

    def _moved(self, drivers: Drivers) -> bool:
        if not drivers.worktree:
            return False
        folder = self._run("rev-parse", "--absolute-git-dir")
        return folder is None or drivers.moved(os.fsdecode(folder.strip()), os.path.realpath(self.root))

    def _run(self, *arguments: str, without: Iterable[str] = ()) -> bytes | None:
        return self._capture(hardened(*arguments, without=without))

    def _capture(self, argv: Sequence[str]) -> bytes | None:
        env = {name: value for name, value in self.environment.items() if name not in _ENV_DROPPED}
        program = program_outside(argv[0], env.get("PATH") or os.defpath, project_top(self.root))
        if program is None:
            return None
        try:
            with subprocess.Popen(
                [program, *argv[1:]],
                cwd=self.root,
                env={**env, **ENVIRONMENT, **QUIET},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            ) as process:
                return _bounded(process)
        except OSError:
            return None


def _bounded(process: subprocess.Popen[bytes]) -> bytes | None:
    """The output of a read that succeeded in time and size."""
    import threading

    timer = threading.Timer(_TIMEOUT, process.kill)
    timer.start()
    try:
        output = process.stdout.read(_OUTPUT_LIMIT) if process.stdout else b""
        if len(output) == _OUTPUT_LIMIT:
            process.kill()
            process.wait()
            return output
        return output if process.wait() == 0 else None
    finally:
        timer.cancel()


def parse_status(output: bytes, filters: tuple[str, ...] = ()) -> GitStatus:
    """`git status --porcelain=v2 --branch -z` as counts."""
    branch = commit = ""
    ahead = behind = staged = modified = untracked = conflicts = 0
    records = iter(output.decode("utf-8", "replace").split("\0"))
    for record in records:
        words = record.split(" ")
        if words[0] == "#" and len(words) >= 3:
            if words[1] == "branch.oid":
                commit = "" if words[2].startswith("(") else words[2]
            elif words[1] == "branch.head":
                branch = "" if words[2] == "(detached)" else words[2]
            elif words[1] == "branch.ab":
                ahead, behind = int(words[2]), -int(words[3])
        elif words[0] in ("1", "2"):
            staged += words[1][0] != "."
            modified += words[1][1] != "."
            if words[0] == "2":
                next(records, "")  # the old path of a rename
        elif words[0] == "u":
            conflicts += 1
        elif words[0] == "?":
            untracked += 1
    return GitStatus(branch, commit, ahead, behind, staged, modified, untracked, conflicts, filters)
