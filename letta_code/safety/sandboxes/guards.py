"""Guards: what of a work tree a command may not change, as mounts before it and a look afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

from letta_code.core.errors import NotStartedError
from letta_code.host.programs import installed_in
from letta_code.safety.containment import Grant
from letta_code.safety.places import called_from, is_within
from letta_code.safety.sandboxes import beneath
from letta_code.safety.sandboxes.beneath import Identity
from letta_code.safety.sandboxes.links import Link, links, put_back
from letta_code.safety.sandboxes.mounts import Mounts
from letta_code.safety.sandboxes.named_programs import UNREAD, NamedPrograms
from letta_code.safety.sandboxes.opened import Opened, looked_after, opened
from letta_code.safety.sandboxes.planted import hooks_path, planted
from letta_code.safety.sandboxes.redirected import writes_by_name
from letta_code.safety.sandboxes.repositories import (
    PROTECTED,
    Found,
    Repository,
    Tree,
    enclosing,
    is_one,
    nearest,
    read,
    repository,
)
from letta_code.safety.sandboxes.seen import changed, identities, identities_of
from letta_code.safety.sandboxes.stubs import Stubs
from letta_code.safety.sandboxes.together import Together
from letta_code.safety.terminal import visible

FIRST_LOOK = 0.05  # seconds for the whole tree before the first command
LATER_LOOK = 0.015  # … and after each one; a tree that takes longer is looked through in parts
GIT_LOOK = 0.25  # … and before one that gets a repository opened: programs of one that came since would run with it;
# … and where several commands run, each of which can move what another one was kept from
_TICK = 20_000_000  # ns; a file system's clock may be that much behind
_CLOSED = ("config", "config.worktree", "hooks", "info", "modules", "worktrees")
_RC_FILES = (".bashrc", ".bash_profile", ".bash_login", ".profile", ".zshrc", ".zshenv", ".zprofile", ".gitconfig")
_LOOSE = (
    "The command did not run, nothing of it was done: another git command still runs, which may bring other hooks than "
    "the person said yes to. Run it again when that has ended."
)


class _Own(NamedTuple):
    known: Repository
    found: tuple[Identity | None, ...]


class _Before(NamedTuple):
    gits: Mapping[str, Identity]
    complete: bool  # whether these were all of the tree
    told: tuple[str, ...]
    links: Mapping[str, Link]
    opened: Sequence[Opened]
    hooked: bool  # whether hooks that lie in the work tree run
    loose: bool  # whether what they call may be written


class Guards:
    """Guards of one work tree; `notes` is the folder where stubs are written down."""

    def __init__(self, root: str, home: str, notes: str) -> None:
        self._root = root
        self._home = home
        self._stubs = Stubs(notes)
        self._tree = Tree(root)
        self._programs = NamedPrograms(root)
        self._found: Found | None = None
        self._began = time.time_ns() - _TICK
        self._own: _Own | None = None
        self._known: dict[str, Identity] = {}  # each `.git` as it was last seen
        self._running = 0  # commands whose guards are up
        self._hooked = self._loose = 0  # … of them those that `_Before` says it of
        self._together = Together(root, self._programs)
        self._lock = Lock()  # a command may begin while others end, each on a thread of its own

    def raise_for(self, grant: Grant, mounts: Mounts, cwd: str, argv: Sequence[str] = ()) -> Raised:
        """Add the mounts for one command in a folder; what comes back is to be lowered when it has ended."""
        with self._lock:
            raised = self._raised(grant, mounts, cwd, argv)
            self._running += 1
            self._hooked += raised.before.hooked
            self._loose += raised.before.loose
            return raised

    def _raised(self, grant: Grant, mounts: Mounts, cwd: str, argv: Sequence[str]) -> Raised:
        found, told = self._looked(grant)
        self._together.begun((*found.gits, *found.others), alone=not self._running)
        here = nearest(cwd, self._root) if grant.git else ""
        own = [*(f"{self._root}/{name}" for name in (".git", *PROTECTED)), *installed_in(self._root)]
        every = [*own, *(path for path in (*found.gits, *found.others) if path not in own)]
        entries = list(dict.fromkeys(path for path in (*self._gits(found), here) if path))
        within = self._ours()
        repositories = [known for known in map(repository, entries) if known is not None and self._in(known, within)]
        open_one = next((known for known in repositories if known.entry == here and known.sound), None)
        bare = self._not_closed(found)
        judged = list(dict.fromkeys((*entries, *bare)))
        behind = [*repositories, *(known for known in bare.values() if known is not None and self._in(known, within))]
        why = ""
        if open_one is not None:
            why = self._refused(open_one, judged, behind) or self._refused_beside(argv, cwd)
        reaches = grant.git and (grant.logins or grant.network != "off")
        if reaches and (foreign := why or self._foreign(judged, behind)):
            raise NotStartedError("\n".join((f"The command did not run, nothing of it was done: {foreign}", *told)))
        if why:
            open_one, told = None, [*told, why]
        found_hooks = {path: os.path.dirname(known.entry) for known in repositories if (path := self._hooks(known))}
        hooks = list(found_hooks)
        hooked, loose = bool(hooks and grant.hooks), bool(hooks and grant.git and not grant.hooks and not self._hooked)
        if hooked and self._loose:
            raise NotStartedError(_LOOSE)
        if not loose:  # else none of them runs, and a merge may bring others
            hooks += [called_from(path, tree) for path, tree in found_hooks.items()]
        every += [path for path in hooks if path not in every]
        missing = [path for path in map(self._real, every) if path and not os.path.lexists(path)]
        missing += _absent(open_one) if open_one is not None else ()
        linked = links([*every, *(_closed(open_one) if open_one is not None else ())])
        about = opened(open_one) if open_one is not None else ()
        before = _Before(dict(self._known), found.complete, tuple(told), linked, about, hooked, loose)
        stubs = self._stubs.take(path for path in missing if os.path.dirname(path) != path)
        for path in (*map(self._real, every), *self._rc_files()):
            if path and os.path.exists(path):
                mounts.read_only(path)
        for known in repositories:
            _close(known, mounts)
        if open_one is not None:
            self._open(open_one, mounts)
        for path in stubs:
            mounts.read_only(path)
        return Raised(self, before)

    def _looked(self, grant: Grant) -> tuple[Found, list[str]]:
        """What is known of the tree; where a repository is to be opened, others may have come in the meantime.

        Where another command runs, it may have moved some.
        """
        if self._found is None:
            self._found = self._tree.look(FIRST_LOOK)
            self._own = self._own_now()
            self._known = identities(self._found)
            return self._found, []
        if not grant.git and not self._running:
            return self._found, []
        complete = self._found.complete
        self._found = self._tree.look(GIT_LOOK, anew=True)
        return self._found, self._told_of_new(self._known, complete)

    def _told_of_new(self, before: Mapping[str, Identity], complete: bool) -> list[str]:
        """What is told of each `.git` that is not the one it was.

        Where not the whole tree had been looked through, one that was never seen may be old: its times decide then.
        """
        assert self._found is not None
        now = identities(self._found)
        new = [
            path
            for path, found in now.items()
            if before.get(path) != found
            and path != f"{self._root}/.git"
            and (complete or path in before or changed(path) >= self._began)
        ]
        self._known = now
        known = set(before.values()) if complete else set(now.values())
        told: list[str] = []
        for path in new:
            # One that was nowhere before may have been put together of old folders, whose files tell no new time.
            since = self._began if now[path] in known or (path in before and path in self._found.bare) else 0
            told += planted(path, os.path.relpath(path, self._root), since, self._programs)
        return told

    def _refused(self, wanted: Repository, entries: Sequence[str], known: Sequence[Repository]) -> str:
        """Why the wanted one is not opened, "" when it may be: programs of a nested one would run with it writable."""
        shown = visible(os.path.relpath(wanted.entry, self._root))
        if self._running and os.path.dirname(wanted.entry) != self._root and is_within(wanted.entry, self._root):
            return (  # it could put a link in the place of a folder above it before `bwrap` opens what is there
                f"{shown} was not opened for writing while another command runs, which can move the folders above it. "
                "Use git there when that command has ended."
            )
        return self._foreign(entries, known)

    def _not_closed(self, found: Found) -> dict[str, Repository | None]:
        """What git takes for a repository as it is, in such a folder; the parts of the tree's own are closed."""
        own = (self._own.known.folder, self._own.known.common) if self._own is not None else ()
        return {path: repository(path) for path in found.bare if not any(is_within(path, one) for one in own)}

    def _foreign(self, entries: Sequence[str], known: Sequence[Repository]) -> str:
        """That a repository beside the tree's own names programs, "" where none does: git goes into submodules."""
        behind = {one.entry: one for one in known}
        for entry in entries:
            one = behind.get(entry)
            if one is not None and (self._is_own(one) or self._is_submodule(one)):
                continue
            named = self._programs.of(one) if one is not None else [UNREAD]
            if named:
                shown = visible(os.path.relpath(entry, self._root))
                what = f"names programs that git would run ({', '.join(map(visible, named))})"
                what = "leads to a configuration that cannot be looked through" if UNREAD in named else what
                return (
                    f"no repository was opened for writing: {shown} {what}. If you trust it, use git there yourself; "
                    "if not, remove it."
                )
        return ""

    def _refused_beside(self, argv: Sequence[str], cwd: str) -> str:
        """Why no repository is opened where the shell could be led into it between two of its commands."""
        if not self._running or not writes_by_name(argv, cwd):
            return ""
        return (
            "No repository was opened for writing while another command runs, which can make a file that this one "
            "redirects into lead into the repository. Use git without a redirection into a file, or when that command "
            "has ended."
        )

    def _hooks(self, known: Repository) -> str:
        """The folder in the work tree that hooks are taken from by `core.hooksPath`; where it is missing, its stub."""
        named = hooks_path(known, f"{self._home}/.gitconfig", f"{self._home}/.config/git/config")
        if not named:
            return ""
        path = os.path.join(os.path.realpath(os.path.dirname(named)), os.path.basename(named))
        if not is_within(path, self._root) or is_within(self._root, path):
            return ""
        if not self._is_own(known) and self._is_kept_by_git(path):
            return ""  # a stub there would be in git's way
        while not os.path.isdir(os.path.dirname(path)):
            path = os.path.dirname(path)
        return path

    def _own_now(self) -> _Own | None:
        own = f"{self._root}/.git"
        known = repository(own) or repository(enclosing(self._root) or own)
        if known is None or not (is_within(known.folder, self._root) or is_one(known.folder, known.common)):
            return None  # a `.git` file that somebody else made may name any folder
        return _Own(known, identities_of(known))

    def _is_own(self, known: Repository) -> bool:
        """The tree's own repository as it was at the first command, or a further work tree of it."""
        if self._own is None or not self._own_stands():
            return False
        own = self._own.known
        linked = known.common == own.common and is_within(known.folder, f"{own.common}/worktrees")
        return linked or known == own

    def _is_submodule(self, known: Repository) -> bool:
        """One that is kept in the tree's own repository, where its configuration is closed as that one's is."""
        if self._own is None or not self._own_stands():
            return False
        return all(is_within(path, f"{self._own.known.common}/modules") for path in (known.folder, known.common))

    def _own_stands(self) -> bool:
        return self._own is not None and identities_of(self._own.known) == self._own.found

    def lowered(self, raised: Raised) -> tuple[str, ...]:
        """Undo what was made for a command, set right what it got round, and say what it left."""
        with self._lock:
            self._running -= 1
            self._hooked -= raised.before.hooked
            self._loose -= raised.before.loose
            return self._lowered(raised)

    def _lowered(self, raised: Raised) -> tuple[str, ...]:
        before = raised.before
        told = [*before.told, *put_back(before.links)]
        told += [line for one in before.opened for line in looked_after(one)]
        self._stubs.release()
        together = self._together.is_so
        self._found = self._tree.look(GIT_LOOK if together else LATER_LOOK, anew=together)
        told += self._told_of_new(before.gits, before.complete)
        return (*told, *self._together.ended((*self._found.gits, *self._found.others), last=not self._running))

    def _gits(self, found: Found) -> Iterator[str]:
        own = f"{self._root}/.git"
        if os.path.exists(own) and own not in found.gits:
            yield own
        yield from found.gits
        around = "" if repository(own) else enclosing(self._root)
        if around:
            yield around

    def _ours(self) -> tuple[str, ...]:
        """Where repositories of ours lie: the work tree, and the tree's own one with its parts (submodules).

        A `.git` file and a link may name any folder of the disk: a mount there would show what is hidden.
        """
        own = self._own.known if self._own is not None and self._own_stands() else None
        return (self._root, own.folder, own.common) if own is not None else (self._root,)

    def _in(self, known: Repository, within: Sequence[str]) -> bool:
        return not any(
            is_within(self._root, folder) or not any(is_within(folder, one) for one in within)
            for folder in (known.folder, known.common)
        )

    def _real(self, path: str) -> str:
        """What is to be covered for a name: a link's own place cannot be, so what it leads to in the work tree is.

        What lies outside is not written, or is hidden; a mount there would show it again.  What lies in a repository is
        covered with it, and a stub there would be in git's way.
        """
        if not os.path.islink(path):
            return path
        real = os.path.realpath(path)
        ours = is_within(real, self._root) and real != self._root
        return real if ours and not self._is_kept_by_git(real) else ""

    def _is_kept_by_git(self, path: str) -> bool:
        """Whether a path of the tree lies below a `.git`, or in the tree's own repository wherever that is."""
        own = (self._own.known.folder, self._own.known.common) if self._own is not None else ()
        if any(path != folder and is_within(path, folder) for folder in own):
            return True
        return ".git" in os.path.relpath(os.path.dirname(path), self._root).split("/")

    def _open(self, known: Repository, mounts: Mounts) -> None:
        """What git writes in a repository may be written."""
        for folder in (known.common, known.folder):
            mounts.writable(folder)
        for path in map(os.path.realpath, _closed(known)):
            if not any(is_within(path, one) for one in (self._root, known.folder, known.common)):
                continue
            if os.path.exists(path) and path != known.folder and not is_within(known.common, path):
                mounts.read_only(path)
        mounts.writable(known.folder)
        if known.folder != known.common and os.path.isfile(f"{known.folder}/commondir"):
            mounts.read_only(f"{known.folder}/commondir")

    def _rc_files(self) -> Iterator[str]:
        """Where the home folder is the work tree: what runs when the person opens a shell."""
        if self._home == self._root:
            yield from (os.path.realpath(f"{self._home}/{name}") for name in _RC_FILES)


class Raised:
    """The guards of one command."""

    def __init__(self, guards: Guards, before: _Before) -> None:
        self.before = before
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
            with suppress(OSError), beneath.folder(folder) as at:
                flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open("config.worktree", flags, 0o644, dir_fd=at))


def _close(known: Repository, mounts: Mounts) -> None:
    """A repository is a mount of its own (so it cannot be renamed), read-only."""
    for folder in (known.common, known.folder):
        mounts.read_only(folder)


def _closed(known: Repository) -> Iterator[str]:
    for folder in (known.common, known.folder):
        yield from (f"{folder}/{name}" for name in _CLOSED)
