"""A small git repository kept without git: one writer at a time under our lock, branches moved by compare-and-swap."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from letta_code.core.errors import LettaError
from letta_code.core.messages import Value
from letta_code.host.files import atomic_write, ensure_private_dir, read_bounded, sync_dir
from letta_code.host.git_objects import Entry, GitDamage, NewObject, Objects
from letta_code.host.locks import FileLock
from letta_code.host.memory_paths import leads_out, path_problem

BRANCH = "refs/heads/main"
LOCK_SECONDS = 30.0  # how long to wait for another process of ours that writes
PACK_FROM = 2_000  # loose objects from which a repack is worth its seconds
FOREIGN_SECONDS = 5.0  # how long to wait for a git of the person's that moves a branch
_STALE_SECONDS = 2.0  # a git lock younger than this is never taken for a dead process's
_STALE_UNSEEN_SECONDS = 3600.0  # the same where the system does not tell which processes run (no /proc)
_LONGEST = 16 << 20  # bytes of a file of git's that is read whole
CONFIG = b"""[core]
\trepositoryformatversion = 0
\tfilemode = false
\tbare = false
\tautocrlf = false
\teol = lf
"""


class RefMoved(LettaError):
    """The branch is no longer where the commit was based: another git moved it.  Nothing was changed; try again."""

    kind = "memory"


class GitBusy(LettaError):
    """Another git holds a lock in this repository and does not let go."""

    kind = "memory"


class Commit(Value):
    """A commit; `time` is in seconds since the epoch, `author` a name without its address."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: str
    time: int
    message: str


class Repository:
    """The repository in `root`: its branch, its commits, and the lock that all our writers take.

    Reading needs no lock.  Every writing method must be called while `lock` is held.  Raises `GitDamage` for what
    cannot be read and `OSError` where the disk refuses.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git_dir = root / ".git"
        self.own_dir = self.git_dir / "letta"  # ours: scratch files, the record of the working files, caches
        self.scratch = self.own_dir / "scratch"
        self.objects = Objects(self.git_dir, self.scratch)
        # Beside the repository, so that it can be taken before the folder exists.
        self.lock = FileLock(root.with_name(root.name + ".lock"), what="memory")
        self._commits: dict[str, Commit] = {}

    @property
    def exists(self) -> bool:
        """Whether the repository was made already."""
        return (self.git_dir / "HEAD").exists()

    def initialise(self) -> None:
        """Make the repository if it is not there; under the lock."""
        for folder in (self.root, self.git_dir / "objects" / "pack", self.git_dir / "refs" / "heads", self.scratch):
            ensure_private_dir(folder)
        if self.exists:
            return
        atomic_write(self.git_dir / "config", CONFIG)
        atomic_write(self.git_dir / "HEAD", f"ref: {BRANCH}\n".encode())  # last: it makes the folder a repository

    # ------------------------------------------------------------ reading

    def branch(self) -> str:
        """The full name of the branch that HEAD stands on; "HEAD" when it stands on none."""
        try:
            text = read_bounded(self.git_dir / "HEAD", _LONGEST).decode("utf-8", "replace")
        except FileNotFoundError:
            return BRANCH
        name = text[5:].strip() if text.startswith("ref: ") else "HEAD"
        if not name or "\n" in name:
            raise GitDamage(f"{self.git_dir / 'HEAD'} names no branch", hint=f"Run `git fsck` in {self.root}.")
        if name == "refs/heads/.invalid":  # git's sign that the branches are kept in a reftable
            raise GitDamage(
                f"{self.root} keeps its branches in a form that letta-code does not read (reftable)",
                hint="Run `git refs migrate --ref-format=files` in that folder.",
            )
        return name

    def head(self, ref: str = "") -> str:
        """The commit that a branch (the current one for "") stands on; "" when it has none yet."""
        name = ref or self.branch()
        try:
            text = read_bounded(self.git_dir / name, _LONGEST).decode("ascii").strip() or "?"
        except (FileNotFoundError, NotADirectoryError):
            text = self._packed_refs().get(name, "")
            if not text and (not ref or name == BRANCH) and (self.own_dir / "checkout.json").exists():
                if name != BRANCH:  # a bent HEAD, or a branch that a person has only begun
                    raise GitDamage(
                        f"{self.git_dir / 'HEAD'} stands on {name}, which has no commit",
                        hint=f"Run `git symbolic-ref HEAD {BRANCH}` in {self.root}.",
                    ) from None
                text = "?"  # it had commits: an empty memory would be a lie
        except (UnicodeDecodeError, IsADirectoryError):
            text = "?"
        if text and (len(text) != 40 or not set(text) <= set("0123456789abcdef")):
            raise GitDamage(f"{self.git_dir / name} does not name a commit", hint=f"Run `git fsck` in {self.root}.")
        return text

    def _packed_refs(self) -> dict[str, str]:
        try:
            lines = read_bounded(self.git_dir / "packed-refs", _LONGEST).decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return {}
        pairs = (line.split(" ") for line in lines if not line.startswith(("#", "^")))
        return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}

    def branches(self, below: str) -> dict[str, str]:
        """Full name → commit of the branches below a folder of names (`refs/heads/reflection/`)."""
        names = {name for name in self._packed_refs() if name.startswith(below)}
        names |= {below + name for name in _listed(self.git_dir / below) if not name.endswith(".lock")}
        return {name: sha for name in sorted(names) if (sha := self.head(name))}

    def commit(self, sha: str) -> Commit:
        """A commit by its full name."""
        known = self._commits.get(sha)
        if known is None:
            known = self._commits[sha] = _parsed(sha, self.objects.read(sha, "commit"))
        return known

    def commits(self, start: str) -> Iterator[Commit]:
        """A commit and its first parents, newest first."""
        while start:
            commit = self.commit(start)
            yield commit
            start = commit.parents[0] if commit.parents else ""

    def root_tree(self, commit: str) -> str:
        """The tree of a commit, "" for ""."""
        return self.commit(commit).tree if commit else ""

    def entry(self, commit: str, path: str) -> Entry | None:
        """What stands at a path in a commit, None when nothing does.  No path leads out of the folder."""
        tree = self.root_tree(commit)
        found: Entry | None = None
        for name in path.split("/"):
            found = None if leads_out(name) else self.objects.tree(tree).get(name)
            if found is None:
                return None
            tree = found.sha if found.is_folder else ""
        return found

    def blob(self, sha: str) -> bytes:
        """The content of a file."""
        return self.objects.read(sha, "blob")

    def files(self, commit: str, folder: str = "", *, but: str = "", bad: list[str] | None = None) -> dict[str, str]:
        """Path → blob name of every regular file below a folder of a commit, in order; `but` is a folder left out.

        Entries of names that memory cannot hold are not followed; `bad` takes their paths.
        """
        top = self.entry(commit, folder) if folder else Entry(mode="40000", sha=self.root_tree(commit))
        found: dict[str, str] = {}
        if top is not None and top.is_folder:
            self._walk(top.sha, f"{folder}/" if folder else "", but, found, [] if bad is None else bad)
        return found

    def _walk(self, tree: str, prefix: str, but: str, found: dict[str, str], bad: list[str]) -> None:
        for name, entry in self.objects.tree(tree).items():
            path = prefix + name
            if path_problem(name):
                bad.append(path)
            elif entry.is_folder and path != but:
                self._walk(entry.sha, f"{path}/", but, found, bad)
            elif entry.is_file:
                found[path] = entry.sha

    def differences(self, old: str, new: str) -> dict[str, tuple[str, str]]:
        """Path → (old, new blob name, "" where there is none) of the files in which two commits differ.

        Entries of names that memory cannot hold are not followed.
        """
        found: dict[str, tuple[str, str]] = {}
        self._compare(self.root_tree(old), self.root_tree(new), "", found)
        return found

    def _compare(self, old: str, new: str, prefix: str, found: dict[str, tuple[str, str]]) -> None:
        if old == new:
            return
        before, after = self.objects.tree(old), self.objects.tree(new)
        for name in sorted(before.keys() | after.keys()):
            a, b = before.get(name), after.get(name)
            if (a is not None and b is not None and a.sha == b.sha) or path_problem(name):
                continue
            path = prefix + name
            if (a and a.is_folder) or (b and b.is_folder):
                self._compare(a.sha if a and a.is_folder else "", b.sha if b and b.is_folder else "", f"{path}/", found)
            blobs = (a.sha if a and a.is_file else "", b.sha if b and b.is_file else "")
            if blobs[0] != blobs[1]:
                found[path] = blobs

    # ------------------------------------------------------------ writing

    def add(
        self,
        changes: Mapping[str, bytes | None],
        message: str,
        *,
        parent: str,
        author: str,
        ref: str = "",
        others: tuple[str, ...] = (),
        scratch_files: Mapping[Path, bytes] | None = None,
    ) -> str:
        """Commit changed files (None removes one) on top of `parent` and move the branch there.

        Durable when it returns; before that, nothing is changed for anybody.  `others` are further parents,
        `scratch_files` are written and synced together with the objects.  The working files are not touched.  Raises
        `RefMoved` when the branch no longer stands on `parent`, `PathRefused` for a path that it cannot hold.
        """
        blobs = {path: NewObject.of("blob", data) for path, data in changes.items() if data is not None}
        names = {path: blobs[path].sha if path in blobs else None for path in changes}
        tree, trees = self.objects.tree_with(self.root_tree(parent), names)
        if not tree:  # git has a name for the empty tree; we need the object as well
            trees.append(NewObject.of("tree", b""))
            tree = trees[-1].sha
        commit = NewObject.of("commit", _commit_text(tree, (parent, *others), author, message))
        ticket = self.scratch / f"ref-{os.urandom(8).hex()}"
        files = {**(scratch_files or {}), ticket: f"{commit.sha}\n".encode()}
        self.objects.write([*blobs.values(), *trees, commit], files)
        self._move(ref or self.branch(), parent, ticket)
        return commit.sha

    def set_ref(self, ref: str, new: str, old: str) -> None:
        """Make a branch or move it from `old` ("" when it is new) to a commit; raises `RefMoved`."""
        ticket = self.scratch / f"ref-{os.urandom(8).hex()}"
        self.objects.write([], {ticket: f"{new}\n".encode()})
        self._move(ref, old, ticket)

    def delete_ref(self, ref: str) -> None:
        """Forget a branch that we made; its commits stay until git removes what nothing names."""
        if (
            ref in self._packed_refs()
        ):  # a git of the person's packed it: first there, else an old state would come back
            packed = self.git_dir / "packed-refs"
            lines = read_bounded(packed, _LONGEST).splitlines(keepends=True)
            ticket = self.scratch / f"ref-{os.urandom(8).hex()}"
            left = b"".join(line for line in lines if line.rstrip(b"\n").partition(b" ")[2] != os.fsencode(ref))
            self.objects.write([], {ticket: left})
            self._link(ticket, packed.with_name("packed-refs.lock"))
            os.replace(packed.with_name("packed-refs.lock"), packed)
            ticket.unlink(missing_ok=True)
        (self.git_dir / ref).unlink(missing_ok=True)

    def _move(self, ref: str, old: str, ticket: Path) -> None:
        # Git's own protocol: whoever makes `<ref>.lock` may replace the ref. Linking a file of ours makes it: another
        # name of that file in our scratch folder tells later that a lock is ours, whoever was killed in between.
        target = self.git_dir / ref
        lock = target.with_name(target.name + ".lock")
        ensure_private_dir(target.parent)
        try:
            self._link(ticket, lock)
            moved = False
            try:
                if self.head(ref) != old:
                    raise RefMoved(f"{ref} of {self.root} was moved by another git", hint="Try again.")
                os.replace(lock, target)
                moved = True
            finally:
                if not moved:
                    lock.unlink(missing_ok=True)
        finally:
            ticket.unlink(missing_ok=True)
        sync_dir(target.parent)

    def _link(self, ticket: Path, lock: Path) -> None:
        end = time.monotonic() + FOREIGN_SECONDS
        while True:
            try:
                os.link(ticket, lock)
                return
            except FileExistsError:
                self.remove_if_stale(lock)
            if time.monotonic() > end and lock.exists():
                raise GitBusy(
                    f"{lock} is held by another git", hint="Remove that file if no git runs in that folder."
                ) from None
            time.sleep(0.02)

    # ------------------------------------------------------------ after a crash

    def tidy(self) -> None:
        """Remove what killed processes left: our scratch files and stale locks of git; under the lock."""
        for name in ("HEAD.lock", "index.lock", "packed-refs.lock"):
            self.remove_if_stale(self.git_dir / name)
        branch = self.git_dir / self.branch()
        self.remove_if_stale(branch.with_name(branch.name + ".lock"))
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.scratch):
                (self.scratch / name).unlink(missing_ok=True)

    def remove_if_stale(self, lock: Path) -> None:
        """Remove a lock of git that nobody can hold: ours (we hold the only lock that allows one), or a dead git's."""
        try:
            found = lock.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        if not self._is_ours(found):
            age = time.time() - found.st_mtime
            if age < (_STALE_SECONDS if sys.platform == "linux" else _STALE_UNSEEN_SECONDS) or self._git_runs():
                return
        lock.unlink(missing_ok=True)

    def _is_ours(self, found: os.stat_result) -> bool:
        if found.st_nlink < 2:
            return False
        with contextlib.suppress(FileNotFoundError):
            return any(entry.inode() == found.st_ino for entry in os.scandir(self.scratch))
        return False

    def _git_runs(self) -> bool:
        """Whether a git of this person's works below this folder (as far as the system tells)."""
        root = os.path.realpath(self.root)
        for pid in filter(str.isdigit, _listed("/proc")):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().startswith("git"):
                    folder = os.readlink(f"/proc/{pid}/cwd")
                    if folder == root or folder.startswith(root + os.sep):
                        return True
        return False

    def pack(self) -> bool:
        """Let git pack the loose objects when there are many; True when it did.

        Takes seconds and holds the lock: for a quiet moment.  Without git they stay loose, which costs only room.
        """
        import subprocess

        from letta_code.host.programs import program_outside, project_top

        loose = sum(len(_listed(self.git_dir / "objects" / f"{byte:02x}")) for byte in range(256))
        program = program_outside("git", os.environ.get("PATH") or os.defpath, project_top(os.curdir))
        if loose < PACK_FROM or program is None:
            return False
        environment = {"PATH": os.environ.get("PATH", ""), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        safe = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.fsync=all"]
        done = subprocess.run(
            [program, "-C", str(self.root), *safe, "repack", "-d", "-l", "-q"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0


def _listed(folder: str | Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _commit_text(tree: str, parents: tuple[str, ...], author: str, message: str) -> bytes:
    name = "".join(sign for sign in author if sign.isprintable() and sign not in "<>").strip() or "letta-code"
    signature = f"{name} <{name.lower().replace(' ', '-')}@letta-code.invalid> {int(time.time())} +0000"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents if parent)]
    text = "\n".join([*lines, f"author {signature}", f"committer {signature}", "", message.rstrip("\n"), ""])
    return text.encode("utf-8", "replace")


def _parsed(sha: str, raw: bytes) -> Commit:
    head, _, message = raw.decode("utf-8", "replace").partition("\n\n")
    tree, author, when, parents = "", "", 0, list[str]()
    for line in head.split("\n"):
        key, _, value = line.partition(" ")
        if key == "tree":
            tree = value
        elif key == "parent":
            parents.append(value)
        elif key == "author":
            author = value.partition(" <")[0]
        elif key == "committer":
            when = _seconds(value)
    return Commit(sha=sha, tree=tree, parents=tuple(parents), author=author, time=when, message=message)


def _seconds(signature: str) -> int:
    try:
        return int(signature.rpartition("> ")[2].split(" ")[0])
    except ValueError:
        return 0  # written by a tool that does not keep to git's form
