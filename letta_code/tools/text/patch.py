"""Patches in the envelope that some models are trained on: from text to what is wanted of each file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from letta_code.core.messages import Value

BEGIN, END = "*** Begin Patch", "*** End Patch"
ADD, UPDATE, DELETE = "*** Add File:", "*** Update File:", "*** Delete File:"
MOVE, END_OF_FILE = "*** Move to:", "*** End of File"
# The header of a unified diff: its numbers are no use here, what stands after it may be cut short.
_NUMBERED = re.compile(r"@@ -\d+(,\d+)? \+\d+(,\d+)? @@")


class PatchError(Exception):
    """The patch cannot be read; the message names the line of the patch."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"Line {line} of the patch: {message}")


class Hunk(Value):
    """One place of change: `lines` are (kind, text), the kind one of space, `-` and `+`.

    `headers` are lines of the file that stand before the place, outermost first; `line` is where the hunk begins in the
    patch; `at_end` says that it reaches the end of the file.
    """

    line: int
    headers: tuple[str, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    at_end: bool = False

    @property
    def old(self) -> list[str]:
        """The lines that must stand in the file."""
        return [text for kind, text in self.lines if kind != "+"]


class AddFile(Value):
    """A new file with its lines."""

    path: str
    lines: tuple[str, ...]


class DeleteFile(Value):
    """A file that goes."""

    path: str


class UpdateFile(Value):
    """A file that is changed, and renamed where `move_to` is given."""

    path: str
    hunks: tuple[Hunk, ...]
    move_to: str = ""


Section: TypeAlias = AddFile | DeleteFile | UpdateFile


def parse_patch(patch: str) -> tuple[Section, ...]:
    """What a patch wants.  Raises `PatchError`; nothing is guessed."""
    return _Parser(patch).sections()


class _Parser:
    def __init__(self, patch: str) -> None:
        lines = patch.strip("\r\n").split("\n")
        self._at = 0
        self._lines = lines
        if len(lines) > 1 and all(line.endswith("\r") for line in lines[:-1]):
            self._lines = [line.removesuffix("\r") for line in lines]

    def sections(self) -> tuple[Section, ...]:
        if self._lines[0].strip() != BEGIN:
            raise PatchError(1, f"expected `{BEGIN}`, found {_quoted(self._lines[0])}.")
        if self._lines[-1].strip() != END:
            raise PatchError(len(self._lines), f"expected `{END}` at the end, found {_quoted(self._lines[-1])}.")
        self._lines = self._lines[:-1]
        self._at = 1
        found: list[Section] = []
        while self._at < len(self._lines):
            if self._lines[self._at].strip():
                found.append(self._section())
            else:
                self._at += 1
        if not found:
            raise PatchError(2, "the patch is empty.")
        return tuple(found)

    def _section(self) -> Section:
        line = self._lines[self._at]
        for mark in (ADD, DELETE, UPDATE):
            if line.startswith(mark):
                path = line.removeprefix(mark).strip()
                if not path:
                    raise PatchError(self._at + 1, f"`{mark}` needs a path.")
                self._at += 1
                if mark == ADD:
                    return AddFile(path=path, lines=self._added())
                return DeleteFile(path=path) if mark == DELETE else self._update(path)
        raise PatchError(self._at + 1, f"expected `{ADD}`, `{UPDATE}` or `{DELETE}` and a path, found {_quoted(line)}.")

    def _added(self) -> tuple[str, ...]:
        lines: list[str] = []
        while not self._over():
            line = self._lines[self._at]
            if line.startswith("+"):
                lines.append(line[1:])
            elif line.strip() or not self._only_blank_follows():
                raise PatchError(self._at + 1, f"each line of a new file starts with `+`, found {_quoted(line)}.")
            self._at += 1
        return tuple(lines)

    def _update(self, path: str) -> UpdateFile:
        start = self._at
        move_to = ""
        if not self._over(MOVE) and self._lines[self._at].startswith(MOVE):
            move_to = self._lines[self._at].removeprefix(MOVE).strip()
            if not move_to:
                raise PatchError(self._at + 1, f"`{MOVE}` needs a path.")
            self._at += 1
        hunks: list[Hunk] = []
        while not self._over():
            if not self._lines[self._at].strip() and self._only_blank_follows():
                self._at += 1
                continue
            hunks.append(self._hunk())
        if not hunks and not move_to:
            raise PatchError(start, f"the update of {path} has no lines that change.")
        return UpdateFile(path=path, hunks=tuple(hunks), move_to=move_to)

    def _hunk(self) -> Hunk:
        start = self._at + 1
        headers: list[str] = []
        while not self._over() and self._lines[self._at].startswith("@@"):
            header = self._lines[self._at]
            name = "" if _NUMBERED.match(header) else header[2:].removeprefix(" ")
            if name.strip():
                headers.append(name)
            self._at += 1
        lines: list[tuple[str, str]] = []
        at_end = False
        while not self._over(END_OF_FILE) and not self._lines[self._at].startswith("@@"):
            line = self._lines[self._at]
            self._at += 1
            if line.strip() == END_OF_FILE:
                at_end = True
                break
            if line and line[0] not in " +-":
                raise PatchError(self._at, f"a line of a hunk starts with a space, `+` or `-`, found {_quoted(line)}.")
            # An empty line is an empty line of the file whose space was trimmed.
            lines.append((line[0], line[1:]) if line else (" ", ""))
            if not line and self._only_blank_follows() and not self._ends_file():
                lines.pop()  # only set apart what follows
        if not any(kind != " " for kind, _ in lines):
            raise PatchError(start, "the hunk has no line that starts with `+` or `-`.")
        return Hunk(line=start, headers=tuple(headers), lines=tuple(lines), at_end=at_end)

    def _over(self, *but: str) -> bool:
        """Whether the section ends here: a mark follows that is not one of `but`."""
        if self._at >= len(self._lines):
            return True
        line = self._lines[self._at]
        return line.startswith("*** ") and not line.startswith(but)

    def _ends_file(self) -> bool:
        return self._at < len(self._lines) and self._lines[self._at].strip() == END_OF_FILE

    def _only_blank_follows(self) -> bool:
        """Whether there are only empty lines up to the next mark or the end."""
        at = self._at
        while at < len(self._lines) and not self._lines[at].strip():
            at += 1
        return at >= len(self._lines) or self._lines[at].startswith(("*** ", "@@"))


def _quoted(line: str) -> str:
    return f"`{line[:80]}`" if line.strip() else "an empty line"


def paths_of(sections: Sequence[Section]) -> list[str]:
    """Every path that the patch names."""
    found: list[str] = []
    for section in sections:
        found.append(section.path)
        if isinstance(section, UpdateFile) and section.move_to:
            found.append(section.move_to)
    return found
