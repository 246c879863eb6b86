"""Globs, as people know them from .gitignore and ripgrep, as regular expressions over relative paths."""

from __future__ import annotations

import re

from letta_code.core.errors import WorkspaceError


def matcher(glob: str) -> re.Pattern[str]:
    """A pattern whose `fullmatch` says whether a relative path (with `/`) is meant.

    `*` and `?` stay within a name, `**` crosses folders, `[a-z]` and `{a,b}` choose.  Without a slash the name counts
    at any depth; with one the whole path does; a slash at the end means everything in that folder.
    """
    text = glob.removeprefix("./")
    anchored = "/" in text.rstrip("/")
    text = text.lstrip("/")
    if text.endswith("/"):
        text += "**"
    body = _translate(text)
    try:
        return re.compile(body if anchored else f"(?:.*/)?{body}", re.DOTALL)
    except re.error as error:
        raise WorkspaceError(f"The glob {glob!r} is not valid: {error}.") from error


def _translate(glob: str) -> str:
    out: list[str] = []
    depth, i = 0, 0
    while i < len(glob):
        char = glob[i]
        i += 1
        if char == "*":
            stars = i
            while i < len(glob) and glob[i] == "*":
                i += 1
            piece, i = _stars(glob, stars - 1, i)
            out.append(piece)
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            piece, i = _class(glob, i)
            out.append(piece)
        elif char == "{":
            depth += 1
            out.append("(?:")
        elif char == "}" and depth:
            depth -= 1
            out.append(")")
        elif char == "," and depth:
            out.append("|")
        elif char == "\\" and i < len(glob):
            out.append(re.escape(glob[i]))
            i += 1
        else:
            out.append(re.escape(char))
    if depth:
        raise WorkspaceError(f"The glob {glob!r} has an open brace.")
    return "".join(out)


def _stars(glob: str, start: int, end: int) -> tuple[str, int]:
    """The stars at start:end, and where to go on: `**` as a whole part of the path crosses folders."""
    whole = end - start >= 2 and (start == 0 or glob[start - 1] in "/{,") and (end == len(glob) or glob[end] in "/},")
    if not whole:
        return "[^/]*", end
    if end < len(glob) and glob[end] == "/":
        return "(?:.*/)?", end + 1
    return ".*", end


def _class(glob: str, start: int) -> tuple[str, int]:
    """The character class whose bracket opened just before `start`; an unclosed one is a plain bracket."""
    end = glob.find("]", start + 1 + (glob[start : start + 1] in ("!", "^")))
    if end < 0:
        return re.escape("["), start
    inside = glob[start:end].replace("\\", "\\\\").replace("[", "\\[")
    if inside[:1] in ("!", "^"):
        inside = "^/" + inside[1:]
    return f"[{inside}]", end + 1
