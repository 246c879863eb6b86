"""Pages of a file: numbered lines within a size, of small files at once and of huge ones without reading them whole."""

from __future__ import annotations

import codecs
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from letta_code.core.messages import Value
from letta_code.tools.text.coding import UTF8, Coding, Text, detect
from letta_code.tools.text.lines import LINE_LIMIT, lines_of, shortened, style_note

PAGE_LINES = 2_000
PAGE_CHARACTERS = 50_000  # of one page, line numbers not counted
CHUNK = 1 << 20  # bytes read at once
KEPT = LINE_LIMIT * 4  # bytes of one line that are kept: as many characters as are shown, whatever they are

ReadAt: TypeAlias = Callable[[int, int], Awaitable[bytes]]


class Page(Value):
    """Some lines of a file, long ones already cut.

    `total` is None where the file was not read to its end; `sha` is "" unless all bytes were hashed; `ended` whether
    the file's last line ends with a line ending (True where unknown).
    """

    lines: tuple[str, ...]
    first: int
    more: bool
    total: int | None = None
    coding: Coding = UTF8
    style: str = ""
    ended: bool = True
    sha: str = ""


class NotPlain(Exception):
    """The file is not UTF-8 throughout: it has to be read whole to know what it is."""


def page_of(text: Text, offset: int, limit: int) -> Page:
    """A page of a text that is in memory."""
    lines = lines_of(text.content)
    page: list[str] = []
    room = PAGE_CHARACTERS
    for line in lines[offset - 1 : offset - 1 + limit]:
        short = shortened(line)
        room -= len(short) + 1
        if room < 0 and page:
            break
        page.append(short)
    return Page(
        lines=tuple(page),
        first=offset,
        more=offset - 1 + len(page) < len(lines),
        total=len(lines),
        coding=text.coding,
        style=style_note(text.content),
        ended=text.content.endswith(("\n", "\r")),
    )


class _Collector:
    """Takes a file's bytes chunk by chunk; keeps the lines of one page and counts the others."""

    def __init__(self, offset: int, limit: int, mark: bytes, coding: Coding) -> None:
        self.number = 1  # of the line that is going on
        self.lines: list[str] = []
        self.done = False
        self._offset = offset
        self._limit = limit
        self._mark = mark
        self._coding = coding
        self._room = PAGE_CHARACTERS
        self._part = b""
        self._length = 0  # bytes of the line that is going on

    def feed(self, chunk: bytes) -> None:
        """The next bytes."""
        at = self._skip(chunk)
        while at < len(chunk) and not self.done:
            end = chunk.find(self._mark, at)
            stop = end if end >= 0 else len(chunk)
            self._part += chunk[at : min(stop, at + KEPT - len(self._part))]
            self._length += stop - at
            if end < 0:
                return
            self._close()
            at = end + 1
        if at < len(chunk):
            self._count(chunk, at)

    def _skip(self, chunk: bytes) -> int:
        """Pass over the lines before the page; where the page begins or goes on in the chunk."""
        at = 0
        if self.number < self._offset and self.number + chunk.count(self._mark) < self._offset:
            self._count(chunk, at)
            return len(chunk)
        while self.number < self._offset:
            at = chunk.find(self._mark, at) + 1
            self.number += 1
            self._length = 0
        return at

    def _count(self, chunk: bytes, at: int) -> None:
        self.number += chunk.count(self._mark, at)
        last = chunk.rfind(self._mark, at)
        self._length = len(chunk) - last - 1 if last >= 0 else self._length + len(chunk) - at

    def end(self) -> bool:
        """The file is over; whether its last line had an ending."""
        ended = self._length == 0
        if not ended:
            self._close()
        return ended

    def _close(self) -> None:
        if self.number >= self._offset and not self.done:
            self._keep()
        self.number += 1
        self._part, self._length = b"", 0

    def _keep(self) -> None:
        line = self._part.decode(self._coding.codec, "replace").removesuffix("\r").replace("\0", "\ufffd")
        hidden = self._length - len(line[:LINE_LIMIT].encode("utf-8"))
        if len(line) > LINE_LIMIT:
            line = f"{line[:LINE_LIMIT]} […{hidden:,} more bytes]"
        self._room -= len(line) + 1
        if self._room < 0 and self.lines:
            self.done = True
            return
        self.lines.append(line)
        self.done = len(self.lines) >= self._limit


async def streamed(read: ReadAt, size: int, offset: int, limit: int, *, whole: bool, most: int) -> Page:
    """A page of a large file, read in chunks.

    `whole`: go on to the end, hash and count; raises `NotPlain` where it is not UTF-8.  Else reading stops after the
    page, or after `most` bytes.  Raises `NotText` for binary data.
    """
    from hashlib import sha256

    beginning = await read(0, min(size, CHUNK))
    coding = detect(beginning, whole=size <= len(beginning))
    if whole and coding.codec != "utf-8":
        raise NotPlain
    mark = b"\r" if b"\n" not in beginning and b"\r" in beginning else b"\n"
    collector = _Collector(offset, limit, mark, coding)
    check = codecs.getincrementaldecoder("utf-8")()
    digest = sha256()
    at, chunk = 0, beginning
    while chunk:
        at += len(chunk)
        if whole:
            digest.update(chunk)
            _check(check, chunk)
        collector.feed(chunk[len(coding.bom) :] if at == len(chunk) else chunk)
        if at >= size or (not whole and (collector.done or at >= most)):
            break
        chunk = await read(at, CHUNK)
    over = at >= size
    if whole:
        _check(check, b"", final=True)
    ended = collector.end() if over else True
    return Page(
        lines=tuple(collector.lines),
        first=offset,
        more=not over or offset - 1 + len(collector.lines) < collector.number - 1,
        total=collector.number - 1 if over else None,
        coding=coding,
        style="CRLF line endings" if b"\r\n" in beginning else "CR line endings" if mark == b"\r" else "",
        ended=ended,
        sha=digest.hexdigest() if whole else "",
    )


def _check(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> None:
    if b"\0" in chunk:
        raise NotPlain
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        raise NotPlain from error
