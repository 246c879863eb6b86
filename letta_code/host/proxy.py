"""Proxy: the one way out of a sandbox without a network; hosts are judged, resolved once, and must be out in the world.

A host that a person's own rule names exactly may also be one of a private network.

It runs in a thread with a loop of its own, so it never holds up the agent.  A `Door` is a unix socket for one command:
who asks through it is known, and so is what was asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from letta_code.host.files import PRIVATE_FILE
from letta_code.host.proxy_requests import LONGEST_HEAD, BadRequest, ProxyRequest, read_head
from letta_code.host.proxy_upstream import Upstream, may_be_inside, passed, upstream_of
from letta_code.host.sockets import LONGEST_PATH, is_own
from letta_code.host.web_addresses import private, public

HEAD_SECONDS = 20.0  # for a request to come in
CONNECT_SECONDS = 30.0  # for the name and the connection
LOOKUP_SECONDS = 5.0  # for the name, where a person's own proxy may know it
LAST_SECONDS = 2.0  # for taking what a refused client still sends
IDLE_SECONDS = 300.0  # without a byte in either direction
CONNECTIONS = 64  # at a time, of one door
BLOCK = 64 * 1024
_CONTACTS = 1000  # remembered of one command

log = logging.getLogger(__name__)

# world: at addresses out in the world; named: at those of private networks too, since a person named this very host.
Reach: TypeAlias = Literal["nowhere", "world", "named"]
Admits: TypeAlias = Callable[[str, int], Reach]  # of a host and a port
Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Outside(Protocol):
    """How names become addresses and addresses connections; tests put a world of their own here."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """All IP addresses of a host; raises `OSError`."""
        ...

    async def connect(self, address: str, port: int) -> Streams:
        """A connection to exactly this address; raises `OSError`."""
        ...


class Internet:
    """Satisfies `Outside` with this machine's resolver and network."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """What the machine's resolver says."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(one[4][0]) for one in found))

    async def connect(self, address: str, port: int) -> Streams:
        """A connection; an address is not resolved again."""
        return await asyncio.open_connection(address, port)


class Contact(NamedTuple):
    """A host that a command asked for, and why it did not get there, "" where it did."""

    host: str
    port: int
    refused: str = ""


class _Way(NamedTuple):
    """A connection that leads to a host; a request that is no tunnel begins with `head` there."""

    there: asyncio.StreamReader
    away: asyncio.StreamWriter
    head: bytes


class _Refused(Exception):
    """An answer to the client, and `why` in the words of a `Contact`."""

    def __init__(self, code: int, text: str, why: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.why = why


class Door:
    """A socket at `path` through which one command reaches the proxy; `contacts` grows while it runs."""

    def __init__(self, path: str, close: Callable[[], None]) -> None:
        self.path = path
        self.contacts: list[Contact] = []
        self.open = 0  # connections
        self._close = close

    def close(self) -> None:
        """Take no more connections and cut those there are; `contacts` stays."""
        self._close()


class Proxy:
    """Judges with `admits(host, port)`, which is called in the proxy's thread and must not block.

    `environ` may name the person's own proxy, which it then goes through.
    """

    def __init__(
        self, admits: Admits, *, outside: Outside | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self._admits = admits
        self._outside: Outside = outside or Internet()
        self._environ = environ or {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._folder = ""
        self._count = 0
        self._doors: list[Door] = []

    def door(self, folder: str) -> Door:
        """A new door with its socket below `folder`, or below a short one where the kernel cannot name that.

        Blocks for a few ms.  Raises `OSError`.
        """
        loop = self._started()
        path = self._place(folder)
        made: list[Callable[[], None]] = []
        door = Door(path, lambda: self._shut(made[0], path))
        made.append(self._on_loop(loop, self._listen(door)))
        self._doors.append(door)
        return door

    def close(self) -> None:
        """Shut all doors and end the thread."""
        for door in self._doors:
            door.close()
        loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(5.0)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""

    # ------------------------------------------------------------ the thread

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_serve, args=(self._loop,), name="proxy", daemon=True)
            self._thread.start()
        return self._loop

    def _on_loop(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10.0)

    def _shut(self, stop: Callable[[], None], path: str) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(stop)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def _place(self, folder: str) -> str:
        self._count += 1
        path = os.path.join(folder, f"proxy-{os.getpid()}-{self._count}")
        if len(os.fsencode(path)) <= LONGEST_PATH:
            return path
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="letta-", dir="/tmp")
        return os.path.join(self._folder, f"proxy-{self._count}")

    async def _listen(self, door: Door) -> Callable[[], None]:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(door.path)  # of a process that was killed
            listening.bind(door.path)
            os.chmod(door.path, PRIVATE_FILE)  # before: its folder is private, and each peer is asked for its user
            peers: set[asyncio.Task[None]] = set()

            def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.create_task(self._peer(door, reader, writer))
                peers.add(task)
                task.add_done_callback(peers.discard)
                task.add_done_callback(_told)

            server = await asyncio.start_unix_server(connected, sock=listening, limit=LONGEST_HEAD)
        except BaseException:
            listening.close()
            raise

        def stop() -> None:
            server.close()
            for task in peers:
                task.cancel()

        return stop

    # ------------------------------------------------------------ one connection

    async def _peer(self, door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        door.open += 1
        try:
            if is_own(writer):
                await self._answer(door, reader, writer)
            writer.close()  # when what waits was sent
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # it went away, or the command ended
        finally:
            door.open -= 1
            if not writer.is_closing():
                writer.transport.abort()

    async def _answer(self, door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _head(reader)
            if door.open > CONNECTIONS:
                raise _Refused(503, "too many connections at a time")
            there, away, head = await self._let_out(door, request)
        except _Refused as refused:
            await _refuse(reader, writer, refused)
            return
        try:
            if request.tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _join(reader, writer, there, away)
            else:
                away.write(head)
                await _join(reader, writer, there, away, request.length)
        finally:
            away.transport.abort()

    async def _let_out(self, door: Door, request: ProxyRequest) -> _Way:
        host, port = request.host, request.port
        try:
            reach = self._admits(host, port)
            if reach == "nowhere":
                raise _Refused(403, f"{host} is not allowed", "the rules do not allow it")
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await self._way(request, named=reach == "named")
        except TimeoutError:
            refused = _Refused(504, f"{host} did not answer within {CONNECT_SECONDS:.0f} s", "it did not answer")
        except OSError as error:
            why = error.strerror or str(error)
            refused = _Refused(502, f"{host} cannot be reached: {why}", f"it cannot be reached ({why})")
        except _Refused as error:
            refused = error
        else:
            _note(door, Contact(host, port))
            return found
        _note(door, Contact(host, port, refused.why))
        raise refused

    async def _way(self, request: ProxyRequest, *, named: bool) -> _Way:
        """The addresses are looked up once, all must be ones that are let through, and one of exactly these is used.

        A person's own proxy is given the name instead; a private address that was named is reached without it.
        """
        host = request.host
        upstream = upstream_of(self._environ, request)
        addresses = await self._known(host, request.port, named=named, upstream=upstream)
        wrong = [one for one in addresses if not public(one)]
        refused = [one for one in wrong if not (named and private(one, host))]
        if refused or not (addresses or upstream):
            mend = f"; a rule of yours that names it lets it through: allow Net({host})"
            where = "leads to this machine or its network, not out into the world"
            said = f"{host} {where}{mend if refused and private(refused[0], host) else ''}"
            raise _Refused(403, said, f"it {where}")
        if upstream is None or wrong:
            return _Way(*await self._connected(addresses, request.port), request.head)
        there, away = await self._connected(await self._outside.resolve(upstream.host, upstream.port), upstream.port)
        try:
            why = await passed(upstream, there, away, request)
        except BaseException:
            away.transport.abort()
            raise
        if why:
            away.transport.abort()
            raise _Refused(
                502, f"{host} is not reached through your own proxy: {why}", f"your own proxy refused: {why}"
            )
        return _Way(there, away, upstream.head(request))

    async def _known(self, host: str, port: int, *, named: bool, upstream: Upstream | None) -> Sequence[str]:
        """The addresses of a host; none where it is for a person's own proxy to know them."""
        if upstream is None:
            return await self._outside.resolve(host, port)
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await self._outside.resolve(host, port)
        except (OSError, TimeoutError):
            if may_be_inside(host) and not named:
                where = "may lead into your network: its name is not known here"
                raise _Refused(403, f"{host} {where}", f"it {where}") from None
            return ()

    async def _connected(self, addresses: Sequence[str], port: int) -> Streams:
        for address in addresses[:-1]:
            with contextlib.suppress(OSError):
                return await self._outside.connect(address, port)
        return await self._outside.connect(addresses[-1], port)


def _note(door: Door, contact: Contact) -> None:
    if len(door.contacts) < _CONTACTS:
        door.contacts.append(contact)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    finally:
        loop.close()


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("The proxy broke off a connection", exc_info=error)


async def _head(reader: asyncio.StreamReader) -> ProxyRequest:
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            return read_head(await reader.readuntil(b"\r\n\r\n"))
    except TimeoutError:
        raise _Refused(408, "the request did not come to its end") from None
    except asyncio.LimitOverrunError:
        raise _Refused(431, "the head of the request is too long") from None
    except BadRequest as error:
        raise _Refused(error.code, str(error)) from error


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, refused: _Refused) -> None:
    # Clients show the first line only; what stands in it was checked to be plain ASCII where it came from outside.
    body = f"letta-code: {refused}\n".encode()
    head = f"HTTP/1.1 {refused.code} letta-code: {refused}\r\nContent-Type: text/plain; charset=utf-8\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    writer.write_eof()
    with contextlib.suppress(TimeoutError):  # who is cut while it still sends would not see the answer
        async with asyncio.timeout(LAST_SECONDS):
            while await reader.read(BLOCK):
                pass


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    there: asyncio.StreamReader,
    away: asyncio.StreamWriter,
    length: int | None = None,
) -> None:
    """Carry bytes both ways until the other side ends; of ours at most `length` (None: all)."""
    moved = _Moved()
    up = asyncio.create_task(_carry(reader, away, moved, length))
    down = asyncio.create_task(_carry(there, writer, moved, None))
    try:
        while not down.done():
            before = moved.count
            await asyncio.wait({down}, timeout=IDLE_SECONDS)
            if moved.count == before:
                break
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


class _Moved:
    def __init__(self) -> None:
        self.count = 0


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter, moved: _Moved, length: int | None) -> None:
    left = length
    while left is None or left > 0:
        data = await source.read(BLOCK if left is None else min(left, BLOCK))
        if not data:
            break
        moved.count += len(data)
        left = None if left is None else left - len(data)
        target.write(data)
        await target.drain()
    if left is None and target.can_write_eof():
        target.write_eof()
