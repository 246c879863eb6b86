"""The plain part of YAML that settings are mostly written in, read without the YAML library (10 ms of every start).

Names with plain words, whole numbers, true, false or simple quoted text; nested by two blanks; comments on lines of
their own.  Anything else, a doubt included, is left to the library: what is read here means exactly the same there.
"""

from __future__ import annotations

import re
from typing import Any

_LINE = re.compile(r"( *)([A-Za-z_][A-Za-z0-9_-]*):(?: ([^ ].*))?")
# A plain scalar that begins with a letter is text, unless it is one of YAML 1.1's other words for true, false, nothing.
_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9_./:@+-]*[A-Za-z0-9_/]|[A-Za-z]")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_QUOTED = re.compile(r'"([A-Za-z0-9_./:@+ -]*)"')
_WORDS = {"y", "n", "yes", "no", "on", "off", "null"}
_LARGEST = 16_384


def read_subset(text: str) -> tuple[dict[str, Any], dict[str, int]] | None:
    """The mapping and the line of each dotted key; None where the text is not plain enough."""
    if len(text) > _LARGEST or not text.isascii():
        return None
    top: dict[str, Any] = {}
    lines: dict[str, int] = {}
    open_maps: list[tuple[str, dict[str, Any]]] = [("", top)]
    for number, line in enumerate(text.split("\n"), 1):
        if not line or (line.startswith("#") and line.isprintable()):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        depth, odd = divmod(len(found[1]), 2)
        if odd or depth >= len(open_maps) or (depth + 1 < len(open_maps) and not open_maps[-1][1]):
            return None
        del open_maps[depth + 1 :]
        prefix, inside = open_maps[-1]
        name, path = found[2], prefix + found[2]
        if name.lower() in _WORDS or name.lower() in ("true", "false") or name in inside:
            return None
        lines[path] = number
        if found[3] is None:
            inside[name] = {}
            open_maps.append((f"{path}.", inside[name]))
            continue
        value = _scalar(found[3])
        if value is None:
            return None
        inside[name] = value
    # A name without anything below it is nothing, not an empty mapping: the library says so.
    return None if not open_maps[-1][1] else (top, lines)


def _scalar(text: str) -> str | int | bool | None:
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.fullmatch(text):
        return int(text)
    if quoted := _QUOTED.fullmatch(text):
        return quoted[1]
    if _TEXT.fullmatch(text) and text.lower() not in _WORDS and text.lower() not in ("true", "false"):
        return text
    return None
