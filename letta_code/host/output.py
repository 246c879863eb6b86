"""Output of a command: any number of bytes in little memory, the whole (or its two ends) in a file."""

from __future__ import annotations

import os
from contextlib import suppress

NOTE = "\n[… {} bytes left out here …]\n"


class Spool:
    """A file with all of an output, or where that is more than `limit` bytes its first and its last half.

    The last half is a ring in a second file until `finish` puts it behind the first.  A full disk ends the spool, never
    the command: `dropped` then counts what the file has not got.
    """

    def __init__(self, path: str, limit: int) -> None:
        self.path = path
        self.total = 0
        self.dropped = 0
        self._half = max(limit // 2, 1)
        self._main = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._ring = -1
        self._broken = False
        self._tail_at = 0  # where the last half begins in the finished file; 0 while it is a ring
        self._finished = False

    def write(self, data: bytes) -> None:
        """More output."""
        view = memoryview(data)
        if self._broken or self._finished:
            self.total += len(view)
            self.dropped += len(view) if self._broken else 0
            return
        try:
            first = max(min(len(view), self._half - self.total), 0)
            if first:
                _write_all(self._main, view[:first], self.total)
                self.total += first
            if len(view) > first:
                self._write_ring(view[first:])
        except OSError:
            self._broken = True
            self.dropped += len(data)

    def _write_ring(self, view: memoryview) -> None:
        if self._ring < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            self._ring = os.open(self.path + ".tail", flags, 0o600)
        if len(view) > self._half:
            self.total += len(view) - self._half
            view = view[-self._half :]
        at = (self.total - self._half) % self._half
        first = min(len(view), self._half - at)
        _write_all(self._ring, view[:first], at)
        if len(view) > first:
            _write_all(self._ring, view[first:], 0)
        self.total += len(view)

    def finish(self) -> None:
        """Put both halves into the one file; takes as long as copying half the limit."""
        if self._finished:
            return
        self._finished = True
        if self._ring >= 0:
            kept = min(self.total - self._half, self._half)
            dropped = self.total - self._half - kept
            with suppress(OSError):
                note = NOTE.format(dropped).encode() if dropped else b""
                os.pwrite(self._main, note, self._half)
                self._tail_at = self._half + len(note)
                self._copy_ring(kept)
            self.dropped += dropped
            os.close(self._ring)
            self._ring = -1
            with suppress(OSError):
                os.unlink(self.path + ".tail")

    def _copy_ring(self, kept: int) -> None:
        start = (self.total - self._half - kept) % self._half
        done = 0
        while done < kept:
            at = (start + done) % self._half
            data = os.pread(self._ring, min(1_048_576, kept - done, self._half - at), at)
            _write_all(self._main, memoryview(data), self._tail_at + done)
            done += len(data)

    def read(self, since: int, length: int) -> tuple[int, bytes]:
        """Output from `since` on, at most `length` bytes; from later on where that part was left out."""
        if since < min(self._half, self.total):
            return since, os.pread(self._main, min(length, self._half - since), since)
        kept = min(max(self.total - self._half, 0), self._half)
        since = max(since, self.total - kept)
        wanted = min(length, self.total - since)
        if wanted <= 0:
            return since, b""
        if self._finished:
            return since, os.pread(self._main, wanted, self._tail_at + since - (self.total - kept))
        at = (since - self._half) % self._half
        data = os.pread(self._ring, min(wanted, self._half - at), at)
        if len(data) < wanted:
            data += os.pread(self._ring, wanted - len(data), 0)
        return since, data

    def close(self) -> None:
        """Finish and give back the descriptor; the file stays."""
        self.finish()
        if self._main >= 0:
            os.close(self._main)
            self._main = -1


def _write_all(fd: int, view: memoryview, at: int) -> None:
    while view:
        count = os.pwrite(fd, view, at)
        view, at = view[count:], at + count


class Output:
    """Head and tail of an output in memory; once it is longer than both, the whole in a spool (`path`)."""

    def __init__(self, *, head: int, tail: int, path: str = "", spool_limit: int = 0) -> None:
        self.total = 0
        self.spool: Spool | None = None
        self._head = bytearray()
        self._tail = bytearray()
        self._limits = (head, tail)
        self._path = path if spool_limit > 0 else ""
        self._spool_limit = spool_limit
        self._long = False

    def add(self, data: bytes) -> None:
        """More output."""
        head, tail = self._limits
        self.total += len(data)
        if not self._long and self.total > head + tail:
            self._long = True
            self._open_spool()
        if self.spool is not None:
            self.spool.write(data)
        room = head - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data[-tail:] if tail else b""
            if len(self._tail) > 2 * tail:
                del self._tail[: len(self._tail) - tail]

    def _open_spool(self) -> None:
        if not self._path:
            return
        with suppress(OSError):  # no room or no folder: head and tail must do
            self.spool = Spool(self._path, self._spool_limit)
            self.spool.write(bytes(self._head))
            self.spool.write(bytes(self._tail))

    @property
    def head(self) -> bytes:
        """The first bytes; all of them where the output is not longer than head and tail together."""
        return bytes(self._head) if self._long else bytes(self._head + self._tail)

    @property
    def tail(self) -> bytes:
        """The last bytes, empty where `head` is all."""
        return bytes(self._tail[-self._limits[1] :]) if self._long and self._limits[1] else b""

    @property
    def dropped(self) -> int:
        """Bytes between head and tail."""
        return self.total - len(self._head) - len(self.tail) if self._long else 0
