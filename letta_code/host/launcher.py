"""The launcher: a small process of its own that starts commands, owns everything they leave behind, and ends with us.

It is run as a script (`python -I -S launcher.py`, a socket as fd 3) and imports nothing of ours.  Why a process and not
`subprocess`: it is the *subreaper* of all commands, so a `setsid` or twice-forked grandchild stays findable and leaves
no zombie, while our own process may hold children of other libraries that must not be reaped; when we die, even by
kill -9, its socket ends and it stops everything that is not kept; and a small process starts children in 1 ms whatever
our own size, from any thread, without asyncio's child watchers.

Frames both ways: 4 bytes of length (big-endian), then a marshalled tuple (same interpreter on both sides).
To us: `("spawn", id, argv, env, cwd, keep, guarded)` with 1 or 2 descriptors (stdout, stderr), `("kill", id,
grace_seconds)`, `("count", id)`, `("bye",)`.  From us: `("started", id, pid)`, `("failed", id, errno, text)`,
`("ended", id, exit_code_or_minus_signal)`, `("gone", id, survivors)`, `("counted", id, n)`.
"""

from __future__ import annotations

import marshal
import os
import select
import signal
import socket
import sys
import time

SOCKET_FD = 3
MARK = b"_LETTA_COMMAND="  # in the environment of every command: tells whose a daemonized grandchild is
RESET = [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD]
GRACE = 1.5  # seconds between TERM and KILL when we end
LEAST_GRACE = 0.5  # … where a command that was killed right before has used up the rest: nobody waits twice
RESCAN = 0.04  # seconds between two looks at the process table while killing
GIVE_UP = 1.0  # seconds of KILL after which survivors (in uninterruptible sleep) are reported


class Process:
    """A row of the process table (`typing` and `dataclasses` would double the start time of this script)."""

    def __init__(self, pid: int, parent: int, group: int, session: int) -> None:
        self.pid = pid
        self.parent = parent
        self.group = group
        self.session = session


class Request:
    """What to start: `argv[0]` is a path; a guarded one is a sandbox, and the command in it a group of its own."""

    def __init__(self, argv: list[bytes], env: dict[bytes, bytes], cwd: bytes, keep: bool, guarded: bool) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.keep = keep
        self.guarded = guarded


class Job:
    """One command: `root` is its first process, 0 once that has ended."""

    def __init__(self, key: int, root: int, wanted: Request) -> None:
        self.key = key
        self.root = root
        self.keep = wanted.keep
        self.guarded = wanted.guarded


class Kill:
    """A kill under way: TERM until `hard`, then KILL, then report at `end`."""

    def __init__(self, grace: float) -> None:
        self.hard = time.monotonic() + grace
        self.end = self.hard + GIVE_UP
        self.told: set[int] = set()


class Launcher:
    """State and loop of the launcher."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.me = os.getpid()
        self.mark = MARK + str(self.me).encode() + b"-"
        self.jobs: dict[int, Job] = {}
        self.roots: dict[int, Job] = {}  # by the first process
        self.session = os.getsid(0)
        self.sessions: dict[int, int] = {}  # session to job: the first process's own, and those made by its children
        self.adopted: dict[int, int] = {}  # orphans that came to us, to their job; pids are safe until we reap them
        self.kills: dict[int, Kill] = {}
        self.asked = 0.0  # when the last kill was asked for
        self.ending = False

    def run(self) -> None:
        """Serve until the socket ends, then stop what is left."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.link.fileno(), select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        while not (self.ending and not self.kills):
            for fd, _ in poll.poll(RESCAN * 1000 if self.kills else None):
                if fd == wake_read:
                    os.read(wake_read, 4096)
                elif not self.serve():
                    poll.unregister(fd)
                    self.end()
            self.reap()
            if self.kills:
                self.advance()

    def serve(self) -> bool:
        """Read one frame and do it; False when there are no more."""
        try:
            head, fds, _, _ = socket.recv_fds(self.link, 4, 4)
            body = self.exactly(int.from_bytes(head + self.exactly(4 - len(head)), "big")) if head else b""
        except OSError:
            return False
        if not body:
            return False
        for fd in fds:
            os.set_inheritable(fd, False)
        try:
            message = marshal.loads(body)
            match message[0]:
                case "spawn":
                    self.spawn(message[1], Request(*message[2:]), fds)
                case "kill":
                    self.asked = time.monotonic()
                    self.kills.setdefault(message[1], Kill(message[2]))
                case "count":
                    self.say("counted", message[1], len(self.members().get(message[1], ())))
                case _:
                    return False
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self.link.recv(count - len(parts))
            if not part:
                raise OSError("torn frame")
            parts += part
        return bytes(parts)

    def say(self, *message: str | int) -> None:
        body = marshal.dumps(message)
        try:
            self.link.sendall(len(body).to_bytes(4, "big") + body)
        except OSError:
            self.ending = self.ending or not self.end()

    def spawn(self, key: int, wanted: Request, fds: list[int]) -> None:
        """Start a command in a session of its own; stdin is /dev/null."""
        wanted.env[MARK[:-1]] = self.mark[len(MARK) :] + str(key).encode()
        actions = [(os.POSIX_SPAWN_DUP2, fds[0], 1), (os.POSIX_SPAWN_DUP2, fds[-1], 2)]
        try:
            os.chdir(wanted.cwd)
            pid = _spawn(wanted, actions)
        except OSError as error:
            self.say("failed", key, error.errno or 0, os.fsdecode(error.filename or b""))
            return
        finally:
            os.chdir("/")
        self.jobs[key] = self.roots[pid] = Job(key, pid, wanted)
        self.sessions[pid] = key
        self.say("started", key, pid)

    def reap(self) -> None:
        """Collect every child that has ended: commands are reported, orphans just go."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.adopted.pop(pid, None)
            job = self.roots.pop(pid, None)
            if job is not None:
                job.root = 0
                self.say("ended", job.key, os.waitstatus_to_exitcode(status))

    def end(self) -> bool:
        """Begin to stop every job that is not kept."""
        if not self.ending:
            self.ending = True
            used = time.monotonic() - self.asked
            grace = max(LEAST_GRACE, GRACE - used) if used < GRACE + GIVE_UP else GRACE
            kept = {job.key for job in self.jobs.values() if job.keep}
            for key in self.members():
                if key in kept or (key == 0 and kept):
                    continue  # an orphan of unknown job may belong to a kept one
                self.kills.setdefault(key, Kill(grace))
        return False

    def advance(self) -> None:
        """One round of all kills: whoever is alive gets TERM once, or KILL when the grace is over.

        Signals go to whole process groups: the kernel does that in one step, which a fork bomb cannot outrun.
        """
        members = self.members()
        now = time.monotonic()
        for key, kill in list(self.kills.items()):
            alive = members.get(key, [])
            if not alive or now >= kill.end:
                del self.kills[key]
                self.say("gone", key, len(alive))
                continue
            job = self.jobs.get(key)
            if job is not None and job.guarded:
                kill.told.add(job.root)  # a sandbox that ends takes the command with it, which shall end by itself
            for group in {process.group for process in alive}:
                if now >= kill.hard:
                    _signal(group, signal.SIGKILL)
                elif group not in kill.told:
                    kill.told.add(group)
                    _signal(group, signal.SIGTERM)
                    _signal(group, signal.SIGCONT)

    def members(self) -> dict[int, list[Process]]:
        """Living processes by job; key 0 holds orphans of no known job (their environment was cleared)."""
        table = {process.pid: process for process in processes()}
        found: dict[int, list[Process]] = {}
        for process in table.values():
            key = self.owner(process, table)
            if key is not None:
                found.setdefault(key, []).append(process)
        running = [job.key for job in self.jobs.values() if job.root]
        if 0 in found and len(running) == 1 and not self.ending:
            found.setdefault(running[0], []).extend(found.pop(0))
        # A session number cannot be used again while one process is in it: learned ones are kept just that long.
        self.sessions = {p.session: key for key, group in found.items() if key for p in group}
        for key in [k for k, job in self.jobs.items() if not job.root and k not in found]:
            del self.jobs[key]
        self.sessions.update({job.root: key for key, job in self.jobs.items() if job.root})
        return found

    def owner(self, process: Process, table: dict[int, Process]) -> int | None:
        """The job that a process belongs to, 0 for an orphan of unknown job, None for a stranger."""
        if process.pid == self.me or process.session == self.session:
            return None
        steps = 0
        while steps < 10_000:
            if process.session in self.sessions:
                return self.sessions[process.session]
            if process.parent == self.me or process.parent not in table:
                break
            process, steps = table[process.parent], steps + 1
        if process.parent != self.me:
            return None
        if process.pid not in self.adopted:
            self.adopted[process.pid] = self.marked(process.pid) or 0
        return self.adopted[process.pid]

    def marked(self, pid: int) -> int | None:
        """The job named in a process's environment."""
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                _, found, rest = file.read().partition(self.mark)
        except OSError:
            return None
        return int(rest.partition(b"\0")[0]) if found else None


def processes() -> list[Process]:
    """Every living process; where there is no /proc, with its group in the place of its session."""
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        names = []
    if not names:
        with os.popen("ps -axo pid=,ppid=,pgid=,stat=") as table:
            rows = [line.split() for line in table]
        return [Process(int(r[0]), int(r[1]), int(r[2]), int(r[2])) for r in rows if len(r) == 4 and "Z" not in r[3]]
    found: list[Process] = []
    for name in names:
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The command's name stands in brackets and may hold anything, brackets too.
                state, parent, group, session = file.read().rpartition(b")")[2].split(maxsplit=4)[:4]
        except (OSError, ValueError):
            continue
        if state not in (b"Z", b"X"):
            found.append(Process(int(name), int(parent), int(group), int(session)))
    return found


def _spawn(wanted: Request, actions: list[tuple[int, int, int]]) -> int:
    argv, env = wanted.argv, wanted.env
    try:
        return os.posix_spawn(argv[0], argv, env, file_actions=actions, setsid=True, setsigdef=RESET, setsigmask=[])
    except NotImplementedError:  # a libc without POSIX_SPAWN_SETSID: a process group must do
        return os.posix_spawn(argv[0], argv, env, file_actions=actions, setpgroup=0, setsigdef=RESET, setsigmask=[])


def _signal(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except OSError:
        return


def _close_others() -> None:
    """Descriptors that some library forgot to mark must not reach commands through us."""
    try:
        names = os.listdir("/dev/fd")
    except OSError:  # no /proc in this container
        os.closerange(SOCKET_FD + 1, 1024)
        return
    for name in names:
        if int(name) > SOCKET_FD:
            try:
                os.close(int(name))
            except OSError:
                continue  # the one that listed them


def _become_subreaper() -> None:
    """Linux: orphans below us come to us and not to init (prctl PR_SET_CHILD_SUBREAPER)."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def main() -> None:
    """Serve the socket at fd 3 until it ends."""
    os.set_inheritable(SOCKET_FD, False)
    _close_others()
    os.chdir("/")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is for the agent; our end is the end of the socket
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _become_subreaper()
    Launcher(socket.socket(fileno=SOCKET_FD)).run()


if __name__ == "__main__":
    main()
