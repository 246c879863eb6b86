"""What an edit must make of a file's bytes, written from the rules alone: shares no code with letta_code."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

ANY_BREAK = re.compile("\r\n|\r|\n")
REFUSED = None  # the edit must be refused and the file stay as it is


class Line(NamedTuple):
    """A line and its ending, "" where the file ends without one."""

    text: str
    ending: str


class File(NamedTuple):
    """A file's bytes as text: `mark` is the byte order mark, `pack` makes bytes of a text (UnicodeEncodeError)."""

    mark: bytes
    text: str
    codec: str
    errors: str

    def pack(self, text: str) -> bytes:
        return self.mark + text.encode(self.codec, self.errors)


def opened(data: bytes) -> File:
    """UTF-8 and UTF-16 by their mark, else UTF-8 if it is valid, else the single-byte encodings."""
    for mark, codec in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data[: len(mark)] == mark:
            try:
                return File(mark, data[len(mark) :].decode(codec), codec, "strict")
            except UnicodeDecodeError:
                continue
    try:
        return File(b"", data.decode("utf-8"), "utf-8", "strict")
    except UnicodeDecodeError:
        pass
    loose = data.decode("utf-8", "surrogateescape")
    broken = len(re.sub("[^\udc80-\udcff]+", "", loose))
    whole = len(re.sub("[\0-\x7f]+", "", loose)) - broken
    if whole > broken:
        return File(b"", loose, "utf-8", "surrogateescape")
    windows = re.search(b"[\x80-\x9f]", data)
    undefined = re.search(b"[\x81\x8d\x8f\x90\x9d]", data)
    codec = "cp1252" if windows and not undefined else "latin-1"
    return File(b"", data.decode(codec), codec, "strict")


def lines_in(text: str) -> list[Line]:
    """Lines by any kind of ending."""
    parts = re.split("(\r\n|\r|\n)", text)
    found = [Line(parts[i], parts[i + 1]) for i in range(0, len(parts) - 1, 2)]
    return found if parts[-1] == "" else [*found, Line(parts[-1], "")]


def edit(data: bytes, old: str, new: str, *, every: bool) -> bytes | None:
    """The bytes after Edit, `REFUSED` where it must not happen."""
    file = opened(data)
    literal = "\r" in old and ("\r" in new or _as_lf(old) == _as_lf(new)) and old in file.text
    if literal:
        view, back = file.text, range(len(file.text) + 1)
        places, sought = _places(view, old, every=every), old
    else:
        view, back = _viewed(file.text)
        sought = _as_lf(old)
        places = _places(view, sought, every=every)
    if not places or (len(places) > 1 and not every):
        return REFUSED
    text = file.text
    for place in reversed(places):
        start, end = back[place], back[place + len(sought)]
        put = new if literal else _with_endings(file.text, start, end, new)
        text = text[:start] + put + text[end:]
    return _packed(file, text)


def _packed(file: File, text: str) -> bytes | None:
    if text == file.text:
        return REFUSED
    try:
        return file.pack(text)
    except UnicodeEncodeError:
        return REFUSED


def _as_lf(text: str) -> str:
    return ANY_BREAK.sub("\n", text)


def _viewed(text: str) -> tuple[str, list[int] | range]:
    """The text with LF endings, and for each of its positions the one in the text."""
    if "\r\n" not in text:
        return _as_lf(text), range(len(text) + 1)
    back = [at for at in range(len(text)) if not (text[at] == "\n" and at and text[at - 1] == "\r")]
    return "".join("\n" if text[at] == "\r" else text[at] for at in back), [*back, len(text)]


def _places(view: str, sought: str, *, every: bool) -> list[int]:
    """Places that overlap count when one is meant; for all, from left to right without overlap."""
    pattern = re.escape(sought) if every else f"(?={re.escape(sought)})"
    return [match.start() for match in re.finditer(pattern, view)]


def _with_endings(text: str, start: int, end: int, new: str) -> str:
    old = [line for line in lines_in(text[start:end]) if line.ending]
    parts = re.split("\r\n|\n", new)
    after = ANY_BREAK.search(text, end)
    before = list(ANY_BREAK.finditer(text[:start]))[-1:] if not after else []
    near = after.group() if after else before[0].group() if before else "\n"
    endings = fitted(old, parts[:-1], lambda: near)
    return "".join(part + ending for part, ending in zip(parts, [*endings, ""], strict=True))


def fitted(old: list[Line], new: list[str], near: Callable[[], str]) -> list[str]:
    """Lines kept from the start, then from the end, keep their ending; others take that of the line they replace."""
    result: list[str | None] = [None] * len(new)
    first = 0
    while first < len(old) and first < len(new) and old[first].text == new[first]:
        result[first] = old[first].ending
        first += 1
    last = 0
    while last < len(old) - first and last < len(new) - first and old[-1 - last].text == new[-1 - last]:
        result[len(new) - 1 - last] = old[-1 - last].ending
        last += 1
    replaced = [line.ending for line in old[first : len(old) - last]]
    for index in range(first, len(new) - last):
        if replaced:
            result[index] = replaced.pop(0)
        else:
            result[index] = result[index - 1] if index else near()
    return [ending or "" for ending in result]


def write(data: bytes, content: str) -> bytes:
    """The bytes after Write over a file that is there."""
    file = opened(data)
    if file.mark and content.startswith("\ufeff"):
        content = content[1:]
    if "\r" in file.text and "\r" not in content:
        found = ANY_BREAK.findall(file.text)
        most = max(found.count(ending) for ending in ("\n", "\r\n", "\r"))
        ending = next(ending for ending in ("\n", "\r\n", "\r") if found.count(ending) == most)
        content = content.replace("\n", ending)
    try:
        return file.pack(content)
    except UnicodeEncodeError:
        return content.encode("utf-8")


Run = tuple[str, str]  # (kind, text) as in a patch


def patch(data: bytes, hunks: list[list[Run]]) -> bytes | None:
    """The bytes after a patch whose hunks have no headers."""
    file = opened(data)
    lines = lines_in(file.text)
    unended = bool(lines) and not lines[-1].ending
    if unended:  # treated as if it had the ending of the line before; taken off again at the end
        lines[-1] = Line(lines[-1].text, lines[-2].ending if len(lines) > 1 else "\n")
    texts = [line.text for line in lines]
    result: list[Line] = []
    at = 0
    for hunk in hunks:
        old = [text for kind, text in hunk if kind != "+"]
        places = [i for i in range(at, len(texts)) if texts[i] == old[0] and texts[i : i + len(old)] == old]
        if len(places) != 1:
            return REFUSED
        result += lines[at : places[0]]
        at = places[0]
        for removed, added in _runs(hunk):
            near = lines[at - 1].ending if at else lines[0].ending
            endings = fitted(lines[at : at + removed], added, lambda near=near: near)
            result += map(Line, added, endings)
            at += removed
            if at == len(lines) and removed and not added:
                unended = False  # the last line is gone: the one before keeps its ending
            if at < len(lines) and (removed, added) == (0, []):
                result.append(lines[at])
                at += 1
    result += lines[at:]
    if unended and result:
        result[-1] = Line(result[-1].text, "")
    return _packed(file, "".join(line.text + line.ending for line in result))


def _runs(hunk: list[Run]) -> list[tuple[int, list[str]]]:
    """(number of removed lines, added lines) between context lines; a context line is (0, [])."""
    found: list[tuple[int, list[str]]] = []
    for kind, text in hunk:
        if kind == " ":
            found.append((0, []))
        elif not found or found[-1] == (0, []):
            found.append((1, []) if kind == "-" else (0, [text]))
        else:
            removed, added = found[-1]
            found[-1] = (removed + 1, added) if kind == "-" else (removed, [*added, text])
    return found
