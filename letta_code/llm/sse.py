"""Server-sent events out of bytes, cut at any place."""

from __future__ import annotations

MAX_EVENT_BYTES = 32 * 1024 * 1024  # one event; a server that sends more is broken or hostile

_BOM = b"\xef\xbb\xbf"


class SseParser:
    """An incremental parser: `feed` bytes as they come, get whole events as `(event name, data)`.

    Lines end with LF, CRLF or CR, and a chunk may end between any two bytes.  Comments (`: …`), ids and retry fields
    are dropped; for the caller every byte is a sign of life, comments too.  Follows the WHATWG "Server-sent events"
    parsing rules, but for the last event of a stream, see `close`.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []  # pieces of the line that has not ended yet
        self._size = 0
        self._after_cr = False  # the last chunk ended with CR: an LF at the start of the next belongs to it
        self._first = True
        self._event = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[tuple[str, bytes]]:
        """The events that are complete now.  Raises `ValueError` for an event beyond `MAX_EVENT_BYTES`."""
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[0] == 10:
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._size += len(chunk)
        if self._size > MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {MAX_EVENT_BYTES} bytes")
        if b"\n" not in chunk:
            self._line.append(chunk)
            return []
        lines = chunk.split(b"\n")
        self._line.append(lines[0])
        lines[0] = b"".join(self._line)
        self._line = [lines.pop()]
        events: list[tuple[str, bytes]] = []
        for line in lines:
            self._take(line, events)
        return events

    def close(self) -> list[tuple[str, bytes]]:
        """The stream ended: an event whose closing empty line is missing (some servers leave it out) counts."""
        events: list[tuple[str, bytes]] = []
        self._take(b"".join(self._line), events)
        self._line = []
        self._dispatch(events)
        return events

    def _take(self, line: bytes, events: list[tuple[str, bytes]]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(events)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")

    def _dispatch(self, events: list[tuple[str, bytes]]) -> None:
        if self._data:
            events.append((self._event, b"\n".join(self._data)))
        self._data = []
        self._event = ""
        self._size = 0
