"""Mounts: what a command sees of the disk, path by path, as arguments of bubblewrap."""

from __future__ import annotations

import os
from collections.abc import Iterable

from letta_code.safety.places import is_within


class Mounts:
    """A list of mounts in which the deeper path wins, whatever order they were named in.

    So a folder that is hidden stays hidden when a folder above it is made writable, and a folder below one that is
    hidden can be shown where it was `admitted`.  All paths are real and absolute; a later word about the same path
    replaces the earlier one.  What hides comes last but for where the work tree `root` lies in it: a command that still
    runs may put a link on the way to a path of the tree, and what is then mounted elsewhere is hidden all the same.
    Each mount costs a command some 0.3 ms, a file system in memory more: `nothing` is an empty folder to show instead.
    """

    def __init__(self, nothing: str, root: str) -> None:
        self._nothing = nothing
        self._root = root
        self._admitted: list[str] = []
        self._at: dict[str, tuple[str, ...]] = {}

    def read_only(self, path: str, source: str = "") -> None:
        """Show `source` (the path itself) and let nobody write it."""
        self._at[path] = ("--ro-bind", source or path, path)

    def writable(self, path: str, source: str = "") -> None:
        """Show `source` (the path itself) for reading and writing."""
        self._at[path] = ("--bind", source or path, path)

    def hidden(self, folder: str) -> None:
        """An empty folder that nobody writes."""
        self._at[folder] = ("--tmpfs", folder)

    def covered(self, path: str, cover: str) -> None:
        """Show `cover` in place of what is at a path and all below it; nothing where that is not seen anyway."""
        folder = path
        while folder not in self._at and folder != os.sep:
            folder = os.path.dirname(folder)
        mount = self._at.get(folder, ())
        if len(mount) < 3 or mount[1] != folder:  # hidden, of the kernel, or something else is shown there
            return
        self._at = {other: found for other, found in self._at.items() if not is_within(other, path)}
        self.read_only(path, cover)

    def admitted(self, *paths: str) -> None:
        """Places that may be shown though a folder above them is hidden; whatever else lies below one is not."""
        self._admitted += paths

    def special(self, kind: str, folder: str) -> None:
        """`--proc` or `--dev`."""
        self._at[folder] = (kind, folder)

    def argv(self) -> list[str]:
        """The arguments: parents before children, and what is hidden closed for writing at the end."""
        words: list[str] = []
        closed: list[str] = []
        hiding = [path for path, mount in self._at.items() if self._hides(path, mount)]
        folders = [path for path, mount in self._at.items() if mount[0] == "--tmpfs"]
        paths = [path for path in self._at if not self._shows_what_is_hidden(path, folders)]
        paths.sort(key=lambda path: (any(is_within(path, one) for one in hiding), _parts(path)))
        for path, following in zip(paths, [*paths[1:], ""], strict=True):
            mount = self._at[path]
            if mount[0] == "--tmpfs" and not following.startswith(f"{path}/"):
                mount = ("--ro-bind", self._nothing, path)
            elif mount[0] == "--tmpfs":  # places for what is shown below it have to be made
                closed += ("--remount-ro", path)
            words += mount
        return [*words, *closed]

    def _hides(self, path: str, mount: tuple[str, ...]) -> bool:
        return mount[1:] != (path, path) and not is_within(self._root, path)

    def _shows_what_is_hidden(self, path: str, folders: Iterable[str]) -> bool:
        if self._at[path][1:] != (path, path):
            return False
        above = [folder for folder in folders if folder != path and is_within(path, folder)]
        return any(not self._admits(path, folder) for folder in above)

    def _admits(self, path: str, folder: str) -> bool:
        return any(is_within(path, one) and is_within(one, folder) for one in self._admitted)


def _parts(path: str) -> list[str]:
    return [part for part in path.split(os.sep) if part]
