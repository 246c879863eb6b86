"""A scripted model server behind a real socket: chat completions, Anthropic Messages, and every fault they may have.

In a test:

    with ModelServer() as server:
        server.reply(Reply(text="hello"), Reply(status=429, headers={"retry-after": "1"}))
        ... ask server.url + "/v1" ...
        server.requests[0].body

As a process: `python -m tests.fakes.model_server --port 0 --script replies.yaml [--by-history] [--loop] [--record DIR]`
prints `http://127.0.0.1:PORT` and serves until it is killed.  The script is a list of `Reply` mappings.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from tests.fakes.replies import Call, Reply, error_body, events

__all__ = ["Call", "ModelServer", "Recorded", "Reply"]


class Recorded:
    """One request as it came: `at` is time.monotonic() of its last byte; `hung_up` is set once the client is gone."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.at = time.monotonic()
        self.hung_up = threading.Event()
        self.sent = threading.Event()

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


class _Cut(Exception):
    """The reply's fault says to close the socket now."""


class ModelServer:
    """Serves replies in their order, on a thread with its own event loop; a context manager.

    `by_history`: a request gets the reply whose number is the count of assistant messages in it, so that retries and
    resumed processes get what belongs there.  `loop`: start over when the replies have run out.  GET lists `models`, or
    gets `listing`.
    """

    def __init__(
        self,
        replies: tuple[Reply, ...] = (),
        *,
        port: int = 0,
        by_history: bool = False,
        loop: bool = False,
        models: tuple[str, ...] = ("fake",),
        listing: Reply | None = None,
        tls: ssl.SSLContext | None = None,
        on_request: Callable[[Recorded], None] | None = None,
    ) -> None:
        self.requests: list[Recorded] = []
        self.connections = 0
        self._replies: list[Reply] = []
        self._served = 0
        self._by_history = by_history
        self._loop_over = loop
        self._models = models
        self._listing = listing
        self._tls = tls
        self._on_request = on_request
        self._port = port
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="fake-model-server", daemon=True)
        self.reply(*replies)

    def reply(self, *replies: Reply) -> None:
        """Append replies."""
        for reply in replies:
            self._replies += [reply] * reply.repeat

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT, or https."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    def __enter__(self) -> ModelServer:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the fake model server did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def serve_forever(self) -> None:
        """Serve in this thread until interrupted."""
        self._run()

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self._port, limit=1 << 26, ssl=self._tls)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await _read_request(reader):
                self.requests.append(request)
                if self._on_request is not None:
                    self._on_request(request)
                await self._answer(request, reader, writer)
        except (_Cut, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # the client is gone, or the server stops (asyncio's streams report a cancelled handler as an error)
        finally:
            writer.close()

    async def _answer(self, request: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.method == "GET":
            self._list(writer)
            return
        number = self._number(request)
        reply = self._reply_at(number)
        if reply.counted:
            reply = msgspec.structs.replace(reply, usage={**reply.usage, "input": len(request.body) // 4})
        dialect = "anthropic" if request.path.endswith("/messages") else "openai"
        gone = asyncio.create_task(_watch(reader, request))
        try:
            await asyncio.sleep(reply.first_byte)
            if reply.fault == "hang_up":
                raise _Cut
            if reply.status != 200 or reply.body is not None:
                body = error_body(reply, dialect) if reply.body is None else reply.body
                kind = reply.content_type if reply.body is not None else "application/json"
                _send_whole(writer, reply.status, kind, body.encode(), reply.headers)
            else:
                await self._stream(reply, dialect, number, writer)
            await writer.drain()
            request.sent.set()
        finally:
            gone.cancel()

    def _list(self, writer: asyncio.StreamWriter) -> None:
        reply = self._listing
        if reply is not None:
            body = error_body(reply, "openai") if reply.body is None else reply.body
            _send_whole(writer, reply.status, reply.content_type, body.encode(), reply.headers)
            return
        listing = {"object": "list", "data": [{"id": name, "object": "model"} for name in self._models]}
        _send_whole(writer, 200, "application/json", msgspec.json.encode(listing), {})

    async def _stream(self, reply: Reply, dialect: str, number: int, writer: asyncio.StreamWriter) -> None:
        head = {"content-type": reply.content_type, "transfer-encoding": "chunked", **reply.headers}
        writer.write(_head(200, head))
        for at, (name, data) in enumerate(events(reply, dialect, number)):
            if reply.fault and at >= reply.after:
                await self._fault(reply, dialect, writer)
                break
            if reply.pause:
                await asyncio.sleep(reply.pause)
            lines = ([f"event: {name}"] if name else []) + [f"data: {data}", "", ""]
            await _send_event(writer, reply.newline.join(lines).encode(), reply.torn)
        writer.write(b"0\r\n\r\n")

    async def _fault(self, reply: Reply, dialect: str, writer: asyncio.StreamWriter) -> None:
        match reply.fault:
            case "cut":
                await writer.drain()
                raise _Cut
            case "stall":
                await writer.drain()
                await asyncio.sleep(3600)
            case "comments":
                while True:
                    await _send_event(writer, b": still there\n\n", 0)
                    await asyncio.sleep(0.02)
            case "garbage":
                await _send_event(writer, b"data: {not json\n\n", 0)
            case "error":
                name = "event: error\n" if dialect == "anthropic" else ""
                await _send_event(writer, f"{name}data: {error_body(reply, dialect)}\n\n".encode(), 0)
            case "end":
                return
            case other:
                raise ValueError(f"unknown fault {other!r}")

    def _number(self, request: Recorded) -> int:
        if self._by_history:
            return sum(message.get("role") == "assistant" for message in request.json.get("messages", []))
        self._served += 1
        return self._served - 1

    def _reply_at(self, number: int) -> Reply:
        if self._loop_over and self._replies:
            number %= len(self._replies)
        if number < len(self._replies):
            return self._replies[number]
        return Reply(status=400, message=f"the fake server has no reply number {number}")


async def _read_request(reader: asyncio.StreamReader) -> Recorded | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Recorded(method, path, headers, body)


async def _watch(reader: asyncio.StreamReader, request: Recorded) -> None:
    """Notes that the client went away while it is being answered; a client sends nothing meanwhile."""
    while not reader.at_eof():  # noqa: ASYNC110 - a stream reader has no event for its end, and a read would take bytes
        await asyncio.sleep(0.005)
    request.hung_up.set()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Fake", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def _send_whole(
    writer: asyncio.StreamWriter, status: int, content_type: str, body: bytes, headers: dict[str, str]
) -> None:
    writer.write(_head(status, {"content-type": content_type, "content-length": str(len(body)), **headers}) + body)


async def _send_event(writer: asyncio.StreamWriter, event: bytes, torn: int) -> None:
    size = torn or len(event)
    for start in range(0, len(event), size):
        part = event[start : start + size]
        writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        if torn:  # a packet of its own
            await writer.drain()
            await asyncio.sleep(0)


def _read_script(path: Path) -> tuple[Reply, ...]:
    import yaml

    return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), tuple[Reply, ...])


def main() -> None:
    """Serve as a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--by-history", action="store_true")
    parser.add_argument("--loop", action="store_true")
    parser.add_argument("--record", type=Path, help="a folder for the bodies of all requests: 0001.json …")
    options = parser.parse_args()

    def record(request: Recorded) -> None:
        if options.record is not None and request.method == "POST":
            options.record.mkdir(parents=True, exist_ok=True)
            number = len(list(options.record.glob("*.json"))) + 1
            (options.record / f"{number:04}.json").write_bytes(request.body)
            (options.record / "times.txt").open("a").write(f"{number} {time.time():.6f}\n")

    server = ModelServer(
        _read_script(options.script),
        port=options.port,
        by_history=options.by_history,
        loop=options.loop,
        on_request=record,
    )
    with server:
        print(server.url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            sys.exit(130)


if __name__ == "__main__":
    main()
