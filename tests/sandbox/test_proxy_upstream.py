"""A person's own proxy: ours goes through it, judges hosts all the same, and tells nobody what its address holds."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_code.host.proxy import Proxy, Reach
from letta_code.host.proxy_requests import ProxyRequest
from letta_code.host.proxy_upstream import Upstream, upstream_of
from tests.sandbox.test_proxy import ask, get
from tests.sandbox.world import PUBLIC, Server, World

TUNNEL = b"CONNECT %s:443 HTTP/1.1\r\n\r\n"


class Corporate(socketserver.ThreadingTCPServer):
    """A proxy that notes the heads it gets, opens every tunnel but to `closed.example`, and answers all by itself."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.heads: list[bytes] = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class Answers(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Corporate)
        head = b"".join(iter(self.rfile.readline, b"\r\n"))
        self.server.heads.append(head)
        if head.startswith(b"CONNECT closed.example"):
            self.wfile.write(b"HTTP/1.1 407 Who are you\r\nX-Inner: secret\r\n\r\n")
        elif head.startswith(b"CONNECT"):
            self.wfile.write(b"HTTP/1.1 200 Go\r\n\r\nthrough the tunnel")
        else:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain")


@pytest.fixture
def corporate() -> Iterator[Corporate]:
    with Corporate() as server:
        yield server
        server.shutdown()


def admits(host: str, port: int) -> Reach:
    return "nowhere" if host == "evil.example" else "named" if host == "mirror.corp" else "world"


@pytest.fixture
def world(corporate: Corporate) -> World:
    world = World()
    world.add("proxy.corp", corporate.server_address[1], "10.9.9.9")
    world.names["docs.example"] = lambda: [PUBLIC]
    return world


@pytest.fixture
def proxy(world: World) -> Iterator[Proxy]:
    own = "http://me:p%40ss@proxy.corp:3128"
    proxy = Proxy(admits, outside=world, environ={"HTTPS_PROXY": own, "http_proxy": own, "NO_PROXY": "direct.example"})
    yield proxy
    proxy.close()


def test_tunnels_and_plain_requests_go_through_it_with_its_password(
    proxy: Proxy, corporate: Corporate, world: World, tmp_path: Path
) -> None:
    door = proxy.door(str(tmp_path))
    for host in (b"docs.example", b"unknown-here.example"):  # a name that only the other proxy knows
        assert ask(door, TUNNEL % host).endswith(b"established\r\n\r\nthrough the tunnel")
    assert get(door, "http://docs.example:81/page").endswith(b"plain")
    assert [head.split(b"\r\n")[0] for head in corporate.heads] == [
        b"CONNECT docs.example:443 HTTP/1.1",
        b"CONNECT unknown-here.example:443 HTTP/1.1",
        b"GET http://docs.example:81/page HTTP/1.1",
    ]
    assert all(b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in head for head in corporate.heads)
    assert set(world.dialled) == {("10.9.9.9", 3128)}
    assert {one.refused for one in door.contacts} == {""}


def test_hosts_are_judged_all_the_same(proxy: Proxy, corporate: Corporate, world: World, tmp_path: Path) -> None:
    door = proxy.door(str(tmp_path))
    world.names["inner.example"] = lambda: ["192.168.3.4"]
    for host in (
        b"evil.example",
        b"inner.example",
        b"127.0.0.1",
        b"intranet",
        b"wiki.corp",
        b"metadata.google.internal",
    ):
        assert b" 403 " in ask(door, TUNNEL % host).splitlines()[0], host
    assert (corporate.heads, world.dialled) == ([], [])


def test_what_it_refuses_is_told_and_what_it_says_is_not(proxy: Proxy, tmp_path: Path) -> None:
    door = proxy.door(str(tmp_path))
    answer = ask(door, TUNNEL % b"closed.example")
    assert b" 502 letta-code: closed.example is not reached through your own proxy: it answered 407" in answer
    assert b"secret" not in answer
    assert door.contacts[0].refused == "your own proxy refused: it answered 407"


def test_a_named_mirror_and_what_no_proxy_lists_are_reached_without_it(
    proxy: Proxy, corporate: Corporate, world: World, tmp_path: Path
) -> None:
    door = proxy.door(str(tmp_path))
    with Server() as server:
        world.add("mirror.corp", server.server_port, "10.0.0.7")
        world.add("direct.example", server.server_port)
        for host in ("mirror.corp", "direct.example"):
            assert get(door, f"http://{host}/").endswith(b"hello from the world")
        server.shutdown()
    assert corporate.heads == []


REQUEST = ProxyRequest("docs.example", 443, tunnel=True)


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://p"}, None),
        ({"ALL_PROXY": "p:8080"}, Upstream("p", 8080)),
        ({"https_proxy": "https://p", "HTTPS_PROXY": "http://other"}, Upstream("p", 443, tls=True)),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "a, .example"}, None),
        ({"HTTPS_PROXY": "http://p", "no_proxy": "*"}, None),
        ({"HTTPS_PROXY": "http://p", "no_proxy": "s.example"}, Upstream("p", 80)),
    ],
)
def test_which_proxy_the_environment_names(environ: dict[str, str], found: Upstream | None) -> None:
    assert upstream_of(environ, REQUEST) == found


def test_one_that_cannot_be_used_is_told_without_its_password(world: World, tmp_path: Path) -> None:
    proxy = Proxy(admits, outside=world, environ={"ALL_PROXY": "socks5://me:hunter2@proxy.corp"})
    try:
        answer = ask(proxy.door(str(tmp_path)), TUNNEL % b"docs.example")
        assert b" 502 " in answer and b"your own proxy, which ALL_PROXY names, is not one by http" in answer
        assert b"hunter2" not in answer
        assert world.dialled == []
    finally:
        proxy.close()
