"""Landlock: what a confined command can and cannot do, asserted on disk, network and processes."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from letta_code.host import landlock as script
from letta_code.host.probe import landlock_version
from letta_code.safety.containment import Grant
from letta_code.safety.sandboxes.choose import Territory
from letta_code.safety.sandboxes.landlock import Landlock, holds
from letta_code.safety.sandboxes.limits import Limits
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.workspace import ExecSpec

VERSION = landlock_version()
here = pytest.mark.skipif(
    VERSION < script.OLDEST or os.uname().machine not in script.MACHINES,
    reason=f"the kernel's Landlock has version {VERSION}",
)


class Tried:
    """A command that was run in the sandbox."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr


class Site:
    """A work tree with a repository, a home with secrets, letta-code's own home, and a sandbox around the first."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "work"
        self.home = folder / "home"
        self.letta = self.home / ".letta"
        self.temp = folder / "temp"
        self.outside = folder / "outside"
        for made in (self.root / "src", self.root / ".git/hooks", self.home / ".ssh", self.temp, self.outside):
            made.mkdir(parents=True)
        (self.letta / "agents/b").mkdir(parents=True)
        for path, text in {
            self.root / "README.md": "old",
            self.root / "src/a.py": "old",
            self.root / ".git/config": "old",
            self.home / ".ssh/id": "SECRET",
            self.home / "notes.txt": "plain",
            self.letta / "agents/b/memory": "SECRET",
            self.outside / "f": "old",
        }.items():
            path.write_text(text, encoding="utf-8")
        territory = Territory(root=str(self.root), temp=str(self.temp), home=str(self.home), letta_home=str(self.letta))
        self.sandbox = Landlock(holds(VERSION, "", ""), territory)

    def run(self, argv: Sequence[str], grant: Grant | None = None, env: dict[str, str] | None = None) -> Tried:
        env = dict(os.environ) if env is None else env
        confined = self.sandbox.confine(argv, str(self.root), env, grant or Grant())
        done = subprocess.run(
            confined.argv,
            cwd=self.root,
            env=dict(confined.env),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if confined.close is not None:
            confined.close()
        return Tried(done)

    def sh(self, text: str, grant: Grant | None = None) -> Tried:
        return self.run(["/bin/bash", "--noprofile", "--norc", "-c", text], grant)

    def py(self, text: str, grant: Grant | None = None) -> Tried:
        return self.run([sys.executable, "-c", textwrap.dedent(text)], grant)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path.resolve())
    yield site
    site.sandbox.close()


# ------------------------------------------------------------ files


@here
def test_what_is_in_the_tree_is_written_made_and_removed(site: Site) -> None:
    done = site.sh("echo new > README.md && echo new > src/b.py && mkdir src/d && mv src/a.py src/d/ && rm -r src/d")
    assert done.code == 0, done.err
    assert (site.root / "README.md").read_text() == "new\n"
    assert [path.name for path in (site.root / "src").iterdir()] == ["b.py"]


@here
def test_the_environment_that_letta_code_runs_from_is_not_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".venv", "other"):
        (site.root / name).mkdir()
        (site.root / name / "python").write_text("old")
    monkeypatch.setattr(sys, "prefix", str(site.root / ".venv"))
    done = site.sh("for e in .venv other; do echo x > $e/python; echo x > $e/new; done; mv .venv .v2")
    assert (site.root / ".venv/python").read_text() == "old", done.err
    assert not (site.root / ".venv/new").exists()
    assert (site.root / "other/python").read_text() == (site.root / "other/new").read_text() == "x\n"


@here
def test_the_temp_folder_of_a_command_is_its_own_and_writable(site: Site) -> None:
    done = site.sh(
        'f=$(mktemp) && echo "$f" && echo x > /dev/null && : > /dev/shm/letta-test-$$ && rm /dev/shm/letta-test-$$'
    )
    assert done.code == 0, done.err
    assert Path(done.out.strip()).is_relative_to(site.temp)


@here
@pytest.mark.parametrize(
    "attempt",
    [
        "echo x > {out}/f",
        "echo x > {out}/new",
        "truncate -s 0 {out}/f",
        "rm {out}/f",
        "mv {out}/f src/f",
        "ln {out}/f src/f; echo x > src/f",
        "ln -s {out} src/l; echo x > src/l/f",
        "cd {out} && echo x > f",
        "echo x > {root}/../outside/f",
        "exec 3<>{out}/f && echo x >&3",
        "cp src/a.py /proc/self/cwd/../outside/f",
        "mkdir {out}/d",
        "mkfifo {out}/p",
    ],
)
def test_nothing_changes_outside(site: Site, attempt: str) -> None:
    site.sh(attempt.format(out=site.outside, root=site.root))
    assert [path.name for path in site.outside.iterdir()] == ["f"]
    assert (site.outside / "f").read_text() == "old"


@here
@pytest.mark.parametrize(
    "attempt",
    [
        "mv .git .g2 && mkdir -p .git/hooks && echo x > .git/hooks/pre-commit",
        "echo x > .git/config",
        "echo x > .git/hooks/pre-commit",
        "ln .git/config src/c && echo x > src/c",
        "rm -rf .git",
        "mkdir .letta && echo x > .letta/config.yaml",
        "echo x > .mcp.json",
        "echo x > .envrc",
        "echo x > src/.envrc && mv src/.envrc .envrc",
        "ln -s src .letta",
    ],
)
def test_protected_names_are_neither_changed_nor_made(site: Site, attempt: str) -> None:
    site.sh(attempt)
    assert sorted(path.name for path in site.root.iterdir()) == [".git", "README.md", "src"]
    assert [path.name for path in (site.root / ".git/hooks").iterdir()] == []
    assert (site.root / ".git/config").read_text() == "old"


@here
def test_a_repository_inside_the_tree_is_protected_too(site: Site) -> None:
    nested = site.root / "src/vendored"
    (nested / ".git/hooks").mkdir(parents=True)
    (nested / "lib").mkdir()
    done = site.sh("echo x > src/vendored/lib/f; mv src/vendored src/v2; echo x > src/vendored/.git/hooks/pre-commit")
    assert (nested / "lib/f").read_text() == "x\n", done.err
    assert list((nested / ".git/hooks").iterdir()) == []


@here
def test_a_link_in_the_tree_opens_nothing(site: Site) -> None:
    (site.root / "away").symlink_to(site.outside)
    (site.root / "file").symlink_to(site.outside / "f")
    site.sh("echo x > away/f; echo x > file; echo x > away/new")
    assert (site.outside / "f").read_text() == "old"
    assert not (site.outside / "new").exists()


@here
def test_the_known_price_nothing_is_made_or_replaced_directly_in_the_top_folder(site: Site) -> None:
    done = site.sh("echo x > new; sed -i s/old/new/ README.md; rm README.md")
    assert done.code != 0
    assert sorted(path.name for path in site.root.iterdir()) == [".git", "README.md", "src"]
    assert "top folder" in site.sandbox.containment.says


@here
def test_a_git_command_that_was_judged_gets_the_repository_and_the_top_folder(site: Site) -> None:
    subprocess.run(["git", "init", "-q", "."], cwd=site.root, check=True)
    (site.root / ".git/hooks/pre-commit").write_text("#!/bin/sh\necho ran > src/hook\n")
    (site.root / ".git/hooks/pre-commit").chmod(0o755)
    commit = "git add -A && git commit -qm one"
    assert site.sh(commit).code != 0
    assert site.sh(commit, Grant(git=True)).code == 0
    assert not (site.root / "src/hook").exists()  # the repository's hooks need a yes of their own
    done = site.sh("echo more > src/a.py && git commit -qam two", Grant(git=True, hooks=True))
    assert (done.code, (site.root / "src/hook").exists()) == (0, True), done.err


@here
def test_further_paths_that_were_granted_are_written(site: Site) -> None:
    site.sh(f"echo x > {site.outside}/f", Grant(writes=(str(site.outside),)))
    assert (site.outside / "f").read_text() == "x\n"


@here
def test_secrets_and_the_memory_of_agents_are_not_read(site: Site) -> None:
    done = site.sh(f"cat {site.home}/.ssh/id {site.letta}/agents/b/memory; cat {site.home}/notes.txt")
    assert "SECRET" not in done.out
    assert done.out == "plain"


@here
def test_a_secret_that_was_granted_is_read_and_no_other(site: Site) -> None:
    named = f"{site.home}/.ssh/id"
    done = site.sh(f"cat {named} {site.letta}/agents/b/memory; echo x > {named}", Grant(reads=(named,)))
    assert done.out == "SECRET" and (site.home / ".ssh/id").read_text() == "SECRET"
    assert "SECRET" not in site.sh(f"cat {named}", Grant(network="open")).out


@here
def test_secrets_stay_hidden_when_the_home_folder_is_the_work_tree(tmp_path: Path) -> None:
    site = Site(tmp_path.resolve())
    site.sandbox.close()
    territory = Territory(root=str(site.home), temp=str(site.temp), home=str(site.home), letta_home=str(site.letta))
    site.sandbox = Landlock(holds(VERSION, "", ""), territory)
    done = site.sh(f"cat {site.home}/.ssh/id; echo x > {site.home}/.ssh/id; echo x > {site.home}/notes.txt")
    assert "SECRET" not in done.out
    assert (site.home / ".ssh/id").read_text() == "SECRET"
    assert (site.home / "notes.txt").read_text() == "x\n"
    site.sandbox.close()


@here
def test_devices_and_terminals_are_not_opened(site: Site) -> None:
    master, slave = os.openpty()
    try:
        done = site.py(f"""
            names = ("tty", "mem", "kmsg", "vda", "sda", "fuse")
            for path in ({os.ttyname(slave)!r}, *["/dev/" + name for name in names]):
                try:
                    open(path, "rb", buffering=0)
                    print("opened", path)
                except OSError:
                    pass
        """)
    finally:
        os.close(master)
        os.close(slave)
    assert (done.out, done.code) == ("", 0), done.err


# ------------------------------------------------------------ network


@pytest.fixture
def listening() -> Iterator[dict[str, int]]:
    """A TCP and a UDP socket of this machine that tell whether anybody came."""
    tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    for one in (tcp, udp):
        one.setblocking(False)
    ports = {"tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]}
    yield ports
    with tcp, udp:
        for came in (tcp.accept, lambda: udp.recv(10)):
            with pytest.raises(BlockingIOError):
                came()


@here
@pytest.mark.parametrize(
    "attempt",
    [
        "socket.create_connection(('127.0.0.1', {tcp}))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {udp}))",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'x', ('::ffff:127.0.0.1', {udp}))",
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(('127.0.0.1', {tcp}))",
        "socket.socket(socket.AF_INET).sendto(b'x', 0x20000000, ('127.0.0.1', {tcp}))",
        "socket.getaddrinfo('secret.example.com', 80)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "socket.create_server(('127.0.0.1', 0))",
    ],
)
def test_no_packet_leaves(site: Site, listening: dict[str, int], attempt: str) -> None:
    done = site.py(f"import socket; {attempt.format(**listening)}; print('done')")
    assert (done.out, done.code) == ("", 1)
    assert "rror" in done.err


@here
def test_shell_redirects_to_the_network_are_refused(site: Site, listening: dict[str, int]) -> None:
    done = site.sh("echo x > /dev/tcp/127.0.0.1/{tcp}; echo x > /dev/udp/127.0.0.1/{udp}".format(**listening))
    assert done.code != 0


@here
@pytest.mark.parametrize("address", ["/service.sock", "\0letta-test-{pid}"])
def test_sockets_of_other_programs_are_not_reached(site: Site, address: str) -> None:
    """Docker, systemd and agents of keys listen at such: each would lead out."""
    name = address.format(pid=os.getpid())
    name = name if name.startswith("\0") else str(site.root / "src") + name
    with socket.socket(socket.AF_UNIX) as service:
        service.bind(name)
        service.listen()
        service.setblocking(False)
        done = site.py(f"import socket; socket.socket(socket.AF_UNIX).connect({name!r}); print('done')")
        assert (done.out, done.code) == ("", 1)
        with pytest.raises(BlockingIOError):
            service.accept()


@here
def test_pairs_and_locks_of_programs_work(site: Site) -> None:
    done = site.py("""
        import asyncio, multiprocessing, socket
        a, b = socket.socketpair()
        a.send(b"hello")
        multiprocessing.Lock()
        asyncio.run(asyncio.sleep(0))
        print(b.recv(5))
    """)
    assert done.out == "b'hello'\n", done.err


@here
def test_an_open_network_is_open(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = site.py(f"import socket; socket.create_connection(('127.0.0.1', {port}))", Grant(network="open"))
        assert done.code == 0, done.err


# ------------------------------------------------------------ processes


@here
def test_other_processes_are_neither_ended_nor_read(site: Site) -> None:
    secret = {**os.environ, "TOKEN": "SECRET"}
    with subprocess.Popen(["sleep", "60"], env=secret) as other:
        try:
            done = site.py(f"""
                import os, signal
                for attempt in (
                    lambda: print(open("/proc/{other.pid}/environ").read()),
                    lambda: open("/proc/{other.pid}/mem", "r+b").read(1),
                    lambda: print(open("/proc/{other.pid}/root/etc/passwd").read()),
                    lambda: os.kill({other.pid}, signal.SIGTERM),
                    lambda: os.kill({os.getpid()}, 0),
                ):
                    try:
                        attempt()
                        print("done")
                    except OSError:
                        pass
            """)
            assert (done.out, done.code) == ("", 0), done.err
            assert other.poll() is None
        finally:
            other.kill()


@here
def test_rights_do_not_come_back(site: Site) -> None:
    done = site.sh("grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; grep CapEff /proc/self/status")
    assert "NoNewPrivs:\t1" in done.out
    assert "Seccomp:\t2" in done.out
    assert int(done.out.split()[-1], 16) & ~sum(1 << one for one in script.KEPT_CAPABILITIES) == 0


@here
def test_a_command_finds_its_environment_and_signals_as_they_were(site: Site) -> None:
    env = {"PATH": os.environ["PATH"], "ONE": "1"}
    done = site.run(["/usr/bin/env"], env=env)
    names = {line.partition("=")[0] for line in done.out.splitlines()}
    assert env.keys() <= names
    assert "LC_CTYPE" not in names
    done = site.sh("yes | head -1; echo ${PIPESTATUS[0]}; kill -9 $$")
    assert (done.out, done.code) == (f"y\n{128 + signal.SIGPIPE}\n", -9)


@here
def test_a_command_that_cannot_be_confined_is_not_started(site: Site) -> None:
    argv = [sys.executable, "-I", "-S", script.__file__, f"write={site.root}", "net=proxy", "--", "/bin/touch", "src/x"]
    env = {name: value for name, value in os.environ.items() if name != "HTTP_PROXY"}
    done = subprocess.run(argv, cwd=site.root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == script.NOT_STARTED
    assert "not started" in done.stderr
    assert not (site.root / "src/x").exists()


# ------------------------------------------------------------ the filter, for both processors


def judged(machine: str, net: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """What the filter's program answers, step by step as the kernel takes them."""
    data = struct.pack("<iIQ6Q", number, audit or script.MACHINES[machine][1], 0, *[*arguments, *[0] * 6][:6])
    steps = list(struct.iter_unpack("HBBI", script.program(machine, net)))
    at = value = 0
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        match code:
            case script.LOAD:
                (value,) = struct.unpack_from("<I", data, operand)
            case script.AND:
                value &= operand
            case script.RETURN:
                return operand
            case _:
                tests = {
                    script.EQUAL: value == operand,
                    script.AT_LEAST: value >= operand,
                    script.ANY_BIT: bool(value & operand),
                }
                at += yes if tests[code] else no


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_the_filter_of_each_processor(machine: str, column: int) -> None:
    refused, missing, sockets = script.NO_RIGHT, script.NO_CALL, script.NO_ACCESS
    for net in ("off", "proxy", "open"):
        for table, answer in ((script.REFUSED, refused), (script.MISSING, missing)):
            assert {judged(machine, net, one[column]) for one in table.values() if one[column] is not None} == {answer}
        assert judged(machine, net, 63 if column else 0) == script.ALLOW  # read
        assert judged(machine, net, 0, audit=0x40000003) == script.KILL  # i386, whose numbers mean other calls
    new = script.SOCKET[column]
    assert {judged(machine, "off", new, family, 1) for family in (1, 2, 10, 16, 17, 38, 40)} == {sockets}
    assert judged(machine, "open", new, 2, 2) == script.ALLOW
    proxied = {
        (f, t, p): judged(machine, "proxy", new, f, t, p)
        for f in (1, 2, 10, 16)
        for t in (1, 2, 3)
        for p in (0, 6, 262)
    }
    assert {key for key, answer in proxied.items() if answer == script.ALLOW} == {
        (2, 1, 0),
        (2, 1, 6),
        (10, 1, 0),
        (10, 1, 6),
    }
    assert judged(machine, "proxy", new, 2, 1 | 0o2004000, 0) == script.ALLOW  # with flags for the descriptor
    fast = 0x20000000
    for numbers, place in ((script.SENDTO, 3), (script.SENDMSG, 2), (script.SENDMMSG, 3)):
        arguments = [0] * 6
        assert judged(machine, "proxy", numbers[column], *arguments) == script.ALLOW
        arguments[place] = fast
        assert judged(machine, "proxy", numbers[column], *arguments) == sockets
    if machine == "x86_64":
        assert judged(machine, "off", script.X32 + 41, 2, 1) == missing


@here
def test_io_uring_is_not_there(site: Site) -> None:
    number = script.MISSING["io_uring_setup"][0]
    if ctypes.CDLL(None, use_errno=True).syscall(number, 1, 0) == -1 and ctypes.get_errno() == 38:
        pytest.skip("this kernel has none anyway")
    done = site.py(f"""
        import ctypes
        print(ctypes.CDLL(None, use_errno=True).syscall({number}, 1, 0), ctypes.get_errno())
    """)
    assert done.out == "-1 38\n"


# ------------------------------------------------------------ what is said


def test_what_is_said_follows_the_kernel() -> None:
    assert "no other program" in holds(7, "", "").says
    assert "does not keep commands from ending other programs" in holds(5, "", "").says
    assert "other ports" in holds(3, "", "").says
    assert [holds(7, "", "apt-get install bubblewrap").confines, holds(7, "", "x").mend] == [False, "x"]


@here
async def test_a_command_that_uses_too_much_is_stopped_as_with_bubblewrap(site: Site) -> None:
    territory = Territory(root=str(site.root), temp=str(site.temp), home=str(site.home), letta_home=str(site.letta))
    sandbox = Landlock(holds(VERSION, "", ""), territory, limits=Limits(processes=20))
    workspace = LocalWorkspace(str(site.root), str(site.temp), sandbox=sandbox)
    try:
        done = await workspace.exec(ExecSpec(shell="for i in {1..60}; do sleep 60 & done; wait", timeout=60))
    finally:
        await workspace.close()
    assert "20 processes" in done.exceeded
    assert done.seconds < 60
