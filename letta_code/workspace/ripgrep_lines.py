"""Lines found: ripgrep's JSON read piece by piece in little memory, and long lines cut around their match.

Apart from ripgrep.py because the decoder takes 4 ms to make: it is imported with the first search for lines.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Sequence

import msgspec

from letta_code.workspace.paths import shown
from letta_code.workspace.workspace import SearchLine

SHOWN_LINE = 500  # characters of a long line that are shown around its match
_LONGEST_JSON = 4_000_000  # bytes of one JSON line that are decoded; of a longer one only both ends are looked at
_LONG_HEAD, _LONG_TAIL = 4_096, 65_536


class _Text(msgspec.Struct):
    text: str | None = None
    bytes: str | None = None

    def raw(self) -> bytes:
        return base64.b64decode(self.bytes) if self.bytes is not None else (self.text or "").encode()

    def plain(self) -> str:
        return os.fsdecode(self.raw())


class _Match(msgspec.Struct):
    start: int
    end: int


class _Data(msgspec.Struct):
    path: _Text | None = None
    lines: _Text | None = None
    line_number: int | None = None
    submatches: list[_Match] = []


class _Record(msgspec.Struct):
    type: str
    data: _Data


_decoder = msgspec.json.Decoder(_Record)
_LONG_PATH = re.compile(rb'"path":(\{[^}]*\})')
_LONG_NUMBER = re.compile(rb'"line_number":(\d+),"absolute_offset"')


class Lines:
    """Reads the JSON of a search; `found` is given the file's raw name and each line.

    A line of JSON that is too long to decode (a minified file, thousands of matches in a line) is told by its number.
    """

    def __init__(self, found: Callable[[str, SearchLine], None]) -> None:
        self._found = found
        self._line = bytearray()
        self._tail = bytearray()  # the end of a line that has become too long

    def add(self, data: bytes) -> None:
        """More output."""
        start = 0
        while True:
            end = data.find(b"\n", start)
            self._append(data[start : end if end >= 0 else len(data)])
            if end < 0:
                return
            self._record()
            start = end + 1

    def _append(self, part: bytes) -> None:
        if len(self._line) + len(part) <= _LONGEST_JSON and not self._tail:
            self._line += part
            return
        if not self._tail:
            self._tail += self._line[-_LONG_TAIL:]
            del self._line[_LONG_HEAD:]
        self._tail += part[-_LONG_TAIL:]
        del self._tail[:-_LONG_TAIL]

    def _record(self) -> None:
        line, tail = bytes(self._line), bytes(self._tail)
        self._line.clear()
        self._tail.clear()
        if not line:
            return
        if tail:
            self._long(line, tail)
            return
        record = _decoder.decode(line)
        if record.type not in ("match", "context") or record.data.path is None or record.data.lines is None:
            return
        name = record.data.path.plain().removeprefix("./")
        first = record.data.submatches[0] if record.data.submatches else _Match(0, 0)
        for line in lines_of(
            shown(name), record.data.line_number or 0, record.data.lines.raw(), first.start, record.type == "match"
        ):
            self._found(name, line)

    def _long(self, head: bytes, tail: bytes) -> None:
        path, number = _LONG_PATH.search(head), _LONG_NUMBER.search(tail)
        if path is None or not head.startswith((b'{"type":"match"', b'{"type":"context"')):
            return
        name = msgspec.json.decode(path[1], type=_Text).plain().removeprefix("./")
        line = SearchLine(
            path=shown(name),
            line=int(number[1]) if number else 0,
            text="[a line too long to show]",
            is_match=head.startswith(b'{"type":"match"'),
        )
        self._found(name, line)


def lines_of(path: str, number: int, raw: bytes, at: int, is_match: bool) -> Sequence[SearchLine]:
    """The lines of one piece of a file, of which the first has `number`; a match begins at byte `at`."""
    found: list[SearchLine] = []
    done = 0
    for index, part in enumerate(raw.removesuffix(b"\n").split(b"\n")):
        text = cut(part.removesuffix(b"\r"), at - done if done <= at <= done + len(part) else 0)
        found.append(SearchLine(path=path, line=number + index, text=text, is_match=is_match))
        done += len(part) + 1
    return found


def cut(line: bytes, at: int) -> str:
    """A line as text; of a long one the part around byte `at`."""
    if len(line) <= SHOWN_LINE:
        return line.decode("utf-8", "replace")
    start = max(min(at - SHOWN_LINE // 3, len(line) - SHOWN_LINE), 0)
    text = line[start : start + SHOWN_LINE].decode("utf-8", "replace").strip("\ufffd")
    end = start + SHOWN_LINE < len(line)
    return f"{'…' if start else ''}{text}{'…' if end else ''} [line of {len(line):,} bytes]"
