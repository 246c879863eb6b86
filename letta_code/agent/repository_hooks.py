"""Repository hooks: programs that git would run of a repository, and whether the person has seen them as they are."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from msgspec.structs import replace

from letta_code.agent import folder_trust
from letta_code.config.paths import Paths
from letta_code.safety.places import called_from, is_within
from letta_code.safety.trust import GIT_HOOK, Consent, Power, unconsented

if TYPE_CHECKING:  # loaded with the policy, after the first request
    from letta_code.safety.own_hooks import Hooks

_NAMES = frozenset([
    "applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "prepare-commit-msg",
    "commit-msg", "post-commit", "pre-rebase", "post-checkout", "post-merge", "pre-push", "pre-receive", "update",
    "proc-receive", "post-receive", "post-update", "reference-transaction", "push-to-checkout", "pre-auto-gc",
    "post-rewrite", "sendemail-validate", "fsmonitor-watchman", "post-index-change",
])  # fmt: skip
_STUBS = "_"  # husky's folder of stubs, which call the files of the same name above it
_FRESH_SECONDS = 0.05  # several questions about one command; the next command may have changed them
_MOST_BYTES = 8 << 20
_MOST_FILES = 300  # of a folder of hooks in the work tree; with more of them its hooks are asked about each time


class RepositoryHooks:
    """Those of the repository at `root`.

    What was found is known for a moment while no file of it changes: a policy asks several times about one command.
    (Only for a moment, since what the configuration includes may be anywhere.)
    """

    def __init__(self, root: str, paths: Paths) -> None:
        self._root = os.path.realpath(root)
        self._paths = paths
        self._at = float("-inf")
        self._found: tuple[Power, ...] = ()
        self._waiting: tuple[str, ...] = ()
        self._seen: tuple[object, ...] = ()

    def waiting(self) -> tuple[str, ...]:
        """Paths of hooks that the person has not said yes to as they are now.  Blocks for a few ms."""
        if monotonic() - self._at > _FRESH_SECONDS or self._look() != self._seen:
            self._found = hooks_of(self._root)
            consent = folder_trust.read(self._root, self._paths)[0] if self._found else None
            self._waiting = unconsented(self._found, consent)
            self._at, self._seen = monotonic(), self._look()
        return self._waiting

    def _look(self) -> tuple[object, ...]:
        """What changes when a hook, its folder or the configuration does."""
        paths = [os.path.join(self._root, hook.path) for hook in self._found]
        folders = dict.fromkeys(map(os.path.dirname, paths))
        git = os.path.join(self._root, ".git")
        return tuple(map(_stamp, (*paths, *folders, f"{git}/config", f"{git}/hooks")))

    def now(self) -> Hooks:
        """The same for the policy: the names of those that wait, and whether there are others."""
        from letta_code.safety.own_hooks import Hooks

        waiting = self.waiting()
        names = dict.fromkeys(os.path.basename(hook.path) for hook in self._found)
        return Hooks(
            waiting=tuple(map(os.path.basename, waiting)),
            agreed=len(waiting) < len(self._found),
            names=tuple(name for name in names if name in _NAMES),
            tracked=any(_in_work_tree(os.path.join(self._root, hook.path), self._root) for hook in self._found),
        )

    def agree(self, names: Collection[str]) -> None:
        """The person said yes to hooks of these names: as they are now they are known.  Raises `ConfigError`."""
        before, _ = folder_trust.read(self._root, self._paths)
        consent = before or Consent(root=self._root)
        said = {hook.path: hook.sha256 for hook in hooks_of(self._root) if os.path.basename(hook.path) in names}
        kept = {path: digest for path, digest in (consent.hooks | said).items() if digest}
        self._at = float("-inf")
        if kept != consent.hooks:
            folder_trust.keep(replace(consent, hooks=kept), self._paths)


def _in_work_tree(path: str, root: str) -> bool:
    """Whether a file, or what it leads to, lies where commands write: `.git` is kept from them."""
    named = (os.path.normpath(path), os.path.realpath(path))
    return any(is_within(one, root) and ".git" not in os.path.relpath(one, root).split(os.sep) for one in named)


def _stamp(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode)


def hooks_of(root: str) -> tuple[Power, ...]:
    """The hooks that git would run in a work tree; none where they are the person's own (a global core.hooksPath).

    Runs git once, hardened; blocks for about 5 ms, without a repository for none.
    """
    from letta_code.host.git import GitReader

    git = _common_folder(root)
    if git is None:
        return ()
    drivers = GitReader(root).drivers()
    if not drivers.hooks_path:
        return tuple(_hooks_in(git / "hooks", root))
    folder = Path(os.path.normpath(os.path.join(root, os.path.expanduser(drivers.hooks_path))))
    inside = folder.is_relative_to(root) or Path(os.path.realpath(folder)).is_relative_to(root)
    if not (drivers.hooks_own or inside):
        return ()
    above = _hooks_in(folder.parent, root) if folder.name == _STUBS else ()
    found = (*_hooks_in(folder, root), *above)
    return (*found, *_beside(found, called_from(str(folder), root), root)) if found and inside else found


def _beside(hooks: Collection[Power], top: str, root: str) -> Iterator[Power]:
    """The other files that hooks of the work tree may call: those that stand with them."""
    known = {hook.path for hook in hooks}
    room, left = [_MOST_BYTES], _MOST_FILES
    for where, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            left -= 1
            if left < 0:
                yield Power(path=os.path.relpath(top, root), kind=GIT_HOOK)
                return
            path = os.path.join(where, name)
            if os.path.relpath(path, root) not in known:
                yield folder_trust.power_of(path, root, GIT_HOOK, room)


def _common_folder(root: str) -> Path | None:
    """The repository's own folder, which a linked work tree shares; None where there is none."""
    from letta_code.host.files import read_bounded

    path = Path(root, ".git")
    try:
        if not path.is_dir():
            text = read_bounded(path, 4096).decode("utf-8", "surrogateescape")
            path = Path(root, text.removeprefix("gitdir:").strip())
        if (path / "commondir").exists():
            path = path / read_bounded(path / "commondir", 4096).decode("utf-8", "surrogateescape").strip()
    except (OSError, ValueError):
        return None
    return path if path.is_dir() else None


def _hooks_in(folder: Path, root: str) -> Iterator[Power]:
    try:
        names = sorted(_NAMES.intersection(os.listdir(folder)))
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        try:
            runs = stat.S_IMODE(os.stat(path).st_mode) & 0o111
        except OSError:
            continue  # a dangling link
        if runs or folder.name != "hooks":  # what a stub calls by `sh` need not be executable
            yield folder_trust.power_of(path, root, GIT_HOOK, [_MOST_BYTES])
