"""The object store of snapshots: a git folder of our own, beside no repository and deaf to every configuration."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from letta_code.core.errors import WorkspaceError
from letta_code.host.files import atomic_write, ensure_private_dir
from letta_code.host.git import ENVIRONMENT, QUIET, hardened
from letta_code.host.locks import FileLock, LockTimeout
from letta_code.host.programs import outside, program_outside, project_top

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git knows it without an object
_LOCK_WAIT = 60.0  # seconds
_TIMEOUT = 300.0  # seconds of one git process: a FIFO named .gitignore would hold it for ever
_CONFIG = b"""[core]
	repositoryformatversion = 0
	bare = false
	fileMode = true
	symlinks = true
	ignoreCase = false
	precomposeUnicode = false
	protectNTFS = false
	protectHFS = false
	preloadIndex = true
	compression = 1
[gc]
	auto = 0
"""
# What stands here wins over every .gitattributes: bytes are kept as they are, and no filter has a name.
_ATTRIBUTES = b"* -text -crlf -eol -ident -filter !working-tree-encoding\n"
_FULL = ("No space left on device", "Disk quota exceeded", "Out of diskspace")
# git frees its memory after each file, and glibc gives it back to the system each time: half of the first take.
_MEMORY: Mapping[str, str] = {
    "MALLOC_TOP_PAD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(512 << 20),
}


class Done(NamedTuple):
    """How a git process ended."""

    code: int
    output: bytes
    problem: str


class GitFailed(WorkspaceError):
    """Our own git could not do something; the index may be damaged."""


class NoRoom(WorkspaceError):
    """The disk of the store is full."""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process with its session, unless it was waited for."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


class SnapshotStore:
    """Runs git on the store at `folder`; `root` is the real path of the work tree."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.root = os.path.realpath(root)
        self._lock: FileLock | None = None
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._guard = threading.Lock()

    def stop(self) -> None:
        """End the git processes that go on, from any thread; nothing is begun here any more."""
        with self._guard:
            self._stopped = True
            for process in self._running:
                _kill(process)

    @contextmanager
    def _started(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Meanwhile `stop` ends it; at the end it has ended, with all that it started."""
        with self._guard:
            self._running.add(process)
            if self._stopped:
                _kill(process)
        try:
            yield
        finally:
            with self._guard:  # what was waited for may have lent its number to another process
                self._running.discard(process)
                _kill(process)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store alone, made if needed; git processes started meanwhile hold it with us, and after us."""
        if not os.path.isdir(self.root):
            raise WorkspaceError(
                f"The folder {self.root} is not there any more", hint="Start letta-code in a folder that exists."
            )
        lock = FileLock(self.folder / "lock", what="snapshots")
        with _said(f"The snapshots in {self.folder} cannot be used"):
            try:
                lock.acquire(_LOCK_WAIT)
            except LockTimeout as error:
                holder = error.owner.described() if error.owner else "another process"
                raise WorkspaceError(
                    f"The snapshots of {self.root} are in use by {holder}", hint="Try again when that is done."
                ) from error
            try:
                self._lock = lock
                self._prepare()
                yield
            finally:
                self._lock = None
                lock.release()

    def _prepare(self) -> None:
        if not (self.folder / "HEAD").exists():
            for name in ("objects/pack", "objects/info", "refs/kept", "info"):
                ensure_private_dir(self.folder / name)
            atomic_write(self.folder / "config", _CONFIG, durable=False, follow=False)
            atomic_write(self.folder / "info" / "attributes", _ATTRIBUTES, durable=False, follow=False)
            atomic_write(self.folder / "HEAD", b"ref: refs/heads/none\n", durable=False, follow=False)
        with suppress(FileNotFoundError):
            (self.folder / "index.lock").unlink()  # of a process that was killed: we hold the store alone

    def objects(self) -> set[str]:
        """The files in which objects are, half-made ones included."""
        return {f"{above}/{name}" for above, _, names in os.walk(self.folder / "objects") for name in names}

    def sweep(self) -> None:
        """Remove half-made objects of processes that were killed: nobody makes any, as we hold the store alone."""
        for path in self.objects():
            if os.path.basename(path).startswith(("tmp_", ".tmp-")):
                with suppress(FileNotFoundError):
                    os.unlink(path)

    # ------------------------------------------------------------ processes

    def git(
        self,
        *arguments: str,
        top: str,
        cwd: str = "",
        feed: bytes | None = None,
        settings: tuple[str, ...] = (),
        more: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run git on the store with the work tree `top` in `cwd` (the root); raises `GitFailed`, `WorkspaceError`."""
        done = self._run(
            hardened(*arguments, without=settings),
            env={**self.environment(top), **(more or {})},
            cwd=cwd or self.root,
            feed=feed,
        )
        if done.code:
            raise self.failed(arguments[0], done.problem)
        return done.output

    def failed(self, what: str, problem: str) -> WorkspaceError:
        """The error of a git process of the store that said `problem`."""
        if any(word in problem for word in _FULL):
            return NoRoom(
                f"There is no room for a snapshot in {self.folder}",
                hint="Free some space there; nothing else was changed.",
            )
        return GitFailed(
            f"git {what} failed for the snapshots in {self.folder}: {problem or 'no reason given'}",
            hint=f"If it goes on, remove {self.folder}: it holds nothing but checkpoints of files.",
        )

    def environment(self, top: str) -> dict[str, str]:
        """The environment of our own git: nothing of the person's git is in it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        return {
            **kept,
            **ENVIRONMENT,
            **_MEMORY,
            "GIT_DIR": str(self.folder),
            "GIT_WORK_TREE": top,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_LITERAL_PATHSPECS": "1",
        }

    def theirs(self, *arguments: str, cwd: str = "") -> bytes | None:
        """Read the person's repository, hardened and without optional locks; None when git says no."""
        kept = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
        env = {**kept, **ENVIRONMENT, **QUIET}
        done = self._run(hardened(*arguments), env=env, cwd=cwd or self.root, feed=None)
        return None if done.code else done.output

    def _run(self, argv: list[str], *, env: Mapping[str, str], cwd: str, feed: bytes | None) -> Done:
        held = (self._lock.fileno(),) if self._lock is not None else ()
        if self._stopped:
            raise WorkspaceError("The snapshot was stopped", hint="Open the conversation again for the next one.")
        try:
            with (
                subprocess.Popen(
                    self._found(argv),
                    cwd=cwd,
                    env=env,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                    pass_fds=held,
                ) as process,
                self._started(process),
            ):
                output, problem = process.communicate(feed or b"", timeout=_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise WorkspaceError(
                f"git did not end within {_TIMEOUT:.0f} s in {cwd}, so there is no snapshot",
                hint="Look for a .gitignore that is no file (a FIFO), or for a file system that does not answer.",
            ) from error
        except FileNotFoundError as error:
            raise self._missing(cwd) from error
        except OSError as error:
            raise WorkspaceError(f"git cannot be started: {error}", hint="Checkpoints of files need git.") from error
        if self._stopped:
            raise WorkspaceError("The snapshot was stopped", hint="Open the conversation again for the next one.")
        return Done(process.returncode, output, problem.decode("utf-8", "replace").strip()[-2000:])

    def _found(self, argv: list[str]) -> list[str]:
        """The command with the git of this machine, not one of the work tree or of the project that we were started in.

        The two differ where the stores of all projects are looked after.
        """
        path = outside(os.environ.get("PATH") or os.defpath, project_top(os.curdir))
        program = program_outside(argv[0], path, self.root)
        if program is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
        return [program, *argv[1:]]

    def _missing(self, cwd: str) -> WorkspaceError:
        if not os.path.isdir(cwd):
            return WorkspaceError(f"The folder {cwd} is not there any more", hint="Make it again, or start elsewhere.")
        return WorkspaceError(
            "There is no git on this machine, and checkpoints of files need it",
            hint="Install git; conversation and memory can be rewound without it.",
        )

    @contextmanager
    def process(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A git process on the store with pipes, killed at the end of the block."""
        try:
            running = subprocess.Popen(
                self._found(hardened(*arguments)),
                cwd=self.root,
                env=self.environment(self.root),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise self._missing(self.root) from error
        with running:
            try:
                yield running
            finally:
                running.kill()


_MISLEADING = frozenset(
    [
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_EXTERNAL_DIFF", "GIT_COMMON_DIR"),
        *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_LITERAL_PATHSPECS"),
        *("GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS", "GIT_ICASE_PATHSPECS", "GIT_GLOB_PATHSPECS"),
    ]
)


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Turn an `OSError` of the store into an error that a person can read."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "Free some space there." if full else "Look at the rights of that folder."
        raise WorkspaceError(f"{what}: {error.strerror or error}", hint=hint) from error
