"""Bytes to text and back without losing a byte: encodings, byte order marks, what is binary."""

from __future__ import annotations

import codecs
import re

from letta_code.core.messages import Value

_BOMS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8 with BOM"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16 LE with BOM"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16 BE with BOM"),
)
# Bytes that Windows-1252 leaves undefined: a file with one of them cannot be it.
_NOT_CP1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")
_C1 = bytes(range(0x80, 0xA0))
# Control characters that no text has: all but backspace, tab, LF, VT, FF, CR and ESC.
_CONTROLS = bytes([*range(1, 8), *range(0x0E, 0x1B), *range(0x1C, 0x20), 0x7F])
_SIGNATURES = (
    (b"%PDF-", "a PDF; `pdftotext FILE -` shows its text where it is installed"),
    (b"\x7fELF", "an ELF program or library; `file`, `nm` or `objdump -d` show more"),
    (b"PK\x03\x04", "a zip archive (also .docx, .xlsx, .jar, .whl); `unzip -l` lists it"),
    (b"\x1f\x8b", "gzip data; `zcat` or `tar tzf` show what is in it"),
    (b"SQLite format 3\x00", "an SQLite database; `sqlite3 FILE .schema` or Python's sqlite3 read it"),
    (b"BZh", "bzip2 data; `bzcat` shows it"),
    (b"\xfd7zXZ\x00", "xz data; `xzcat` shows it"),
    (b"\x28\xb5\x2f\xfd", "zstd data; `zstdcat` shows it"),
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPED_BYTES = re.compile("[\udc80-\udcff]")


class NotText(Exception):
    """The bytes are no text; the message says what they are and what shows them."""


class NotRepresentable(Exception):
    """A character does not exist in the file's encoding."""

    def __init__(self, character: str, label: str) -> None:
        super().__init__(f"{character!r} (U+{ord(character):04X}) does not exist in {label}")
        self.character = character
        self.label = label


class Coding(Value):
    """How a file's bytes are text: `codec` and `errors` as Python names them, `bom` the bytes before the text.

    `label` is what a person or a model reads; `plain` UTF-8 needs no mention.
    """

    codec: str = "utf-8"
    errors: str = "strict"
    bom: bytes = b""
    label: str = "UTF-8"

    @property
    def plain(self) -> bool:
        """UTF-8 without anything special."""
        return self.codec == "utf-8" and self.errors == "strict" and not self.bom

    def encode(self, text: str) -> bytes:
        """The file's bytes for a text; raises `NotRepresentable`."""
        try:
            return self.bom + text.encode(self.codec, self.errors)
        except UnicodeEncodeError as error:
            raise NotRepresentable(text[error.start], self.label) from error


UTF8 = Coding()


class Text(Value):
    """A file's text with its line endings as they are, and how to turn it back into the same bytes."""

    content: str
    coding: Coding = UTF8


def decode(data: bytes) -> Text:
    """The text of a whole file.  `Text.coding.encode` gives the same bytes back.  Raises `NotText`."""
    coding = detect(data)
    body = data[len(coding.bom) :] if coding.bom else data
    content = body.decode(coding.codec, coding.errors)
    if coding.codec.startswith("utf-16") and "\0" in content:
        raise NotText("binary data (UTF-16 mark, but NUL characters); look at it with `xxd FILE | head` or `file FILE`")
    return Text(content=content, coding=coding)


def detect(data: bytes, *, whole: bool = True) -> Coding:
    """The encoding of a file from its bytes, or from its beginning when not `whole`.  Raises `NotText`."""
    for bom, codec, label in _BOMS:
        if data.startswith(bom) and _valid(data[len(bom) :], codec, whole):
            return Coding(codec=codec, bom=bom, label=label)
    if b"\0" in data:
        raise NotText(_what_binary(data))
    if _valid(data, "utf-8", whole):
        return UTF8
    if _is_control_heavy(data):
        raise NotText(_what_binary(data))
    return _single_byte(data)


def _valid(data: bytes, codec: str, whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder(codec)().decode(data, whole)
    except UnicodeDecodeError:
        return False
    return True


def _single_byte(data: bytes) -> Coding:
    text = data.decode("utf-8", "surrogateescape")
    bad = len(_ESCAPED_BYTES.findall(text))
    good = len(text) - len(text.encode("ascii", "ignore")) - bad
    if good > bad:
        return Coding(errors="surrogateescape", label="UTF-8 with invalid bytes (shown as U+FFFD)")
    # Only a file that uses Windows' extra characters is called Windows-1252: latin-1 is the narrower promise.
    if len(data) == len(data.translate(None, _C1)):
        return Coding(codec="latin-1", label="latin-1")
    if any(byte in data for byte in _NOT_CP1252):
        return Coding(codec="latin-1", label="latin-1")
    return Coding(codec="cp1252", label="Windows-1252")


def _is_control_heavy(data: bytes) -> bool:
    return (len(data) - len(data.translate(None, _CONTROLS))) * 20 > len(data)


def _what_binary(data: bytes) -> str:
    for signature, what in _SIGNATURES:
        if data.startswith(signature):
            return what
    even, odd = data[0:2048:2], data[1:2048:2]
    if even and odd and max(even.count(0), odd.count(0)) * 1.5 > len(even) and not min(even.count(0), odd.count(0)):
        return "binary data (UTF-16 without a byte order mark?); try `iconv -f UTF-16LE -t UTF-8 FILE`"
    return "binary data; look at it with `file FILE`, `xxd FILE | head` or `strings FILE`"


def visible(text: str) -> str:
    """A text that any encoder takes: bytes that were no UTF-8 become U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def shown(path: str) -> str:
    """A path as it may stand in a line of text: control characters and undecodable bytes escaped."""
    if path.isprintable():
        return path
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in path)
