"""What a snapshot covers: all that the person's git tracks or would show as untracked, nested repositories included.

Our own index remembers what was covered; four git reads side by side tell what is new, changed, gone or ignored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from letta_code.host.files import atomic_write, read_bounded
from letta_code.host.snapshot_store import SnapshotStore

_T = TypeVar("_T")
RULES_LIMIT = 4 << 20  # bytes of one file of ignore rules
_NESTED_LIMIT = 64  # repositories inside the tree
_STANDARD = ("--exclude-standard",)  # with our own info/exclude, which holds the person's rules


class Remembered(msgspec.Struct, frozen=True):
    """What the last take left beside the index; paths are relative to the root, as bytes.

    `top` is the work tree that the index belongs to, `forced` what the index holds against the rules (tracked, or of a
    nested repository), `nested` where those are, `index` which file of the index `tree` was written from; `modes` are
    permission bits that are not `usual`, `fresh` files that changed so lately that git may not see their rights change.
    """

    top: bytes = b""
    root: bytes = b""
    forced: tuple[bytes, ...] = ()
    nested: tuple[bytes, ...] = ()
    tree: str = ""
    index: tuple[int, int, int] = (0, 0, 0)
    modes: dict[bytes, int] = {}
    usual: tuple[int, int] = (0, 0)
    fresh: tuple[bytes, ...] = ()


class Place(NamedTuple):
    """Where the rules come from: `top` is the work tree of the person's repository (the root outside of one)."""

    top: str
    is_repository: bool
    rules_changed: bool


class Covered(NamedTuple):
    """What has to be done to the index: look at `changed`, take `gone` out; `ignored` are paths the rules keep out."""

    changed: set[bytes]
    gone: set[bytes]
    forced: set[bytes]
    nested: tuple[bytes, ...]
    ignored: list[bytes]
    odd: list[tuple[bytes, str]]  # neither file nor link, or not readable: path and why
    empty: tuple[bytes, ...] = ()  # folders with nothing in them


class Cover:
    """Looks at one work tree; `without` are real paths of folders that are never covered."""

    def __init__(self, store: SnapshotStore, without: Sequence[str]) -> None:
        self._store = store
        self._root = os.fsencode(store.root)
        self._without = [os.fsencode(os.path.relpath(path, store.root)) + b"/" for path in without]
        self._without = [path for path in self._without if not path.startswith(b"../")]

    def place(self) -> Place:
        """Find the person's repository and copy its ignore rules, which our git then goes by."""
        ask = self._store.theirs
        top_line, exclude, excludes = _together(
            lambda: ask("rev-parse", "--show-toplevel"),
            lambda: ask("rev-parse", "--git-path", "info/exclude"),
            lambda: ask("config", "--type=path", "-z", "--get", "core.excludesFile"),
        )
        top = os.fsdecode(top_line[:-1]) if top_line else ""
        inside = bool(top) and (self._store.root + "/").startswith(top.rstrip("/") + "/")
        if inside and top != self._store.root:  # a project in a folder that the repository around it ignores
            inside = ask("check-ignore", "-q", "--no-index", ".") is None
        top = top if inside else self._store.root
        own = [_rules(os.path.join(self._store.root, os.fsdecode(exclude[:-1])))] if exclude and inside else []
        general = os.fsdecode(excludes[:-1]) if excludes else _default_excludes()
        lines = [b"/" + _pattern(self._from_top(path, top)) for path in self._without if b"\n" not in path]
        return Place(top, inside, self._set_rules(b"\n".join([_rules(general), *own, *lines, b""])))

    def _from_top(self, path: bytes, top: str) -> bytes:
        return os.path.relpath(os.path.join(self._root, path), os.fsencode(top)) + b"/"

    def _set_rules(self, rules: bytes) -> bool:
        file = self._store.folder / "info" / "exclude"
        if _rules(str(file)) == rules:
            return False
        atomic_write(file, rules, durable=False, follow=False)
        return True

    def look(self, place: Place, last: Remembered) -> Covered:
        """Compare the tree with the index."""
        git, top = self._store.git, place.top
        others, differing, forced_list, ignored = _together(
            lambda: git("ls-files", "-z", "-o", *_STANDARD, top=top),
            lambda: git("diff-files", "-z", "--raw", "--no-renames", "--relative", top=top),
            lambda: self._tracked_but_ignored(place),
            lambda: git("ls-files", "-z", "-o", "-i", "--directory", *_STANDARD, top=top),
        )
        new, tracked = _paths(others), _paths(forced_list)
        changed, gone = _differing(differing)
        found = [path for path in [*new, *tracked, *last.nested] if path.endswith(b"/") or self._is_repository(path)]
        nested, forced, inner_ignored, odd = self._nested(_unique(path.rstrip(b"/") + b"/" for path in found))
        forced |= {path for path in tracked if path + b"/" not in nested}
        below = _Below(nested)
        changed |= {path for path in new if not path.endswith(b"/") and path not in below}
        changed |= forced - set(last.forced)
        outside = {path for path in _paths(ignored) if path not in forced}
        kept_out = sorted(path for path in outside if path not in below) + inner_ignored
        gone |= self._no_more(place, last, changed | gone, forced, nested)
        unwanted = _Below(tuple(self._without))
        gone |= {path for path in changed | forced if path in unwanted}
        found_odd, empty = self._odd(set(kept_out) | set(self._without))
        return Covered(changed - gone, gone, forced, nested, kept_out, odd + found_odd, empty)

    def _tracked_but_ignored(self, place: Place) -> bytes:
        if not place.is_repository:
            return b""
        rules = str(self._store.folder / "info" / "exclude")
        arguments = ("ls-files", "-z", "-c", "-i", "--exclude-per-directory=.gitignore", "-X", rules)
        return self._store.theirs(*arguments) or b""

    def _no_more(
        self, place: Place, last: Remembered, changed: set[bytes], forced: set[bytes], nested: tuple[bytes, ...]
    ) -> set[bytes]:
        """What the index holds and the rules do not want any more."""
        given_up = set(last.forced) - forced
        listing: list[bytes] = []
        rules = place.rules_changed or given_up or set(last.nested) - set(nested)
        if last.index != (0, 0, 0) and (rules or any(path.endswith(b".gitignore") for path in changed)):
            listing += _paths(self._store.git("ls-files", "-z", "-c", "-i", *_STANDARD, top=place.top))
        if nested and last.index != (0, 0, 0):
            inside = self._store.git("ls-files", "-z", "-c", "--", *map(os.fsdecode, nested), top=place.top)
            listing += _paths(inside)
        return {path for path in listing if path not in forced}

    # ------------------------------------------------------------ repositories inside the tree

    def _is_repository(self, path: bytes) -> bool:
        return os.path.lexists(os.path.join(self._root, path, b".git"))

    def _nested(self, found: list[bytes]) -> tuple[tuple[bytes, ...], set[bytes], list[bytes], list[tuple[bytes, str]]]:
        """The repositories inside, their files, what their rules keep out, and what is too much."""
        nested, files, ignored = list[bytes](), set[bytes](), list[bytes]()
        odd: list[tuple[bytes, str]] = []
        waiting = found[::-1]
        while waiting:
            path = waiting.pop()
            if path in nested or not self._is_repository(path) or path in _Below(tuple(self._without)):
                continue
            if len(nested) == _NESTED_LIMIT:
                odd.append((path, f"nested repository: only {_NESTED_LIMIT} of them are covered"))
                continue
            nested.append(path)
            inner, inner_ignored = self._inside(path)
            ignored += [path + name for name in inner_ignored]
            deeper = {path + name.rstrip(b"/") + b"/" for name in inner if name.endswith(b"/")}
            deeper |= {path + name + b"/" for name in inner if self._is_repository(path + name)}
            files |= {path + name for name in inner if path + name.rstrip(b"/") + b"/" not in deeper}
            waiting += sorted(deeper)
        return tuple(sorted(nested)), files, ignored, odd

    def _inside(self, path: bytes) -> tuple[set[bytes], list[bytes]]:
        """Files of a nested repository by its own rules and its own index, and what its rules keep out."""
        cwd = os.path.join(self._store.root, os.fsdecode(path))
        own = self._store.theirs("rev-parse", "--git-path", "info/exclude", cwd=cwd)
        file = self._store.folder / "info" / "exclude-nested"
        rules = _rules(os.path.join(cwd, os.fsdecode(own[:-1]))) if own else b""
        atomic_write(file, rules, durable=False, follow=False)
        empty = {"GIT_INDEX_FILE": str(self._store.folder / "index-none")}
        list_others = ("ls-files", "-z", "-o", *_STANDARD, "-X", str(file))

        def others(*more: str) -> bytes:
            return self._store.git(*list_others, *more, top=cwd, cwd=cwd, more=empty)

        new, ignored, tracked = _together(
            others,
            lambda: others("-i", "--directory"),
            lambda: self._store.theirs("ls-files", "-z", "-c", cwd=cwd) or b"",
        )
        own_files = set(_paths(tracked))
        return set(_paths(new)) | own_files, [name for name in _paths(ignored) if name not in own_files]

    # ------------------------------------------------------------ what is no file

    def _odd(self, skipped: set[bytes]) -> tuple[list[tuple[bytes, str]], tuple[bytes, ...]]:
        """FIFOs, sockets, devices, unreadable folders, and folders with nothing in them: git passes them over."""
        odd: list[tuple[bytes, str]] = []
        empty: list[bytes] = []
        waiting = [b""]
        while waiting:
            above = waiting.pop()
            try:
                with os.scandir(os.path.join(self._root, above)) as entries:
                    nothing = bool(above)
                    for entry in entries:
                        nothing = False
                        path = above + entry.name
                        if entry.is_dir(follow_symlinks=False):
                            if entry.name != b".git" and path + b"/" not in skipped:
                                waiting.append(path + b"/")
                        elif not (entry.is_file(follow_symlinks=False) or entry.is_symlink() or path in skipped):
                            odd.append((path, "socket or device"))
                    if nothing:
                        empty.append(above.rstrip(b"/"))
            except FileNotFoundError:
                continue
            except OSError as error:
                odd.append((above, f"unreadable: {error.strerror}"))
        return odd, tuple(empty)


class _Below:
    """Paths below one of some folders (each with its slash at the end)."""

    def __init__(self, folders: tuple[bytes, ...]) -> None:
        self._folders = folders

    def __contains__(self, path: bytes) -> bool:
        return path.startswith(self._folders) if self._folders else False


def _together(*calls: Callable[[], _T]) -> list[_T]:
    """The answers of calls that run side by side."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def _paths(output: bytes) -> list[bytes]:
    return output.split(b"\0")[:-1]


def _unique(paths: Iterable[bytes]) -> list[bytes]:
    return list(dict.fromkeys(paths))


def _differing(output: bytes) -> tuple[set[bytes], set[bytes]]:
    """`diff-files --raw -z`: paths that changed and paths that are gone."""
    changed, gone = set[bytes](), set[bytes]()
    fields = output.split(b"\0")
    for head, path in zip(fields[::2], fields[1::2], strict=False):
        (gone if head.endswith(b"D") else changed).add(path)
    return changed, gone


def _rules(path: str) -> bytes:
    """A file of ignore rules; what is no file, or none of a sane size, has no rules."""
    try:
        return read_bounded(Path(path), RULES_LIMIT)
    except (OSError, ValueError):
        return b""


def _default_excludes() -> str:
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "git", "ignore")


def _pattern(path: bytes) -> bytes:
    """A path as an ignore rule that means just it."""
    return b"".join(b"\\" + bytes([sign]) if sign in b"\\*?[]!# " else bytes([sign]) for sign in path)


def described(ignored: Collection[bytes]) -> str:
    """What the rules keep out, in a sentence; "" for nothing."""
    if not ignored:
        return ""
    names = ", ".join(path.decode("utf-8", "backslashreplace") for path in list(ignored)[:3])
    more = ", …" if len(ignored) > 3 else ""
    word = "file or folder is" if len(ignored) == 1 else "files and folders are"
    return f"{len(ignored)} ignored {word} not covered ({names}{more})"
