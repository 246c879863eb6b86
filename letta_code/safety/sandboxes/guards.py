"""Guards: what of a work tree a command may not change, as mounts before it and a look afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from threading import Lock

from letta_code.safety.containment import Grant
from letta_code.safety.places import is_within
from letta_code.safety.sandboxes.mounts import Mounts
from letta_code.safety.sandboxes.planted import planted
from letta_code.safety.sandboxes.repositories import (
    PROTECTED,
    Found,
    Repository,
    Tree,
    enclosing,
    read,
    repository,
)
from letta_code.safety.sandboxes.stubs import Stubs
from letta_code.safety.terminal import visible

FIRST_LOOK = 0.05  # seconds for the whole tree before the first command
LATER_LOOK = 0.015  # … and after each one; a tree that takes longer is looked through in parts
_CLOSED = ("config", "config.worktree", "hooks", "info", "modules", "worktrees")
_RC_FILES = (".bashrc", ".bash_profile", ".bash_login", ".profile", ".zshrc", ".zshenv", ".zprofile", ".gitconfig")


class Guards:
    """Guards of one work tree; `notes` is the folder where stubs are written down."""

    def __init__(self, root: str, home: str, notes: str) -> None:
        self._root = root
        self._home = home
        self._stubs = Stubs(notes)
        self._tree = Tree(root)
        self._found: Found | None = None
        self._lock = Lock()  # a command may begin while others end, each on a thread of its own

    def raise_for(self, grant: Grant, mounts: Mounts) -> Raised:
        """Add the mounts for one command; what comes back is to be lowered when it has ended."""
        with self._lock:
            return self._raised(grant, mounts)

    def _raised(self, grant: Grant, mounts: Mounts) -> Raised:
        found = self._found = self._found or self._tree.look(FIRST_LOOK)
        own = [f"{self._root}/{name}" for name in (".git", *PROTECTED)]
        every = [*own, *(path for path in (*found.gits, *found.others) if path not in own)]
        repositories = [
            known for known in map(repository, self._gits(found)) if known is not None and self._beside(known)
        ]
        missing = [path for path in map(self._real, every) if path and not os.path.lexists(path)]
        if grant.git:
            missing += [path for known in repositories if known.sound for path in _absent(known)]
        links = {path: os.readlink(path) for path in every if os.path.islink(path)}
        stubs = self._stubs.take(path for path in missing if os.path.dirname(path) != path)
        for path in (*map(self._real, every), *self._rc_files()):
            if path and os.path.exists(path):
                mounts.read_only(path)
        for known in repositories:
            _guard(known, mounts, opened=grant.git and known.sound)
        for path in stubs:
            mounts.read_only(path)
        return Raised(self, found, links, [known for known in repositories if grant.git and known.sound])

    def lowered(self, raised: Raised) -> tuple[str, ...]:
        """Undo what was made for a command, set right what it got round, and say what it left."""
        with self._lock:
            return self._lowered(raised)

    def _lowered(self, raised: Raised) -> tuple[str, ...]:
        told = [*_links_put_back(raised.links), *_without_detours(raised.opened)]
        self._stubs.release()
        before, self._found = raised.found, self._tree.look(LATER_LOOK)
        new = [path for path in self._found.gits if path not in before.gits and path != f"{self._root}/.git"]
        told += [line for path in new for line in planted(path, os.path.relpath(path, self._root))]
        return tuple(told)

    def _gits(self, found: Found) -> Iterator[str]:
        own = f"{self._root}/.git"
        if os.path.exists(own) and own not in found.gits:
            yield own
        yield from found.gits
        around = "" if repository(own) else enclosing(self._root)
        if around:
            yield around

    def _beside(self, known: Repository) -> bool:
        """Not a folder that the work tree is, or lies in: a link may name any."""
        return not is_within(self._root, known.folder) and not is_within(self._root, known.common)

    def _real(self, path: str) -> str:
        """What is to be covered for a name: a link's own place cannot be, so what it leads to is."""
        if not os.path.islink(path):
            return path
        real = os.path.realpath(path)
        if is_within(self._root, real):
            return ""  # the tree itself or a folder above
        return real if os.path.exists(real) or is_within(real, self._root) else ""

    def _rc_files(self) -> Iterator[str]:
        """Where the home folder is the work tree: what runs when the person opens a shell."""
        if self._home == self._root:
            yield from (os.path.realpath(f"{self._home}/{name}") for name in _RC_FILES)


class Raised:
    """The guards of one command."""

    def __init__(self, guards: Guards, found: Found, links: dict[str, str], opened: Sequence[Repository]) -> None:
        self.found = found
        self.links = links
        self.opened = opened
        self._guards: Guards | None = guards

    def lower(self) -> tuple[str, ...]:
        """Called when the command has ended; a second call does nothing."""
        guards, self._guards = self._guards, None
        return guards.lowered(self) if guards is not None else ()


def _absent(known: Repository) -> Iterator[str]:
    """Folders that git would take something from if a command made them."""
    yield from (f"{known.common}/{name}" for name in ("hooks", "info", "modules", "worktrees"))
    if "worktreeconfig" not in read(f"{known.common}/config").lower():
        return
    for folder in {known.common, known.folder}:  # git reads it then, and stumbles over one that is a folder
        if not os.path.lexists(f"{folder}/config.worktree"):
            with suppress(OSError):
                os.close(os.open(f"{folder}/config.worktree", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))


def _guard(known: Repository, mounts: Mounts, *, opened: bool) -> None:
    """A repository is a mount of its own (so it cannot be renamed), read-only but for what git writes."""
    for folder in (known.common, known.folder):
        (mounts.writable if opened else mounts.read_only)(folder)
    if not opened:
        return
    for folder in (known.common, known.folder):
        for name in _CLOSED:
            path = os.path.realpath(f"{folder}/{name}")
            if os.path.exists(path) and not is_within(folder, path) and path != known.folder:
                mounts.read_only(path)
    mounts.writable(known.folder)
    if known.folder != known.common and os.path.isfile(f"{known.folder}/commondir"):
        mounts.read_only(f"{known.folder}/commondir")


def _links_put_back(links: dict[str, str]) -> Iterator[str]:
    """A link cannot be covered; one that was replaced is made again, and what took its place is set aside."""
    for path, target in links.items():
        with suppress(OSError):
            if os.readlink(path) == target:
                continue
        aside = ""
        try:
            if os.path.lexists(path):
                aside = _free(f"{path}.set-aside")
                os.rename(path, aside)
            os.symlink(target, path)
        except OSError as error:
            yield f"{visible(path)} is protected and was changed; it could not be put back: {error.strerror}"
            continue
        rest = f"; what stood there is now {visible(aside)}" if aside else ""
        yield f"{visible(path)} is protected and was put back{rest}"


def _without_detours(opened: Iterable[Repository]) -> Iterator[str]:
    """`commondir` in a main repository would make git take configuration and hooks from another folder."""
    for known in opened:
        path = f"{known.folder}/commondir"
        if known.folder == known.common and os.path.lexists(path):
            with suppress(OSError):
                aside = _free(f"{path}.set-aside")
                os.rename(path, aside)
                yield f"{visible(path)} would lead git to other configuration; it was set aside as {visible(aside)}"


def _free(path: str) -> str:
    count, candidate = 1, path
    while os.path.lexists(candidate):
        count, candidate = count + 1, f"{path}-{count}"
    return candidate
