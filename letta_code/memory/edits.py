"""Edits: what can be done to blocks, as data, and what each makes of a value."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from letta_code.core.messages import Value
from letta_code.memory.block import Block, BlockError, Scope, clean_value

SHOWN_VALUE = 6_000  # characters of a value that an error shows
_NUMBERED = re.compile(r"^[ \t]*\d+(?::|→)[ \t]?", re.MULTILINE)
_NEAR = 0.55  # likeness from which a region is worth showing


class Create(Value, tag_field="edit", tag="create"):
    """A new block.  `scope` "" is the agent's, or, for a label with a folder, a file that is read on demand."""

    label: str
    value: str = ""
    description: str = ""
    limit: int = 0
    scope: Scope | Literal[""] = ""


class Replace(Value, tag_field="edit", tag="str_replace"):
    """Put `new` in the place of `old`, which must stand in the value exactly once."""

    label: str
    old: str
    new: str = ""


class Insert(Value, tag_field="edit", tag="insert"):
    """Put lines after line `line` (0: before the first, -1: at the end)."""

    label: str
    text: str
    line: int = -1


class Append(Value, tag_field="edit", tag="append"):
    """Add lines at the end, whatever else was written meanwhile."""

    label: str
    text: str


class Rethink(Value, tag_field="edit", tag="rethink"):
    """Give the block a whole new value."""

    label: str
    value: str


class Delete(Value, tag_field="edit", tag="delete"):
    """Remove the block; its history stays and undo brings it back."""

    label: str


class Rename(Value, tag_field="edit", tag="rename"):
    """Give the block another label in its scope."""

    label: str
    new_label: str


class Describe(Value, tag_field="edit", tag="describe"):
    """Say what the block is for."""

    label: str
    description: str


class SetReadOnly(Value, tag_field="edit", tag="set_read_only"):
    """Protect the block from everybody but the person, or lift that."""

    label: str
    read_only: bool


class SetLimit(Value, tag_field="edit", tag="set_limit"):
    """Give the block room for so many characters."""

    label: str
    limit: int


class Hunk(Value):
    """Lines that stay (` `), go (`-`) and come (`+`), each with its sign; without any of the first two, it appends."""

    lines: tuple[str, ...]

    @property
    def before(self) -> list[str]:
        """The lines that are to be found."""
        return [line[1:] for line in self.lines if line[0] != "+"]

    @property
    def added(self) -> list[str]:
        """The lines that come."""
        return [line[1:] for line in self.lines if line[0] == "+"]

    def after(self, found: list[str]) -> list[str]:
        """What stands in the place of the found lines; lines that stay keep their own white space."""
        there = iter(found)
        out: list[str] = []
        for line in self.lines:
            if line[0] == "+":
                out.append(line[1:])
                continue
            own = next(there)
            if line[0] == " ":
                out.append(own)
        return out


class Hunks(Value, tag_field="edit", tag="hunks"):
    """Several changes of one value, as a patch gives them."""

    label: str
    hunks: tuple[Hunk, ...]


class ApplyPatch(Value, tag_field="edit", tag="apply_patch"):
    """A patch of several blocks of one repository, applied whole or not at all (format: patch.py)."""

    patch: str


ValueEdit: TypeAlias = Replace | Insert | Append | Rethink | Hunks
ShapeEdit: TypeAlias = Create | Delete | Rename | Describe | SetReadOnly | SetLimit
Edit: TypeAlias = ValueEdit | ShapeEdit | ApplyPatch


def value_after(edit: ValueEdit, block: Block) -> str:
    """The new value; raises `BlockError` with the current value or the nearest region when the edit does not fit."""
    match edit:
        case Append():
            return _joined(block.value, clean_value(edit.text))
        case Rethink():
            return clean_value(edit.value)
        case Insert():
            return _inserted(edit, block)
        case Replace():
            return clean_value(_replaced(edit, block))
        case Hunks():
            value = block.value
            for number, hunk in enumerate(edit.hunks, start=1):
                value = _hunk_applied(hunk, value, block, number)
            return clean_value(value)


def added_text(edit: Edit) -> str:
    """The text that an edit would bring in."""
    match edit:
        case Append() | Insert():
            return edit.text
        case Replace():
            return edit.new
        case Rethink() | Create():
            return edit.value
        case Hunks():
            return "\n".join(line for hunk in edit.hunks for line in hunk.added)
        case _:
            return ""


def texts(edit: Edit) -> tuple[str, ...]:
    """All that an edit would put into memory: its text, a description, the labels that name files."""
    more: tuple[str, ...] = ()
    match edit:
        case Create():
            more = (edit.label, edit.description)
        case Describe():
            more = (edit.description,)
        case Rename():
            more = (edit.new_label,)
        case ApplyPatch():
            more = (edit.patch,)
        case _:
            pass
    return added_text(edit), *more


def _joined(value: str, text: str) -> str:
    return f"{value}\n{text}" if value and text else value or text


def _inserted(edit: Insert, block: Block) -> str:
    lines = block.value.split("\n") if block.value else []
    if not -1 <= edit.line <= len(lines):
        raise BlockError(
            f"Line {edit.line} is not in `{block.label}`, which has {len(lines)} lines: give 0 (before the first) to "
            f"{len(lines)}, or -1 (at the end). {shown(block)}"
        )
    at = len(lines) if edit.line == -1 else edit.line
    return clean_value("\n".join([*lines[:at], *clean_value(edit.text).split("\n"), *lines[at:]]))


def _replaced(edit: Replace, block: Block) -> str:
    # The value has no signs that `clean_value` takes out, and the prompt shows some `<` as `&lt;`: what was copied
    # from the prompt is looked for as well.
    for old, new in ((edit.old, edit.new), (_unescaped(edit.old), _unescaped(edit.new))):
        old, value = old.replace("\r\n", "\n"), f"{block.value}\n"
        count = value.count(old) if old else 0
        if count == 1:
            return value.replace(old, new.replace("\r\n", "\n"))
        if count > 1:
            starts = [found.start() for found in re.finditer(re.escape(old), value)]
            lines = ", ".join(str(value.count("\n", 0, start) + 1) for start in starts)
            raise BlockError(
                f"old_string stands {count} times in `{block.label}` (lines {lines}), and must be unique. Nothing was "
                "changed. Give more of the text around the place that is meant."
            )
    if not edit.old:
        raise BlockError(
            f"old_string is empty. Give the text to be replaced, or use insert to add lines. {shown(block)}"
        )
    raise BlockError(_not_found("old_string", edit.old, block))


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<")


def _at_the_end(line: str) -> str:
    return _unescaped(line).rstrip()


def _trimmed(line: str) -> str:
    return _unescaped(line).strip()


def _hunk_applied(hunk: Hunk, value: str, block: Block, number: int) -> str:
    lines = value.split("\n") if value else []
    before = hunk.before
    if not before:
        return "\n".join([*lines, *hunk.added])
    size = len(before)
    # Exact first; then as the prompt shows it (some `<` as `&lt;`); then white space at the ends of lines may differ.
    for like in (str, _unescaped, _at_the_end, _trimmed):
        wanted = [like(line) for line in before]
        found = [at for at in range(len(lines) - size + 1) if [like(s) for s in lines[at : at + size]] == wanted]
        if len(found) == 1:
            start, end = found[0], found[0] + size
            there = lines[start:end]
            new = hunk.after(there)
            if any(line not in there and _unescaped(line) in there for line in before):
                # It was copied from the prompt, so what comes is written in that way too.
                new = [line if line in there else _unescaped(line) for line in new]
            return "\n".join([*lines[:start], *new, *lines[end:]])
        if found:
            places = ", ".join(str(at + 1) for at in found)
            raise BlockError(
                f"Hunk {number} of `{block.label}` fits at {len(found)} places (lines {places}). Nothing was changed. "
                "Give more lines of context."
            )
    raise BlockError(_not_found(f"The text of hunk {number}", "\n".join(before), block))


def _not_found(what: str, old: str, block: Block) -> str:
    text = f"{what} does not stand in `{block.label}`. Nothing was changed."
    if not block.value:
        return f"{text} `{block.label}` is empty: add lines with insert."
    without = _NUMBERED.sub("", old)
    if without != old and without.strip() and without in block.value:
        return f"{text} It begins with line numbers, which are not part of the value: leave them out."
    near = nearest(old, block.value)
    if near:
        return f"{text} The nearest text is at {near}\nCopy the text exactly from there."
    return f"{text} {shown(block)}"


def nearest(old: str, value: str) -> str:
    """The region that is most like a text, as `lines 3-4:` and the numbered lines; "" when nothing is like it."""
    from difflib import SequenceMatcher

    lines, wanted = value.split("\n"), old.strip("\n").split("\n")
    size = min(len(wanted), len(lines))
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2("\n".join(line.strip() for line in wanted))
    best, place = _NEAR, -1
    for at in range(len(lines) - size + 1):
        matcher.set_seq1("\n".join(line.strip() for line in lines[at : at + size]))
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and (ratio := matcher.ratio()) > best:
            best, place = ratio, at
    if place < 0:
        return ""
    region = "\n".join(f"{place + n + 1}: {line}" for n, line in enumerate(lines[place : place + size]))
    return f"lines {place + 1}-{place + size}:\n{region}" if size > 1 else f"line {place + 1}:\n{region}"


def shown(block: Block) -> str:
    """A block's current value for an error: numbered lines, cut where it is very long."""
    if not block.value:
        return f"`{block.label}` is empty."
    value = block.value[:SHOWN_VALUE]
    rest = block.chars - len(value)
    text = "\n".join(f"{number}: {line}" for number, line in enumerate(value.split("\n"), start=1))
    cut = f"\n[{rest} more characters]" if rest else ""
    return f"The value of `{block.label}` now ({block.fill} characters), with line numbers:\n{text}{cut}"
