"""The mirror: every conversation also as `<id>.jsonl`, to be read, grepped and, in need, salvaged from.

A line is the event's JSON with its checksum as first field: `{"crc":"1a2b3c4d","type":…}`; the checksum is the CRC-32
of the event's own bytes, which are the line without that field.  The file follows the database: it is never waited for,
and what it misses (a crash between commit and mirror, a full disk) is added at the next append, else when the store is
closed, else when somebody becomes the conversation's writer.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from letta_code.core.errors import StoreError
from letta_code.core.ids import utc_now
from letta_code.core.messages import Value
from letta_code.host.files import append_whole, ensure_private_dir, open_regular

_PREFIX = b'{"crc":"'
_HEAD = len(_PREFIX) + 8 + 2  # the checksum's eight digits, then `",`
_TAIL_BYTES = 64 * 1024
_OPEN_FILES = 16


class StoredRow(Value, frozen=True):
    """An event as its row holds it: `body` is the JSON exactly as it was first written, `crc` its CRC-32."""

    seq: int
    crc: int
    body: bytes


def is_sound(crc: object, body: object) -> bool:
    """Whether a row's columns hold what was written to them."""
    return isinstance(body, bytes) and zlib.crc32(body) == crc


class _Head(msgspec.Struct):
    seq: int = 0


_head = msgspec.json.Decoder(_Head)


def to_line(row: StoredRow) -> bytes:
    """The mirror's line of an event, newline included."""
    return b'%s%08x",%s\n' % (_PREFIX, row.crc, row.body[1:])


def from_line(line: bytes) -> StoredRow:
    """The event of a line given without its newline; raises `ValueError` when a bit of it is wrong."""
    if not line.startswith(_PREFIX) or len(line) <= _HEAD:
        raise ValueError("not a line of a conversation's log")
    body = b"{" + line[_HEAD:]
    crc = zlib.crc32(body)
    if b'%s%08x",' % (_PREFIX, crc) != line[:_HEAD]:
        raise ValueError("its checksum differs")
    return StoredRow(seq=_head.decode(body).seq, crc=crc, body=body)


def is_mirror(path: Path) -> bool:
    """Whether the file begins as a mirror does; an unreadable one does not."""
    try:
        with open_regular(path) as file:
            return file.read(len(_PREFIX)) == _PREFIX
    except OSError:
        return False


def last_seq_of(path: Path) -> int:
    """The seq of a mirror's last whole line, 0 where there is none or it cannot be read; changes nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return 0
    try:
        return _last_line(descriptor, os.fstat(descriptor).st_size)[1]
    except OSError:
        return 0
    finally:
        os.close(descriptor)


class Source(Protocol):
    """The conversation in the database, as the mirror asks for it when it is not simply one append behind."""

    def last_seq(self) -> int:
        """The seq of its last event."""
        ...

    def rows_after(self, seq: int) -> Sequence[StoredRow]:
        """Its events after a seq, in order."""
        ...


class _File:
    """An open mirror and what we know of its end: `last` is the seq of its last line when it was `size` bytes."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.path = path
        self.descriptor = os.open(path, flags, 0o600)
        self.size = 0
        self.last = 0
        try:
            if not _PREFIX.startswith(os.pread(self.descriptor, len(_PREFIX), 0)):
                raise OSError(errno.EEXIST, "another program's file has this name", str(path))
        except OSError:  # a pipe cannot be read at a place
            self.close()
            raise

    def is_gone(self) -> bool:
        """Whether its path names another file by now, or none."""
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return True
        return not os.path.samestat(there, os.fstat(self.descriptor))

    def close(self) -> None:
        os.close(self.descriptor)


class Mirror:
    """Writes the mirrors of one folder; called on the writer's thread only.

    `problem` says why the last write did not succeed, "" when all is well: the events themselves are safe.  `behind`
    are the conversations of which something that was to be written is not in their file yet.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.problem = ""
        self.behind: set[str] = set()
        self._files: dict[str, _File] = {}

    def path(self, conversation_id: str) -> Path:
        """Where a conversation's mirror is."""
        return self.directory / f"{conversation_id}.jsonl"

    def record(self, conversation_id: str, rows: Sequence[StoredRow], source: Source) -> None:
        """Add rows that were just committed, and from `source` what the mirror misses before them."""
        self.behind.add(conversation_id)
        try:
            file = self._opened(conversation_id)
            if not _lock(file.descriptor):
                # Whoever appends next adds these rows; it may be nobody.
                self.problem = f"{self.path(conversation_id)} could not be written: another process holds it"
                return
            try:
                self._add(file, rows, source)
            finally:
                fcntl.flock(file.descriptor, fcntl.LOCK_UN)
        except (OSError, StoreError) as error:  # the events are committed: this must not look like a failed append
            self.problem = f"{self.path(conversation_id)} could not be written: {error}"
        else:
            self.problem = ""
            self.behind.discard(conversation_id)

    def complete(self, conversation_id: str, source: Source) -> int:
        """Add what the mirror misses at its end, without an append; how many events, 0 where that fails too."""
        try:
            rows = source.rows_after(last_seq_of(self.path(conversation_id)))
        except StoreError as error:
            self.problem = f"{self.path(conversation_id)} could not be written: {error}"
            return 0
        if not rows:
            self.behind.discard(conversation_id)
            return 0
        self.record(conversation_id, rows, source)
        return 0 if conversation_id in self.behind else len(rows)

    def _opened(self, conversation_id: str) -> _File:
        file = self._files.get(conversation_id)
        if file is not None and not file.is_gone():
            return file
        if file is None and len(self._files) >= _OPEN_FILES:
            self._files.pop(next(iter(self._files))).close()
        if file is not None:
            self._files.pop(conversation_id).close()
        ensure_private_dir(self.directory)
        file = self._files[conversation_id] = _File(self.path(conversation_id))
        return file

    def _add(self, file: _File, rows: Sequence[StoredRow], source: Source) -> None:
        size = os.fstat(file.descriptor).st_size
        if size != file.size:
            file.size, file.last = _end_of(file.descriptor, size)
        if file.last >= rows[-1].seq and file.last > source.last_seq():
            # The database is an older copy: this file tells another story, which is kept.
            self._set_aside(file)
        if file.last + 1 != rows[0].seq:
            rows = source.rows_after(file.last)
        data = b"".join(map(to_line, rows))
        if not data:
            return
        append_whole(file.descriptor, data, file.size)
        file.size += len(data)
        file.last = rows[-1].seq

    def _set_aside(self, file: _File) -> None:
        stamp = utc_now().replace(":", "").replace(".", "")
        file.path.rename(file.path.with_name(f"{file.path.stem}.{stamp}.old"))
        file.close()
        fresh = _File(file.path)
        file.descriptor, file.size, file.last = fresh.descriptor, 0, 0
        _lock(file.descriptor)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()


def _lock(descriptor: int) -> bool:
    # Not waited for without limit: a process that is stopped while it holds the lock must not stop this one.
    for _ in range(20):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.001)
    return False


def _end_of(descriptor: int, size: int) -> tuple[int, int]:
    """The size once an unfinished last line is dealt with, and the seq of the last whole line."""
    end, last = _last_line(descriptor, size)
    return _ended(descriptor, end, size), last


def _last_line(descriptor: int, size: int) -> tuple[int, int]:
    """Where the last line that has its newline ends, and the seq of the last whole line; 0 for none."""
    span = _TAIL_BYTES
    while True:
        start = max(0, size - span)
        tail = os.pread(descriptor, size - start, start)
        end = tail.rfind(b"\n") + 1
        lines = tail[:end].split(b"\n")[:-1]
        if start > 0:
            lines = lines[1:]  # its beginning is not in sight
        for line in reversed(lines):
            with contextlib.suppress(ValueError, msgspec.DecodeError):
                return start + end, from_line(line).seq
        if start == 0:
            return end, 0
        span *= 8


def _ended(descriptor: int, good: int, size: int) -> int:
    """Deal with an unfinished last line that begins at `good`; the size after that."""
    if good == size:
        return size
    torn = os.pread(descriptor, len(_PREFIX), good)
    if not _PREFIX.startswith(torn):  # nothing that we wrote: it stays, as a line that is no event
        append_whole(descriptor, b"\n", size)
        return size + 1
    # It is part of an event that the database has: what remains of it helps nobody and breaks `jq`.
    os.ftruncate(descriptor, good)
    return good
