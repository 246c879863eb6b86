"""The web inside each sandbox: programs find the proxy, reach what is allowed, and nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from letta_code.host.process import which
from letta_code.host.proxy import Door
from letta_code.safety.containment import Confined, Grant, Sandbox
from letta_code.safety.sandboxes.bubblewrap import Bubblewrap
from letta_code.safety.sandboxes.choose import Territory, choose
from letta_code.safety.sandboxes.landlock import Landlock, holds
from letta_code.safety.sandboxes.web import Web
from tests.sandbox.world import BODY, PUBLIC, Server, World

WEB = Grant(network="proxy")
FETCH = (
    "import urllib.request, sys; sys.stdout.write(urllib.request.urlopen({url!r}, timeout=30).read().decode('latin-1'))"
)


class Place:
    """A work tree, a sandbox and a world around it."""

    def __init__(self, sandbox: Sandbox, root: Path, world: World, server: Server) -> None:
        self.sandbox = sandbox
        self.root = root
        self.world = world
        self.server = server
        self.notes: Sequence[str] = ()

    def start(self, argv: Sequence[str], grant: Grant = WEB) -> tuple[subprocess.Popen[str], Confined]:
        program = which(argv[0], os.environ["PATH"])
        assert program
        confined = self.sandbox.confine([program, *argv[1:]], str(self.root), dict(os.environ), grant)
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            confined.argv,
            cwd=self.root,
            env=dict(confined.env),
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
        )
        return process, confined

    def run(self, argv: Sequence[str], grant: Grant = WEB) -> subprocess.CompletedProcess[str]:
        process, confined = self.start(argv, grant)
        out, err = process.communicate(timeout=90)
        self.notes = confined.close() if confined.close else ()
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def py(self, text: str, grant: Grant = WEB) -> subprocess.CompletedProcess[str]:
        return self.run([os.path.realpath(sys.executable), "-c", textwrap.dedent(text)], grant)


@pytest.fixture(params=["bubblewrap", "landlock"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    tmp_path = tmp_path.resolve()
    for name in ("work/src", "home/.letta", "temp"):
        (tmp_path / name).mkdir(parents=True)
    home = str(tmp_path / "home")
    territory = Territory(
        root=str(tmp_path / "work"), temp=str(tmp_path / "temp"), home=home, letta_home=f"{home}/.letta"
    )
    world = World()
    web = Web(lambda host, port: "nowhere" if host == "evil.example" else "world", world)
    chosen = choose(request.param, territory)
    if chosen.containment.kind != request.param:
        pytest.skip(chosen.containment.says)
    sandbox: Sandbox = Landlock(holds(7, "", ""), territory, web)
    if request.param == "bubblewrap":
        program = which("bwrap", os.environ["PATH"])
        assert program
        sandbox = Bubblewrap(program, territory, web)
    with Server() as server:
        for host in ("docs.example", "evil.example"):
            world.add(host, server.server_port)
        yield Place(sandbox, tmp_path / "work", world, server)
        sandbox.close()
        server.shutdown()


def test_a_program_reaches_what_is_allowed_and_it_is_told(place: Place) -> None:
    done = place.py(FETCH.format(url="http://docs.example/page"))
    assert done.stdout == "hello from the world", done.stderr
    assert place.notes == ("It reached: docs.example.",)
    done = place.py(FETCH.format(url="http://evil.example/"))
    assert "403" in done.stderr and "evil.example is not allowed" in done.stderr
    assert place.notes == ("It tried to reach evil.example: refused, because the rules do not allow it.",)
    assert [host for _, host, _ in place.server.asked] == ["docs.example"]


def test_this_machine_is_asked_through_the_proxy_only_where_it_was_named() -> None:
    door = Door("/door", lambda: None)
    for named, own in (("", ["localhost", "127.0.0.1", "::1"]), ("localhost", ["127.0.0.1", "::1"])):
        web = Web(lambda host, _port, named=named: "named" if host == named else "world")
        words = web.through(door, ["/bin/true"])
        assert words[words.index("/door") + 1 :] == [*own, "--", "/bin/true"]


def test_what_was_refused_for_its_address_was_not_reached(place: Place) -> None:
    place.world.names["docs.example"] = lambda: ["192.168.0.9"]
    assert place.py(FETCH.format(url="http://docs.example/")).returncode == 1
    assert place.notes == (
        "It tried to reach docs.example: refused, because it leads to this machine or its network, not out into the "
        "world.",
    )


def test_a_redirect_is_followed_only_where_it_may(place: Place) -> None:
    for target in ("evil.example/", "169.254.169.254/latest/meta-data/", f"127.0.0.1:{place.server.server_port}/"):
        place.server.asked.clear()
        done = place.py(
            f"""
            import os, urllib.request
            os.environ["NO_PROXY"] = os.environ["no_proxy"] = ""
            urllib.request.urlopen("http://docs.example/to/{target}", timeout=30)
            """
        )
        assert done.returncode == 1 and "403" in done.stderr
        assert place.server.asked == [("GET", "docs.example", f"/to/{target}")]


def test_nothing_goes_round_the_proxy(place: Place) -> None:
    port = place.server.server_port
    done = place.py(
        f"""
        import os, socket, urllib.request
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
        door = os.environ["HTTP_PROXY"].rpartition(":")[2]
        attempts = [
            lambda: opener.open("http://127.0.0.1:{port}/", timeout=10),
            lambda: socket.create_connection(("{PUBLIC}", 80), 3),
            lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("{PUBLIC}", 53)),
            lambda: socket.getaddrinfo("docs.example", 80),
            lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(("127.0.0.1", {port})),
        ]
        for number, attempt in enumerate(attempts):
            try:
                attempt()
                print("done", number)
            except OSError:
                pass
        """
    )
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    assert (place.server.asked, place.world.dialled) == ([], [])


def test_a_command_without_the_grant_does_not_find_the_door_of_another(place: Place) -> None:
    other, confined = place.start([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"])
    try:
        assert other.stdout is not None and other.stdout.readline() == "up\n"
        [door] = [word for word in confined.argv if "/proxy-" in word and os.path.exists(word)][:1]
        ask = "GET http://docs.example/ HTTP/1.1\\r\\n\\r\\n"
        done = place.py(
            f"""
            import socket
            s = socket.socket(socket.AF_UNIX)
            s.connect({door!r})
            s.send(b"{ask}")
            """,
            Grant(),
        )
        assert done.returncode == 1, done.stdout
        assert place.server.asked == []
    finally:
        os.killpg(other.pid, 9)
        other.communicate()
        assert confined.close
        confined.close()


def test_large_bodies_and_many_at_a_time(place: Place) -> None:
    done = place.py(
        """
        import concurrent.futures, hashlib, urllib.request
        def fetch(_):
            return hashlib.sha256(urllib.request.urlopen("http://docs.example/large", timeout=60).read()).hexdigest()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            print(len(set(pool.map(fetch, range(40)))), fetch(0))
        data = bytes(range(256)) * 4000
        print(urllib.request.urlopen("http://docs.example/", data=data, timeout=60).read().decode())
        """
    )
    assert done.stdout.split("\n")[:2] == [f"1 {hashlib.sha256(BODY).hexdigest()}", f"{len(BODY)} {sum(BODY)}"], (
        done.stderr
    )


def test_a_command_ends_as_it_would_without_the_proxy(place: Place) -> None:
    assert place.run(["bash", "-c", "echo out; echo err >&2; exit 7"]).returncode == 7
    done = place.run(["bash", "-c", "yes | head -1; echo ${PIPESTATUS[0]}"])
    assert done.stdout == "y\n141\n"
    assert place.run(["bash", "-c", "kill -9 $$"]).returncode in (-9, 137)
    assert place.notes == ()


def test_it_ends_with_its_command(place: Place) -> None:
    process, confined = place.start(["sh", "-c", "echo up; exec sleep 60"])
    assert process.stdout
    assert process.stdout.readline() == "up\n"  # one that is still made ready dies alone, and nobody ends the command
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        os.killpg(process.pid, 15)
        time.sleep(0.05)
    assert process.wait() != 0
    process.communicate()
    assert confined.close
    confined.close()


def _programs() -> Iterator[tuple[list[str], str]]:
    yield ["curl", "-sS", "http://docs.example/page"], "/page"
    yield ["wget", "-q", "-O", "-", "http://docs.example/page"], "/page"
    yield ["git", "ls-remote", "http://docs.example/repo.git"], "/repo.git/info/refs?service=git-upload-pack"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--isolated",
        "--retries",
        "0",
        "--no-deps",
        "-d",
        "src",
        "--index-url",
    ]
    yield [*pip, "http://docs.example/simple", "--trusted-host", "docs.example", "nothing"], "/simple/nothing/"
    yield ["npm", "view", "nothing", "--registry", "http://docs.example/npm/", "--fetch-retries", "0"], "/npm/nothing"
    yield ["go", "list", "-m", "-versions", "example.com/nothing"], "/example.com/nothing/@v/list"


@pytest.mark.slow
@pytest.mark.parametrize(("argv", "path"), _programs(), ids=lambda one: one[0] if isinstance(one, list) else "")
def test_programs_of_every_day_find_the_proxy(
    place: Place, argv: list[str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed")
    monkeypatch.setenv("GOPROXY", "http://docs.example")
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    monkeypatch.setenv("GONOSUMDB", "*")
    done = place.run(argv)
    assert path in [asked for _, _, asked in place.server.asked], done.stderr + done.stdout
