"""The search engine without ripgrep: slower, the same answers on everyday trees (a test compares both)."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import pathspec

from letta_code.core.errors import WorkspaceError
from letta_code.workspace.globs import matcher
from letta_code.workspace.paths import shown
from letta_code.workspace.ripgrep_lines import lines_of
from letta_code.workspace.workspace import SearchLine, SearchQuery

LARGEST = 20_000_000  # bytes; larger files are left out and told
_BINARY_LOOK = 65_536  # bytes in which a NUL makes a file binary
_IGNORE_FILES = (".gitignore", ".ignore")  # the later one wins

_TYPES = {
    "c": "*.[ch]",
    "cpp": "*.{cpp,cc,cxx,hpp,hh,hxx,h,inl}",
    "css": "*.{css,scss}",
    "go": "*.go",
    "html": "*.{htm,html,ejs}",
    "java": "*.{java,jsp,jspx,properties}",
    "js": "*.{js,jsx,vue,cjs,mjs}",
    "json": "*.{json,sarif}",
    "md": "*.{markdown,md,mdown,mdwn,mdx,mkd,mkdn}",
    "py": "*.{py,pyi}",
    "rust": "*.rs",
    "sh": "*.{sh,bash,zsh,ksh}",
    "toml": "*.toml",
    "ts": "*.{ts,tsx,cts,mts}",
    "txt": "*.txt",
    "yaml": "*.{yaml,yml}",
}


class Full(Protocol):
    """Says that enough was found (an asyncio event, only read here)."""

    def is_set(self) -> bool:
        """Whether to stop."""
        ...


class Collected(Protocol):
    """Where results go."""

    @property
    def full(self) -> Full:
        """Set when enough was found."""
        ...

    def wants(self, name: str) -> bool:
        """Whether a path is asked for."""
        ...

    def line(self, name: str, line: SearchLine) -> None:
        """A line found."""
        ...

    def file(self, name: str, count: int = 0) -> None:
        """A file found."""
        ...


class _Rules:
    """The ignore files that hold in one folder, the nearest first."""

    def __init__(self, folder: str, outer: _Rules | None) -> None:
        self._folder = folder
        self._outer = outer
        self._specs = [spec for name in reversed(_IGNORE_FILES) if (spec := _spec(os.path.join(folder, name)))]

    def ignore(self, path: str, is_folder: bool) -> bool:
        rules: _Rules | None = self
        while rules is not None:
            relative = os.path.relpath(path, rules._folder) + ("/" if is_folder else "")
            for spec in rules._specs:
                verdict = spec.check_file(relative).include
                if verdict is not None:
                    return verdict
            rules = rules._outer
        return False


def _spec(path: str) -> pathspec.GitIgnoreSpec | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            return pathspec.GitIgnoreSpec.from_lines(file.read(1_000_000).decode("utf-8", "replace").splitlines())
    except (OSError, ValueError):
        return None


def _outer_rules(folder: str) -> _Rules | None:
    """The rules of the folders above, up to the repository's top."""
    chain: list[str] = []
    above = folder
    while not os.path.exists(os.path.join(above, ".git")):
        parent = os.path.dirname(above)
        if parent == above:
            chain = []  # no repository: what lies above is not ours
            break
        chain.append(parent)
        above = parent
    rules: _Rules | None = None
    for path in reversed(chain):
        rules = _Rules(path, rules)
    return rules


def files_below(folder: str, *, ignored: bool, hidden: bool) -> Iterator[str]:
    """Relative names of the regular files below a folder, links not followed."""

    def inner(path: str, prefix: str, outer: _Rules | None) -> Iterator[str]:
        rules = None if ignored else _Rules(path, outer)
        try:
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name == ".git" or (not hidden and entry.name.startswith(".")):
                continue
            if rules is not None and rules.ignore(entry.path, is_folder):
                continue
            if is_folder:
                yield from inner(entry.path, f"{prefix}{entry.name}/", rules)
            elif entry.is_file(follow_symlinks=False):
                yield prefix + entry.name

    return inner(folder, "", None if ignored else _outer_rules(folder))


def walk(folder: str, found: Callable[[str], None], full: Full, ignored: bool, seconds: float) -> bool:
    """Tell every file; True when stopped before the end."""
    end = time.monotonic() + seconds
    for name in files_below(folder, ignored=ignored, hidden=True):
        if full.is_set() or time.monotonic() > end:
            return True
        found(name)
    return False


def search(folder: str, target: str, query: SearchQuery, collected: Collected, seconds: float) -> tuple[str, bool]:
    """Search one file (`target`) or all below a folder; returns a complaint and whether it stopped before the end."""
    pattern = _pattern(query)
    end = time.monotonic() + seconds
    skipped = 0
    names = [target] if target else files_below(folder, ignored=query.no_ignore, hidden=query.hidden)
    excluded = [matcher(glob[1:]).fullmatch for glob in query.globs if glob.startswith("!")]
    chosen = [matcher(glob).fullmatch for glob in _positive(query)]
    for name in names:
        if collected.full.is_set():
            return "", True
        if time.monotonic() > end:
            return f"stopped after {seconds:g} s; name a smaller folder or a glob", True
        if not target and (
            any(_covers(glob, name) for glob in excluded)
            or (chosen and not any(glob(name) for glob in chosen))
            or not collected.wants(name)
        ):
            continue
        data = _text_of(os.path.join(folder, name))
        if data is None:
            skipped += 1
        elif data:
            _search_file(name, data, pattern, query, collected)
    return (f"{skipped} files over {LARGEST:,} bytes were left out" if skipped else ""), False


def _positive(query: SearchQuery) -> list[str]:
    if not query.file_type:
        return [glob for glob in query.globs if not glob.startswith("!")]
    if query.file_type not in _TYPES:
        raise WorkspaceError(f"File type {query.file_type!r} is not known; use a glob. Known: {', '.join(_TYPES)}.")
    return [_TYPES[query.file_type]]


def _covers(glob: Callable[[str], object], name: str) -> bool:
    """Whether a glob means a file or a folder above it."""
    parts = name.split("/")
    return any(glob("/".join(parts[: count + 1])) for count in range(len(parts)))


def _pattern(query: SearchQuery) -> re.Pattern[bytes]:
    flags = re.MULTILINE | (re.IGNORECASE if query.ignore_case else 0) | (re.DOTALL if query.multiline else 0)
    text = re.escape(query.pattern) if query.literal else query.pattern
    try:
        return re.compile(text.encode("utf-8", "surrogateescape"), flags)
    except re.error as error:
        raise WorkspaceError(f"regex parse error: {error}\nFor a plain text set literal.") from error


def _text_of(path: str) -> bytes | None:
    """A text file's bytes; nothing for binary, unreadable or special files, None for a file that is too large."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return b""
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return b""
        head = file.read(_BINARY_LOOK)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")) and status.st_size <= LARGEST:
            return (head + file.read()).decode("utf-16", "replace").encode()
        if b"\0" in head:
            return b""
        if status.st_size > LARGEST:
            return None
        data = head + file.read()
    return b"" if b"\0" in data else data.removeprefix(b"\xef\xbb\xbf")


def _search_file(name: str, data: bytes, pattern: re.Pattern[bytes], query: SearchQuery, collected: Collected) -> None:
    if query.mode == "files":
        if _first(pattern, data, query.multiline):
            collected.file(name)
        return
    hits = _hits(pattern, data, query.multiline)
    if query.mode == "count":
        if hits:
            collected.file(name, len(hits))
        return
    lines = data.removesuffix(b"\n").split(b"\n")
    numbers: dict[int, bool] = {}
    for first, last, _ in hits:
        for number in range(max(first - query.before, 0), min(last + query.after + 1, len(lines))):
            numbers[number] = numbers.get(number, False) or first <= number <= last
    at = {first: column for first, _, column in reversed(hits)}
    for number in sorted(numbers):
        for line in lines_of(shown(name), number + 1, lines[number], at.get(number, 0), numbers[number]):
            collected.line(name, line)
        if collected.full.is_set():
            return


def _first(pattern: re.Pattern[bytes], data: bytes, multiline: bool) -> bool:
    if multiline:
        return pattern.search(data) is not None
    return any(pattern.search(line.removesuffix(b"\r")) for line in data.removesuffix(b"\n").split(b"\n"))


def _hits(pattern: re.Pattern[bytes], data: bytes, multiline: bool) -> list[tuple[int, int, int]]:
    """(first line, last line, column) of each match, lines counted from 0; one a line unless multiline."""
    if not multiline:
        lines = data.removesuffix(b"\n").split(b"\n")
        found = ((number, pattern.search(line.removesuffix(b"\r"))) for number, line in enumerate(lines))
        return [(number, number, match.start()) for number, match in found if match]
    hits: list[tuple[int, int, int]] = []
    for match in pattern.finditer(data):
        first = data.count(b"\n", 0, match.start())
        last = data.count(b"\n", 0, max(match.end() - 1, match.start()))
        hits.append((first, last, match.start() - (data.rfind(b"\n", 0, match.start()) + 1)))
    return hits
