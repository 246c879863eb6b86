"""Sockets: lines of bytes between processes of one person on this machine, through sockets that only they reach."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import socket
import stat
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from letta_code.host.files import PRIVATE_DIR, PRIVATE_FILE, ensure_private_dir

LINE_LIMIT = 64 * 1024 * 1024
LONGEST_PATH = 100  # bytes; the kernel's field has 104 (macOS) or 108 (Linux), its closing zero included
_LOCAL_PEERCRED = 0x001  # macOS: sys/un.h

OnPeer = Callable[["Lines"], Awaitable[None]]


class LineTooLong(ConnectionError):
    """The other side sent a line of more than `LINE_LIMIT` bytes."""


class Lines:
    """One connection.  Writing never waits: who writes looks at `unsent` and cuts a peer that does not read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes | None:
        """The next line without its end, None when there are no more; a line that was cut off is none.

        Raises `LineTooLong`.  May be cancelled: nothing is lost by that.
        """
        try:
            return (await self._reader.readuntil(b"\n"))[:-1]
        except asyncio.LimitOverrunError as error:
            raise LineTooLong(errno.EMSGSIZE, f"a line of more than {LINE_LIMIT} bytes") from error
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def write(self, line: bytes) -> None:
        """Send a line, its end included; nothing happens when the connection has ended."""
        if not self._writer.is_closing():
            self._writer.write(line)

    @property
    def unsent(self) -> int:
        """Bytes that wait for the other side."""
        return self._writer.transport.get_write_buffer_size()

    def cut(self) -> None:
        """End the connection now; what was not sent is lost."""
        self._writer.transport.abort()

    async def close(self, seconds: float = 1.0) -> None:
        """Send what waits, for so long, and end the connection."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(seconds):
                await self._writer.wait_closed()
        self.cut()


class Listener:
    """A socket that takes connections until it is closed."""

    def __init__(self, server: asyncio.Server, path: Path, inode: int) -> None:
        self._server = server
        self._inode = inode
        self.path = path

    def close(self) -> None:
        """Take no more connections and remove the socket's file; open connections stay."""
        self._server.close()
        with contextlib.suppress(OSError):
            if self.path.lstat().st_ino == self._inode:  # else another process listens there by now
                self.path.unlink()


async def listen(path: Path, on_peer: OnPeer) -> Listener:
    """Listen at a path, in place of a dead process's socket: the caller makes sure that no living one has it.

    `on_peer` is called with each connection of the same person; others are cut off.  Raises `OSError`.
    """
    place = _place(path, make=True)
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(place.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "something that is no socket stands there", str(place))
        place.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(os.fspath(place))
        os.chmod(place, PRIVATE_FILE)
        inode = place.lstat().st_ino

        peers: set[asyncio.Task[None]] = set()

        async def serve(lines: Lines) -> None:
            try:
                await on_peer(lines)
            finally:
                lines.cut()

        # Not a coroutine: asyncio 3.11 logs a traceback for each that is cancelled when the loop ends.
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            lines = Lines(reader, writer)
            if not is_own(writer):
                lines.cut()
                return
            task = asyncio.create_task(serve(lines), name="peer")
            peers.add(task)
            task.add_done_callback(peers.discard)

        server = await asyncio.start_unix_server(connected, sock=listening, limit=LINE_LIMIT)
    except BaseException:
        listening.close()
        raise
    return Listener(server, place, inode)


async def connect(path: Path) -> Lines:
    """Connect to who listens at a path; raises `OSError`: nobody does, or it is another person's process."""
    place = _place(path, make=False)
    reader, writer = await asyncio.open_unix_connection(os.fspath(place), limit=LINE_LIMIT)
    lines = Lines(reader, writer)
    if not is_own(writer):
        lines.cut()
        raise PermissionError(errno.EPERM, "another person's process listens there", str(place))
    return lines


def _place(path: Path, *, make: bool) -> Path:
    """Where the socket is: at `path`, or below a short folder where the kernel cannot name that.

    The folder is not taken from the environment: a process that was detached, or started by cron, has another one
    than the terminal, and XDG_RUNTIME_DIR is removed when the person logs out, which a background run survives.
    """
    if make:
        ensure_private_dir(path.parent)
    real = Path(os.path.realpath(path.parent)) / path.name
    if len(os.fsencode(real)) <= LONGEST_PATH:
        return real
    folder = Path(f"/tmp/letta-{os.getuid()}")
    if make:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=PRIVATE_DIR)
    _must_be_private(folder)
    return folder / f"{hashlib.sha256(os.fsencode(real)).hexdigest()[:40]}.sock"


def _must_be_private(folder: Path) -> None:
    found = folder.lstat()  # a link that somebody else laid there is none of ours
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(errno.EPERM, "it must be a folder that is yours alone (0700)", str(folder))


def is_own(writer: asyncio.StreamWriter) -> bool:
    """Whether the other side runs as the same user, as the kernel says."""
    peer = writer.get_extra_info("socket")
    try:
        return _uid(peer) == os.getuid()
    except OSError:
        return False  # it has gone already


def _uid(peer: socket.socket) -> int:
    if sys.platform == "linux":
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    credentials = peer.getsockopt(0, _LOCAL_PEERCRED, 76)  # struct xucred: version, uid, groups
    return int(struct.unpack_from("2I", credentials)[1])
