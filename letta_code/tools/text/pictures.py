"""Pictures by their first bytes: the type and the size in pixels."""

from __future__ import annotations

from letta_code.core.messages import Value


class Picture(Value):
    """What a picture is; 0 where the size could not be told."""

    media_type: str
    width: int = 0
    height: int = 0


def picture_in(data: bytes) -> Picture | None:
    """The picture that a file starts as (some 100 kB are enough), None for anything but PNG, JPEG, GIF and WebP."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Picture(media_type="image/png", width=_big(data, 16, 4), height=_big(data, 20, 4))
    if data.startswith((b"GIF87a", b"GIF89a")):
        return Picture(media_type="image/gif", width=_little(data, 6, 2), height=_little(data, 8, 2))
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def _big(data: bytes, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "big")


def _little(data: bytes, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "little")


def _jpeg(data: bytes) -> Picture:
    """Segments up to the frame header (SOF), which holds the size; C4, C8 and CC in its range are other segments."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return Picture(media_type="image/jpeg", width=_big(data, at + 7, 2), height=_big(data, at + 5, 2))
        at += 2 + max(_big(data, at + 2, 2), 2)
    return Picture(media_type="image/jpeg")


def _webp(data: bytes) -> Picture:
    """The three kinds of a first chunk: extended, lossless and lossy (the WebP container specification)."""
    chunk = data[12:16]
    if chunk == b"VP8X":
        return Picture(media_type="image/webp", width=_little(data, 24, 3) + 1, height=_little(data, 27, 3) + 1)
    if chunk == b"VP8L":
        bits = _little(data, 21, 4)
        return Picture(media_type="image/webp", width=(bits & 0x3FFF) + 1, height=((bits >> 14) & 0x3FFF) + 1)
    if chunk == b"VP8 ":
        return Picture(
            media_type="image/webp", width=_little(data, 26, 2) & 0x3FFF, height=_little(data, 28, 2) & 0x3FFF
        )
    return Picture(media_type="image/webp")
