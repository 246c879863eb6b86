"""World: names, addresses and servers for the proxy, all on loopback, with everything else as it really is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from letta_code.host.proxy import Streams

PUBLIC = "93.184.216.34"
BODY = bytes(range(256)) * 4000  # a megabyte that shows a byte out of place


class World:
    """Satisfies `Outside`: `names` say what a host resolves to, `servers` where an address leads (a local port)."""

    def __init__(self) -> None:
        self.names: dict[str, Callable[[], Sequence[str]]] = {}
        self.servers: dict[str, int] = {}
        self.resolved: list[str] = []
        self.dialled: list[tuple[str, int]] = []

    def add(self, host: str, port: int, *addresses: str) -> None:
        """A host with addresses (one public one) that lead to a local server."""
        found = addresses or (PUBLIC,)
        self.names[host] = lambda: found
        self.servers.update(dict.fromkeys(found, port))

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """What the world's names say; an address is itself."""
        self.resolved.append(host)
        if host in self.names:
            return self.names[host]()
        if host.replace(".", "").isdigit():
            return [host]
        raise OSError("no such host")

    async def connect(self, address: str, port: int) -> Streams:
        """A connection to the local server of an address."""
        self.dialled.append((address, port))
        if address not in self.servers:
            raise ConnectionRefusedError(111, "Connection refused")
        return await asyncio.open_connection("127.0.0.1", self.servers[address])


class Site(BaseHTTPRequestHandler):
    """Tells what it was asked, sends a large body, takes one, or leads elsewhere (`/to/HOST`)."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The answers by path."""
        self._asked()
        if self.path.startswith("/to/"):
            self._send(302, b"", Location=f"http://{self.path[4:]}")
        else:
            self._send(200, BODY if self.path == "/large" else b"hello from the world")

    def do_POST(self) -> None:
        """The length and the sum of what was sent."""
        self._asked()
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(200, f"{len(data)} {sum(data)}".encode())

    def _asked(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked.append((self.command, self.headers.get("Host", ""), self.path))

    def _send(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


class Server(ThreadingHTTPServer):
    """A local web server; `asked` are method, host and path of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Site)
        self.asked: list[tuple[str, str, str]] = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
