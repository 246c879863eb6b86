"""Patches of several blocks, as models write them; read into edits, with errors that name the line.

*** Begin Patch
*** Update Block: human
@@
 a line that stays
-a line that goes
+a line that comes
*** Add Block: notes/deploy
*** Description: how we deploy
+first line
*** Move Block: draft
*** To: notes/final
*** Delete Block: stale
*** Rewrite Block: crowded
+its whole new value
*** End Patch
"""

from __future__ import annotations

import re

from letta_code.memory.block import BlockError, given_label
from letta_code.memory.edits import Create, Delete, Edit, Hunk, Hunks, Rename, Rethink

LARGEST = 200_000  # characters
_HEAD = re.compile(r"\*\*\* (Update|Add|Delete|Move|Rewrite) (?:Block|File): *(.+?) *")
_OPTION = re.compile(r"\*\*\* (Description|Scope|To|Move to): *(.*?) *")
_FENCES = ("*** Begin Patch", "*** End Patch")


class _Section:
    """One block's part of a patch, while it is read."""

    def __init__(self, what: str, label: str) -> None:
        self.what = what
        self.label = given_label(label)
        self.options: dict[str, str] = {}
        self.lines: list[tuple[int, str]] = []

    def edits(self) -> list[Edit]:
        """What the section asks for."""
        match self.what:
            case "Add":
                return [self._create()]
            case "Delete":
                return [Delete(label=self.label)]
            case "Rewrite":
                if not any(line.strip("+ ") for _, line in self.lines):
                    raise BlockError(f"The patch gives `{self.label}` no new value. Nothing was changed.")
                return [Rethink(label=self.label, value=self._added("a whole new value"))]
            case _:
                edits: list[Edit] = []
                if any(line.strip() for _, line in self.lines):
                    edits.append(Hunks(label=self.label, hunks=tuple(_hunks(self.lines, self.label))))
                if target := self.options.get("to"):
                    edits.append(Rename(label=self.label, new_label=given_label(target)))
                if not edits:
                    raise BlockError(f"The patch says nothing of what to do with `{self.label}`. Nothing was changed.")
                return edits

    def _added(self, what: str) -> str:
        wrong = next(((n, line) for n, line in self.lines if line and line[0] != "+"), None)
        if wrong:
            raise BlockError(f"Line {wrong[0]} of the patch: lines of {what} begin with `+`. Nothing was changed.")
        return "\n".join(line[1:] for _, line in self.lines)

    def _create(self) -> Create:
        value = self._added("a new block")
        scope = self.options.get("scope", "")
        if scope not in ("", "agent", "project", "conversation", "shared"):
            raise BlockError(f"There is no scope {scope!r}: use agent, project, conversation or shared.")
        return Create(
            label=self.label,
            value=value,
            description=self.options.get("description", ""),
            scope=scope,
        )


def read_patch(patch: str) -> list[Edit]:
    """The edits of a patch, in order; raises `BlockError` that names the line that is wrong."""
    if len(patch) > LARGEST:
        raise BlockError(f"The patch is longer than {LARGEST} characters. Nothing was changed. Use smaller steps.")
    sections: list[_Section] = []
    for number, line in enumerate(patch.replace("\r\n", "\n").split("\n"), start=1):
        if line.rstrip() in _FENCES or (not sections and not line.strip()):
            continue
        head, option = _HEAD.fullmatch(line), _OPTION.fullmatch(line)
        if head:
            sections.append(_Section(head[1], head[2]))
        elif not sections:
            raise BlockError(
                f"Line {number} of the patch stands before any block. Begin with `*** Update Block: LABEL`, "
                "`*** Add Block: LABEL`, `*** Move Block: LABEL` or `*** Delete Block: LABEL`. Nothing was changed."
            )
        elif option:
            name = option[1].lower()
            sections[-1].options["to" if name == "move to" else name] = option[2]
        elif line.startswith("*** ") and line.strip() != "*** End of File":
            raise BlockError(f"Line {number} of the patch is not understood: {line[:80]!r}. Nothing was changed.")
        elif line.strip() != "*** End of File":
            sections[-1].lines.append((number, line))
    if not sections:
        raise BlockError("The patch is empty: it needs at least one `*** Update Block: LABEL`.")
    return [edit for section in sections for edit in section.edits()]


def _hunks(lines: list[tuple[int, str]], label: str) -> list[Hunk]:
    groups: list[list[str]] = [[]]
    for number, line in lines:
        if line.startswith("@@"):
            groups.append([])
        elif line[:1] in ("+", "-", " "):
            groups[-1].append(line)
        elif not line:
            groups[-1].append(" ")  # models leave out the blank of empty context lines
        else:
            raise BlockError(
                f"Line {number} of the patch: in the change of `{label}` each line begins with ` `, `-` or `+`. "
                "Nothing was changed."
            )
    while groups[-1] and groups[-1][-1] == " ":  # the empty lines between sections are no context
        groups[-1].pop()
    hunks = [Hunk(lines=tuple(group)) for group in groups if any(line[0] in "+-" for line in group)]
    if not hunks:
        raise BlockError(f"The patch changes nothing in `{label}`: no line begins with `-` or `+`.")
    return hunks
