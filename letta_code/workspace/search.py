"""Search and walk: by ripgrep, or by Python where it is missing, with the same results on everyday trees."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial

from letta_code.core.errors import WorkspaceError
from letta_code.host.process import Launcher, run
from letta_code.workspace import ripgrep
from letta_code.workspace.globs import matcher
from letta_code.workspace.paths import LocalHandle, failed, open_folder, shown
from letta_code.workspace.workspace import Found, SearchLine, SearchQuery, Walked

TIME_LIMIT = 30.0  # seconds of a search or walk
MOST_WALKED = 200_000  # files that a walk looks at
MOST_FILES = 5_000  # files with matches that are collected, to show the newest of them
_PROBLEM = 300  # characters of an engine's complaint


class Search:
    """Runs searches below a work tree; `rg` is the program, None for the Python engine."""

    def __init__(self, launcher: Launcher, environment: Mapping[str, str], rg: str | None) -> None:
        self._launcher = launcher
        self._rg = rg
        self._env = {name: environment[name] for name in ("HOME", "PATH", "LANG", "LC_ALL") if name in environment}

    async def walk(self, handle: LocalHandle, glob: str, limit: int, ignored: bool) -> Walked:
        """Files below a folder that match, newest first."""
        _need_folder(handle)
        with _pinned(handle, by_descriptor=self._rg is not None) as folder:
            return await self._walk(folder, glob, limit, ignored)

    async def _walk(self, folder: str, glob: str, limit: int, ignored: bool) -> Walked:
        wanted = matcher(glob).fullmatch if glob else None
        names: list[str] = []
        full = asyncio.Event()

        def found(name: str) -> None:
            if wanted is None or wanted(name):
                names.append(name)
            if len(names) >= MOST_WALKED:
                full.set()

        if self._rg is None:
            from letta_code.workspace import python_search

            cut = await asyncio.to_thread(python_search.walk, folder, found, full, ignored, TIME_LIMIT)
        else:
            command = ripgrep.listing(self._rg, ignored=ignored)
            _, cut = await self._run(command, folder, ripgrep.Names(found).add, full)
        newest = await asyncio.to_thread(_newest_first, folder, names, limit)
        return Walked(paths=tuple(shown(name) for name in newest), more=cut or len(names) > limit)

    async def search(self, handle: LocalHandle, query: SearchQuery) -> Found:
        """Lines or files that match."""
        if handle.kind not in ("file", "directory"):
            raise WorkspaceError(
                f"{handle.given} does not exist."
                if handle.kind == "missing"
                else f"{handle.given} is a device, FIFO or socket; such files are never opened."
            )
        target = os.path.basename(handle.raw) if handle.kind == "file" else ""
        with _pinned(handle, by_descriptor=self._rg is not None) as folder:
            found = await self._search(folder, target, query)
            if target:
                _same_file(handle, folder)
            return found

    async def _search(self, folder: str, target: str, query: SearchQuery) -> Found:
        collected = _Collected(folder, query)
        if self._rg is None:
            from letta_code.workspace import python_search

            job = partial(python_search.search, folder, target, query, collected, TIME_LIMIT)
            problem, cut = await asyncio.to_thread(job)
        else:
            command = ripgrep.searching(self._rg, query, f"./{target}")
            problem, cut = await self._run(command, folder, collected.sink(), collected.full)
        return await asyncio.to_thread(collected.result, problem, cut)

    async def _run(
        self, command: list[str], folder: str, sink: Callable[[bytes], None], full: asyncio.Event
    ) -> tuple[str, bool]:
        """Run ripgrep; returns its complaint and whether it was stopped before its end."""
        errors = bytearray()

        def complain(data: bytes) -> None:
            if len(errors) < 10_000:
                errors.extend(data)

        def take(data: bytes) -> None:
            if not full.is_set():
                sink(data)

        try:
            outcome = await run(
                self._launcher,
                command,
                cwd=folder,
                env=self._env,
                stdout=take,
                stderr=complain,
                timeout=TIME_LIMIT,
                stop=full,
            )
        except (OSError, ValueError) as error:
            raise WorkspaceError(f"The search could not be started: {error}.") from error
        complaint = errors.decode("utf-8", "replace").strip()
        if outcome.timed_out:
            return f"stopped after {TIME_LIMIT:g} s; name a smaller folder or a glob", True
        if outcome.exit_code == 2 and ("regex" in complaint or "unrecognized file type" in complaint):
            raise WorkspaceError(_short(complaint) + "\nFor a plain text set literal.")
        return _short(complaint), full.is_set()


class _Collected:
    """What a search has found so far, until it is enough."""

    def __init__(self, folder: str, query: SearchQuery) -> None:
        self.full = asyncio.Event()
        self._folder = folder
        self._query = query
        self._globs = [matcher(glob).fullmatch for glob in ripgrep.path_globs(query)]
        self._lines: dict[str, list[SearchLine]] = {}
        self._count = 0

    def sink(self) -> Callable[[bytes], None]:
        """What reads ripgrep's output for this query."""
        match self._query.mode:
            case "content":
                from letta_code.workspace.ripgrep_lines import Lines

                return Lines(self.line).add
            case "files":
                return ripgrep.Names(self.file).add
            case "count":
                return ripgrep.Counts(self.file).add

    def wants(self, name: str) -> bool:
        """Whether a path is one of those asked for."""
        return not self._globs or any(glob(name) for glob in self._globs)

    def line(self, name: str, line: SearchLine) -> None:
        """A line of a file."""
        if self.full.is_set() or (name not in self._lines and not self.wants(name)):
            return
        self._lines.setdefault(name, []).append(line)
        self._count += 1
        if self._count > self._query.limit:
            self.full.set()

    def file(self, name: str, count: int = 0) -> None:
        """A file with matches."""
        if self.full.is_set() or not self.wants(name):
            return
        self._lines[name] = [SearchLine(path=shown(name), count=count)]
        self._count += 1
        if self._count > max(MOST_FILES, self._query.limit):
            self.full.set()

    def result(self, problem: str, cut: bool) -> Found:
        """In order: lines by path, files newest first."""
        if self._query.mode == "content":
            order = sorted(self._lines)
        else:
            order = _newest_first(self._folder, list(self._lines), len(self._lines))
        lines = [line for name in order for line in self._lines[name]]
        more = cut or len(lines) > self._query.limit
        return Found(lines=tuple(lines[: self._query.limit]), more=more, problem=problem)


def _newest_first(folder: str, names: list[str], limit: int) -> list[str]:
    """By time of change, the newest first, then by name; what is gone meanwhile comes last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:

        def age(name: str) -> tuple[int, str]:
            try:
                return -os.stat(name, dir_fd=fd, follow_symlinks=False).st_mtime_ns, name
            except OSError:
                return time.time_ns(), name

        return sorted(names, key=age)[:limit]
    finally:
        os.close(fd)


@contextmanager
def _pinned(handle: LocalHandle, *, by_descriptor: bool) -> Generator[str]:
    """The folder of a search by a path that no link put in since the judgement can lead elsewhere.

    On Linux it is our open descriptor, by its name in /proc.  Elsewhere, and for the Python engine, which looks at the
    folders above by their names, the path is looked at before and after.
    """
    path = os.path.dirname(handle.raw) if handle.kind == "file" else handle.raw
    try:
        fd = open_folder(path)
    except OSError as error:
        raise failed(error, handle.given) from error
    try:
        if handle.kind == "file":
            _same_file(handle, path, fd)
        elif not _is(os.fstat(fd), handle):
            raise _replaced(handle)
        if by_descriptor and sys.platform == "linux":
            yield f"/proc/{os.getpid()}/fd/{fd}"
        else:
            yield path
            _unmoved(handle, path, os.fstat(fd))
    finally:
        os.close(fd)


def _unmoved(handle: LocalHandle, path: str, judged: os.stat_result) -> None:
    try:
        again = open_folder(path)
    except OSError as error:
        raise failed(error, handle.given) from error
    try:
        status = os.fstat(again)
    finally:
        os.close(again)
    if (status.st_dev, status.st_ino) != (judged.st_dev, judged.st_ino):
        raise _replaced(handle)


def _same_file(handle: LocalHandle, folder: str, fd: int | None = None) -> None:
    """Raises when the file that was judged is not the one that is there now: the engine may have read another one."""
    name = os.path.basename(handle.raw)
    try:
        status = os.lstat(os.path.join(folder, name)) if fd is None else os.lstat(name, dir_fd=fd)
    except OSError as error:
        raise failed(error, handle.given) from error
    if not _is(status, handle):
        raise _replaced(handle)


def _is(status: os.stat_result, handle: LocalHandle) -> bool:
    return (status.st_dev, status.st_ino) == (handle.identity.device, handle.identity.inode)


def _replaced(handle: LocalHandle) -> WorkspaceError:
    return WorkspaceError(f"{handle.given} was replaced by something else meanwhile; make the call again.")


def _need_folder(handle: LocalHandle) -> None:
    if handle.kind == "missing":
        raise WorkspaceError(f"{handle.given} does not exist.")
    if handle.kind != "directory":
        raise WorkspaceError(f"{handle.given} is not a directory.")


def _short(text: str) -> str:
    return text if len(text) <= _PROBLEM else text[:_PROBLEM] + "…"
