"""Mounts: what a command sees of the disk, path by path, as arguments of bubblewrap."""

from __future__ import annotations

import os


class Mounts:
    """A list of mounts in which the deeper path wins, whatever order they were named in.

    So a folder that is hidden stays hidden when a folder above it is made writable, and a folder below one that is
    hidden can be shown.  All paths are real and absolute; a later word about the same path replaces the earlier one.
    """

    def __init__(self) -> None:
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

    def scratch(self, folder: str, size: int) -> None:
        """An empty folder in memory of at most `size` bytes."""
        self._at[folder] = ("--size", str(size), "--tmpfs", folder)

    def special(self, kind: str, folder: str) -> None:
        """`--proc` or `--dev`."""
        self._at[folder] = (kind, folder)

    def argv(self) -> list[str]:
        """The arguments: parents before children, and what is hidden closed for writing at the end."""
        words: list[str] = []
        for path in sorted(self._at, key=_parts):
            words += self._at[path]
        for path, mount in self._at.items():
            if mount[0] == "--tmpfs":
                words += ("--remount-ro", path)
        return words


def _parts(path: str) -> list[str]:
    return [part for part in path.split(os.sep) if part]
