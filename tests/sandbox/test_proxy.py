"""The proxy: which requests get out and where they end, asked through its socket as a client does."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from letta_code.host import proxy as proxy_module
from letta_code.host.proxy import Contact, Door, Proxy, Reach
from tests.sandbox.world import BODY, PUBLIC, Server, World


def admits(host: str, port: int) -> Reach:
    if host in ("mirror.internal", "10.0.0.7"):
        return "named"
    known = ("docs.example", "other.example", "rebound.example", "[::]", PUBLIC)
    return "world" if host in known or host.endswith(".docs.example") else "nowhere"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server
        server.shutdown()


@pytest.fixture
def world(server: Server) -> World:
    world = World()
    for host in ("docs.example", "evil.example", "docs.example.evil.example"):
        world.add(host, server.server_port)
    return world


@pytest.fixture
def proxy(world: World) -> Iterator[Proxy]:
    proxy = Proxy(admits, outside=world)
    yield proxy
    proxy.close()


@pytest.fixture
def door(proxy: Proxy, tmp_path: Path) -> Door:
    return proxy.door(str(tmp_path))


def ask(door: Door, head: bytes, body: bytes = b"") -> bytes:
    """What comes back to a request, to the end of the connection."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(door.path)
        threading.Thread(target=client.sendall, args=(head + body,), daemon=True).start()
        return b"".join(iter(lambda: client.recv(65536), b""))


def get(door: Door, url: str) -> bytes:
    return ask(door, f"GET {url} HTTP/1.1\r\nHost: ignored.example\r\n\r\n".encode("latin-1"))


# ------------------------------------------------------------ what is let through


def test_a_plain_request_reaches_the_host_that_was_judged(door: Door, server: Server, world: World) -> None:
    answer = get(door, "http://docs.example/page")
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"hello from the world")
    assert server.asked == [("GET", "docs.example", "/page")]  # not the Host header that the client sent
    assert world.dialled == [(PUBLIC, 80)]
    assert door.contacts == [Contact("docs.example", 80)]


def test_a_tunnel_carries_bytes_both_ways(door: Door, server: Server) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(door.path)
        client.sendall(b"CONNECT docs.example:443 HTTP/1.1\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        client.sendall(b"GET /large HTTP/1.1\r\nHost: inside\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.partition(b"\r\n\r\n")[2] == BODY
    assert server.asked == [("GET", "inside", "/large")]


def test_bodies_come_whole(door: Door) -> None:
    assert get(door, "http://docs.example/large").partition(b"\r\n\r\n")[2] == BODY
    head = f"POST http://docs.example/ HTTP/1.1\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    assert ask(door, head, BODY).endswith(f"{len(BODY)} {sum(BODY)}".encode())


def test_a_second_request_on_the_connection_goes_nowhere(door: Door, server: Server) -> None:
    """It would reach the first one's server without having been judged."""
    second = b"GET http://evil.example/ HTTP/1.1\r\n\r\n"
    answer = ask(
        door, b"GET http://docs.example/one HTTP/1.1\r\n\r\n", second + b"GET /two HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 ") == 1
    assert server.asked == [("GET", "docs.example", "/one")]


# ------------------------------------------------------------ what is refused


@pytest.mark.row("J02")
@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "docs.example.evil.example", "docs.example@evil.example", "docs.example:80@evil.example"),
        *(
            "evil.example\\.docs.example",
            "evil.example%00.docs.example",
            "evil.example\0.docs.example",
            "docs.example.",
        ),
        *(
            "[::ffff:93.184.216.34]",
            "1572395042",
            "0x5db8d822",
            "0135.0270.0330.042",
            "93.184.55330",
            "d\xf3cs.example",
        ),
    ],
)
def test_tricks_with_hosts_reach_nobody(door: Door, server: Server, world: World, host: str) -> None:
    for answer in (get(door, f"http://{host}/"), ask(door, f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode("latin-1"))):
        assert answer.split(b" ")[1] in (b"400", b"403"), answer
        assert b"letta-code: " in answer.splitlines()[0]
    assert (world.resolved, world.dialled, server.asked) == ([], [], [])


@pytest.mark.row("J03")
@pytest.mark.parametrize(
    "addresses",
    [
        *(["127.0.0.1"], ["169.254.169.254"], ["10.0.0.1"], ["192.168.1.1"], ["::1"], ["fd00:ec2::254"], ["fe80::1"]),
        *(["::ffff:10.0.0.1"], ["64:ff9b::a9fe:a9fe"], ["0.0.0.0"], ["100.64.0.1"], [PUBLIC, "127.0.0.1"], []),
    ],
)
def test_an_allowed_name_does_not_lead_inside(
    door: Door, world: World, addresses: Sequence[str], server: Server
) -> None:
    world.add("docs.example", server.server_port, *addresses)
    world.names["docs.example"] = lambda: addresses
    answer = ask(door, b"CONNECT docs.example:443 HTTP/1.1\r\n\r\n")
    assert b" 403 letta-code: docs.example leads to this machine" in answer.splitlines()[0]
    assert (world.dialled, server.asked) == ([], [])


@pytest.mark.row("J03")
def test_a_name_that_changes_is_looked_up_once_and_its_address_kept(door: Door, world: World, server: Server) -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])
    world.names["rebound.example"] = lambda: next(answers)
    assert b" 200 " in get(door, "http://rebound.example/").splitlines()[0]
    assert (world.resolved, world.dialled) == (["rebound.example"], [(PUBLIC, 80)])
    assert b" 403 " in get(door, "http://rebound.example/").splitlines()[0]
    assert world.dialled == [(PUBLIC, 80)]


@pytest.mark.row("J03")
@pytest.mark.parametrize("target", ["169.254.169.254/latest/meta-data/", "localhost/", "127.0.0.1/", "evil.example/"])
def test_where_an_answer_leads_is_judged_again(door: Door, world: World, server: Server, target: str) -> None:
    """A client follows by a new request: here it is made as such, even where the rules would allow the host."""
    world.names["localhost"] = lambda: ["127.0.0.1"]
    answer = get(door, f"http://docs.example/to/{target}")
    location = next(line for line in answer.split(b"\r\n") if line.startswith(b"Location: "))[10:].decode()
    asked = list(server.asked)
    assert get(door, location).split(b" ")[1] == b"403"
    assert server.asked == asked


def test_addresses_of_this_machine_are_refused_even_where_rules_allow_all(world: World, tmp_path: Path) -> None:
    proxy = Proxy(lambda host, port: "world", outside=world)
    try:
        door = proxy.door(str(tmp_path))
        for host in ("169.254.169.254", "127.0.0.1", "10.1.1.1", "[::1]", "[fd00::1]"):
            world.names[host.strip("[]")] = lambda host=host: [host.strip("[]")]
            assert b" 403 " in get(door, f"http://{host}/").splitlines()[0]
        assert world.dialled == []
    finally:
        proxy.close()


def test_a_host_that_a_person_named_may_be_in_a_private_network(door: Door, world: World, server: Server) -> None:
    world.add("mirror.internal", server.server_port, "10.0.0.7", "fd00::7")
    world.servers["10.0.0.7"] = server.server_port
    for host in ("mirror.internal", "10.0.0.7"):
        assert b" 200 " in get(door, f"http://{host}/simple/").splitlines()[0]
    world.add("docs.example", server.server_port, "10.0.0.7")
    refusal = get(door, "http://docs.example/").splitlines()[0]
    assert b" 403 " in refusal and refusal.endswith(
        b"a rule of yours that names it lets it through: allow Net(docs.example)"
    )
    assert [(one.host, one.refused) for one in door.contacts] == [
        ("mirror.internal", ""),
        ("10.0.0.7", ""),
        ("docs.example", "it leads to this machine or its network, not out into the world"),
    ]


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:10.0.0.7", "0.0.0.0"])
def test_a_name_that_a_person_named_does_not_lead_to_this_machine(door: Door, world: World, address: str) -> None:
    world.names["mirror.internal"] = lambda: ["10.0.0.7", address]
    assert b" 403 " in get(door, "http://mirror.internal/").splitlines()[0]
    assert world.dialled == []


def test_this_machine_is_reached_where_a_person_named_it(world: World, server: Server, tmp_path: Path) -> None:
    world.add("localhost", server.server_port, "127.0.0.1")
    proxy = Proxy(lambda host, port: "named", outside=world)
    try:
        door = proxy.door(str(tmp_path))
        for host in ("localhost", "127.0.0.1"):
            assert b" 200 " in get(door, f"http://{host}/").splitlines()[0]
    finally:
        proxy.close()


def test_a_host_that_is_not_there_is_told(door: Door, world: World) -> None:
    assert b" 502 letta-code: other.example cannot be reached" in get(door, "http://other.example/")
    world.names["other.example"] = lambda: ["8.8.8.8", "8.8.4.4"]
    assert b" 502 " in get(door, "http://other.example/")
    assert world.dialled == [("8.8.8.8", 80), ("8.8.4.4", 80)]


def test_the_second_address_is_taken_where_the_first_is_dead(door: Door, world: World, server: Server) -> None:
    world.names["docs.example"] = lambda: ["8.8.8.8", PUBLIC]
    assert b" 200 " in get(door, "http://docs.example/").splitlines()[0]


# ------------------------------------------------------------ doors and limits


def test_a_door_is_for_its_person_and_goes_with_its_command(proxy: Proxy, door: Door, tmp_path: Path) -> None:
    assert stat.S_IMODE(os.stat(door.path).st_mode) == 0o600
    other = proxy.door(str(tmp_path))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(door.path)
        client.sendall(b"CONNECT docs.example:443 HTTP/1.1\r\n\r\n")
        client.recv(100)
        door.close()
        assert client.recv(100) == b""  # cut with the command
    assert not os.path.exists(door.path)
    assert b" 200 " in get(other, "http://docs.example/")
    assert (len(door.contacts), len(other.contacts)) == (1, 1)


def test_a_folder_with_a_long_name_gets_its_door_elsewhere(proxy: Proxy, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    door = proxy.door(str(long))
    assert b" 200 " in get(door, "http://docs.example/")
    folder = Path(door.path).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    proxy.close()
    assert not folder.exists()


def test_a_socket_of_a_dead_process_is_no_hindrance(proxy: Proxy, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / f"proxy-{os.getpid()}-1"))
    assert b" 200 " in get(proxy.door(str(tmp_path)), "http://docs.example/")


def test_more_connections_than_allowed_are_refused(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "CONNECTIONS", 3)
    with (
        socket.socket(socket.AF_UNIX) as one,
        socket.socket(socket.AF_UNIX) as two,
        socket.socket(socket.AF_UNIX) as three,
    ):
        for client in (one, two, three):
            client.settimeout(30)
            client.connect(door.path)
            client.sendall(b"CONNECT docs.example:443 HTTP/1.1\r\n\r\n")
            assert b" 200 " in client.recv(100)
        assert b" 503 " in get(door, "http://docs.example/")
        one.close()
        deadline = time.monotonic() + 30
        while b" 503 " in get(door, "http://docs.example/") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert b" 200 " in get(door, "http://docs.example/")


def test_who_does_not_end_its_request_is_cut(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "HEAD_SECONDS", 0.2)
    assert b" 408 " in ask(door, b"GET http://docs.example/ HTTP/1.1\r\n")


def test_an_endless_head_is_refused(door: Door) -> None:
    assert b" 431 " in ask(door, b"GET http://docs.example/ HTTP/1.1\r\nX: " + b"x" * 70_000)


def test_who_says_nothing_for_long_is_cut(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "IDLE_SECONDS", 0.2)
    assert ask(door, b"CONNECT docs.example:443 HTTP/1.1\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"


def test_a_verdict_that_fails_lets_nothing_through(world: World, tmp_path: Path) -> None:
    def broken(host: str, port: int) -> Reach:
        raise RuntimeError("a bug in the rules")

    proxy = Proxy(broken, outside=world)
    try:
        assert b" 200 " not in get(proxy.door(str(tmp_path)), "http://docs.example/")
        assert world.dialled == []
    finally:
        proxy.close()
