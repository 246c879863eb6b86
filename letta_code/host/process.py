"""Processes: start a command through the launcher, read what it prints, stop it with everything it started.

Works on any thread that runs an asyncio loop (no child watcher, no signal handler): the launcher (launcher.py) is the
parent of every command and tells of ends through a socket.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import marshal
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

Sink: TypeAlias = Callable[[bytes], None]

GRACE = 1.5  # seconds between TERM and KILL
GONE_WITHIN = GRACE + 1.5  # seconds after which a kill is given up (processes in uninterruptible sleep)
EOF_WAIT = 0.2  # seconds that a command's children may hold its output after it has ended
CHUNK = 262_144
PIPE_SIZE = 1_048_576  # Linux's limit for everybody; fewer switches between a command and its reader
_SOCKET_FD = 3
_SCRIPT = str(Path(__file__).with_name("launcher.py"))


class LauncherLost(OSError):
    """The launcher ended unexpectedly; what it had started was killed.  The next command starts a new one."""


class Child:
    """A started command.  `pid` leads its own session; `ended` is its exit code, or minus the signal that ended it."""

    def __init__(self, launcher: Launcher, key: int, pid: int, ended: asyncio.Future[int]) -> None:
        self._launcher = launcher
        self._key = key
        self.pid = pid
        self.ended = ended

    async def kill(self, grace: float = GRACE) -> int:
        """TERM to everything the command started, KILL after `grace` seconds; returns how many survived both."""
        gone = self._launcher.ask("gone", self._key, "kill", self._key, grace)
        done, _ = await asyncio.wait({gone}, timeout=grace + GONE_WITHIN)
        # The end of the first process and the end of all are told apart; the first is never later than the second.
        await asyncio.wait({self.ended}, timeout=0.5)
        return gone.result() if done else 1

    async def count(self) -> int:
        """How many processes of the command live."""
        return await self._launcher.ask("counted", self._key, "count", self._key)


class Launcher:
    """The launcher process as seen from here: one for each workspace, started with its first command.

    Bound to the loop that first used it; used on another loop (tests, a second session) it starts anew there.
    """

    def __init__(self) -> None:
        self._keys = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._link: socket.socket | None = None
        self._pid = 0
        self._joined: tuple[int | str, ...] = ()
        self._buffer = bytearray()
        self._waiting: dict[tuple[str, int], list[asyncio.Future[int]]] = {}
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._closed: asyncio.Future[int] | None = None
        self._kept: set[int] = set()
        self._said_bye = False

    def join(self, files: Sequence[str]) -> None:
        """Put the launcher, and so all that it starts from now on, into control groups; a refusal changes nothing."""
        self.warm()
        if self._joined == (self._pid, *files):
            return
        self._joined = (self._pid, *files)
        for path in files:
            with suppress(OSError):
                descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.write(descriptor, str(self._pid).encode())
                finally:
                    os.close(descriptor)

    def warm(self) -> None:
        """Start the launcher process if it is not there (15 ms of another core, so that the first command is quick)."""
        loop = asyncio.get_running_loop()
        if self._link is not None and self._loop is loop:
            return
        self._drop(LauncherLost("the launcher moved to another event loop"))
        ours, theirs = socket.socketpair()
        # Not 3: a descriptor that is copied onto itself would stay closed-on-exec.
        high = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        copies = [(os.POSIX_SPAWN_DUP2, null, n) for n in (0, 1, 2)]
        try:
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", _SCRIPT],
                os.environ,
                file_actions=[*copies, (os.POSIX_SPAWN_DUP2, high, _SOCKET_FD)],
                setpgroup=0,  # a Ctrl-C at the terminal is for us alone
            )
        finally:
            os.close(null)
            os.close(high)
            theirs.close()
        ours.settimeout(10)
        self._loop, self._link, self._closed = loop, ours, loop.create_future()
        self._said_bye = False
        loop.add_reader(ours.fileno(), self._readable)

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        output: Sequence[int],
        keep: bool = False,
        guarded: bool = False,
    ) -> Child:
        """Start `argv` (its first word a path) in a session of its own with /dev/null as stdin.

        `output` is one descriptor for stdout and stderr, or two; they stay the caller's.  A kept command survives our
        end; with a guarded one, a sandbox, only the command in it is told to end.  Raises the `OSError` of the start
        (no such program, no such folder, argument list too long).
        """
        self.warm()
        key = next(self._keys)
        if keep:
            self._kept.add(key)
        loop = asyncio.get_running_loop()
        ended = self._ended[key] = loop.create_future()
        words = [_bytes(word) for word in argv]
        pairs = {_bytes(name): _bytes(value) for name, value in env.items()}
        started = self.ask("started", key, "spawn", key, words, pairs, _bytes(cwd), keep, guarded, fds=output)
        try:
            pid = await started
        except asyncio.CancelledError:
            self._send("kill", key, GRACE)  # frames keep their order: it is started by then
            raise
        except OSError:
            self._ended.pop(key, None)
            raise
        return Child(self, key, pid, ended)

    async def close(self) -> None:
        """Stop everything that is not kept, then the launcher itself."""
        if self._link is None or self._closed is None or self._loop is not asyncio.get_running_loop():
            self._drop(LauncherLost("closed"))
            return
        self._said_bye = True
        self._send("bye")
        await asyncio.wait({self._closed}, timeout=GRACE + GONE_WITHIN)
        self._drop(LauncherLost("closed"))

    def ask(self, answer: str, key: int, *message: Any, fds: Sequence[int] = ()) -> asyncio.Future[int]:
        """Send a message; the future is its answer."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault((answer, key), []).append(future)
        self._send(*message, fds=fds)
        return future

    def _send(self, *message: Any, fds: Sequence[int] = ()) -> None:
        if self._link is None:
            self._fail(LauncherLost("the launcher is not running"))
            return
        body = marshal.dumps(message)
        try:
            head = len(body).to_bytes(4, "big")
            if fds:
                socket.send_fds(self._link, [head], list(fds))
                self._link.sendall(body)
            else:
                self._link.sendall(head + body)
        except OSError:
            self._lost()

    def _readable(self) -> None:
        try:
            data = self._link.recv(65_536) if self._link else b""
        except (BlockingIOError, InterruptedError, TimeoutError):
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._buffer += data
        while len(self._buffer) >= 4:
            end = 4 + int.from_bytes(self._buffer[:4], "big")
            if len(self._buffer) < end:
                return
            message = marshal.loads(self._buffer[4:end])
            del self._buffer[:end]
            self._told(*message)

    def _told(self, what: str, key: int, value: int, text: str = "") -> None:
        if what == "ended":
            future = self._ended.pop(key, None)
            if future is not None and not future.done():
                future.set_result(value)
            return
        if what == "failed":
            error = OSError(value, os.strerror(value), text) if value else OSError("the command could not be started")
            self._answer("started", key, error)
            return
        self._answer(what, key, value)

    def _answer(self, what: str, key: int, value: int | OSError) -> None:
        for future in self._waiting.pop((what, key), ()):
            if future.done():
                continue
            if isinstance(value, OSError):
                future.set_exception(value)
            else:
                future.set_result(value)

    def _fail(self, error: OSError) -> None:
        for what, key in list(self._waiting):
            self._answer(what, key, error)
        for future in self._ended.values():
            if not future.done() and not future.get_loop().is_closed():
                future.set_exception(error)
                future.exception()  # nobody may be waiting: not worth a warning
        self._ended.clear()

    def _lost(self) -> None:
        """The launcher has ended; where nobody told it to, it left its commands without anybody to stop them."""
        pid = self._pid
        self._drop(LauncherLost("the launcher ended"))
        if pid and not self._said_bye:
            from letta_code.host.strays import end_strays

            end_strays(pid, self._kept)

    def _drop(self, error: OSError) -> None:
        """Let go of a launcher that has ended, or that ends because its socket does."""
        link, self._link = self._link, None
        if link is not None:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(link.fileno())
            link.close()
        self._buffer.clear()
        if self._loop is not None and not self._loop.is_closed():
            self._fail(error)
            if self._closed is not None and not self._closed.done():
                self._closed.set_result(0)
        else:
            self._waiting.clear()
            self._ended.clear()
        pid, self._pid = self._pid, 0
        if pid:
            _reap(pid)


def _reap(pid: int) -> None:
    """Collect the launcher: it closes its socket as the last thing it does, so this waits for a moment only."""
    for _ in range(20):
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                time.sleep(0.002)
                continue
        return


class Pipe:
    """The reading end of a command's output, read on the running loop as fast as `sink` takes it."""

    def __init__(self, sink: Sink) -> None:
        self._loop = asyncio.get_running_loop()
        self._sink: Sink = sink
        self._fd, self.write_end = os.pipe()
        os.set_blocking(self._fd, False)
        if sys.platform == "linux":
            with suppress(OSError):
                fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._fd, self._readable)

    def started(self) -> None:
        """The command has the writing end now; ours is closed."""
        os.close(self.write_end)
        self.write_end = -1

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._sink(data)
        else:
            self.close()

    def discard(self) -> None:
        """Go on reading and throw it away: whoever still writes must not die of a closed pipe."""
        self._sink = _nowhere

    def close(self) -> None:
        """Stop reading."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1
        if not self.ended.done():
            self.ended.set_result(None)


def _nowhere(_: bytes) -> None:
    return


class Outcome:
    """How a command ended: `exit_code` None when we killed it or it died of `signal`; `left_running` is a count."""

    def __init__(self, code: int | None, *, killed: bool, timed_out: bool, seconds: float, left_running: int) -> None:
        self.signal = -code if code is not None and code < 0 and not killed else 0
        self.exit_code = None if killed or code is None else (code if code >= 0 else 128 - code)
        self.timed_out = timed_out
        self.seconds = seconds
        self.left_running = left_running


async def run(
    launcher: Launcher,
    argv: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    stdout: Sink,
    stderr: Sink | None = None,
    timeout: float | None = None,
    stop: asyncio.Event | None = None,
    on_pid: Callable[[int], None] | None = None,
    guarded: bool = False,
) -> Outcome:
    """Run a command to its end; stderr goes where stdout goes unless it has a sink of its own.

    At the timeout, when `stop` is set, or when cancelled, the whole tree is killed.  Processes that still hold the
    output when the command has ended are waited for 0.2 s, then left running and counted.
    """
    began = time.monotonic()
    pipes = [Pipe(stdout)] + ([Pipe(stderr)] if stderr else [])
    left = False
    try:
        output = [p.write_end for p in pipes]
        child = await launcher.spawn(argv, cwd=cwd, env=env, output=output, guarded=guarded)
        for pipe in pipes:
            pipe.started()
        if on_pid:
            on_pid(child.pid)
        ended = await _wait(child, timeout, stop)
        code = child.ended.result() if child.ended.done() else None
        seconds = time.monotonic() - began
        await asyncio.wait({p.ended for p in pipes}, timeout=EOF_WAIT)
        left = ended and not all(p.ended.done() for p in pipes)
        count = await child.count() if left else 0
    finally:
        for pipe in pipes:
            pipe.discard() if left else pipe.close()
    timed_out = not ended and not (stop is not None and stop.is_set())
    return Outcome(code, killed=not ended, timed_out=timed_out, seconds=seconds, left_running=count)


async def _wait(child: Child, timeout: float | None, stop: asyncio.Event | None) -> bool:
    """Wait for the first process; False when it had to be killed."""
    stopping = asyncio.ensure_future(stop.wait()) if stop else None
    try:
        await asyncio.wait(
            {child.ended, stopping} if stopping else {child.ended},
            timeout=timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
    except asyncio.CancelledError:
        await child.kill()
        raise
    finally:
        if stopping:
            stopping.cancel()
    if child.ended.done():
        return True
    await child.kill()
    return False


def which(name: str, path: str) -> str | None:
    """The program that a search path gives for a name (shutil.which would cost 3 ms of imports)."""
    if "/" in name:
        return name
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder or ".", name)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return None


def _bytes(text: str) -> bytes:
    """Text as the system takes it; a NUL cannot be passed, a lone surrogate that is no byte becomes `?`."""
    if "\0" in text:
        raise ValueError("a NUL character cannot be passed to a command")
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
