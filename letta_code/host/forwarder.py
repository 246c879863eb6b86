"""Forwarder: a small script that starts a command with a proxy at 127.0.0.1, and carries that to a unix socket.

It is run as a script inside the sandbox (`python -I -S forwarder.py SOCKET HOST… -- PROGRAM ARGUMENT…`, hosts
that are not asked for through the proxy) and imports nothing
of ours: programs know proxies by TCP only, and a sandbox without a network has nothing but its own loopback.  It ends
as the command ends: with its exit code, or killed by its signal.  Exit code 125 and a line on stderr: not started.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys

NOT_STARTED = 125
BLOCK = 64 * 1024
MOST = 256 * 1024  # bytes that wait for one side before the other is not read any more
CONNECTIONS = 200
HERE = ("localhost", "127.0.0.1", "::1")


class Side:
    """One socket of a pair: `waiting` are bytes still to be sent to it."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.waiting = bytearray()
        self.ended = False  # nothing more comes from it
        self.told = False  # it was told that nothing more comes to it
        self.other: Side = self


class Forwarder:
    """Carries every connection to a listening TCP socket to a unix socket, until the child ends."""

    def __init__(self, listening: socket.socket, path: str) -> None:
        self.listening = listening
        self.path = path
        self.sides: dict[int, Side] = {}

    def run(self, ended: int) -> None:
        """Serve until `ended` can be read."""
        while True:
            poll = select.poll()
            poll.register(ended, select.POLLIN)
            if len(self.sides) < 2 * CONNECTIONS:
                poll.register(self.listening.fileno(), select.POLLIN)
            for fd, side in self.sides.items():
                reads = not side.ended and len(side.other.waiting) < MOST
                wanted = (select.POLLIN if reads else 0) | (select.POLLOUT if side.waiting else 0)
                if wanted:  # else a side that hung up would wake us for ever
                    poll.register(fd, wanted)
            for fd, what in poll.poll():
                if fd == ended:
                    return
                if fd == self.listening.fileno():
                    self.accept()
                elif fd in self.sides:
                    self.carry(self.sides[fd], what)

    def accept(self) -> None:
        """Take a connection and make the one it is carried to."""
        try:
            near, _ = self.listening.accept()
        except OSError:
            return
        far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            far.connect(self.path)
        except OSError:
            near.close()
            far.close()
            return
        one, two = Side(near), Side(far)
        one.other, two.other = two, one
        for side in (one, two):
            side.link.setblocking(False)
            self.sides[side.link.fileno()] = side

    def carry(self, side: Side, what: int) -> None:
        """Read and write what can be; both sides end with an error of one, or when both have nothing more."""
        try:
            if what & select.POLLOUT and side.waiting:
                del side.waiting[: side.link.send(side.waiting)]
            if what & (select.POLLIN | select.POLLHUP) and not side.ended:
                data = side.link.recv(BLOCK)
                side.other.waiting += data
                side.ended = not data
            for one in (side, side.other):
                if one.other.ended and not one.waiting and not one.told:
                    one.told = True
                    one.link.shutdown(socket.SHUT_WR)
            over = (side.told and side.other.told) or bool(what & select.POLLERR)
        except BlockingIOError:
            return
        except OSError:
            over = True
        if over:
            for one in (side, side.other):
                self.sides.pop(one.link.fileno(), None)
                one.link.close()


def announce(port: int, own: list[str]) -> None:
    """Tell programs of the proxy, in all the ways they look for it; `own` hosts are asked without it."""
    address = f"http://127.0.0.1:{port}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY"):
        os.environ[name] = os.environ[name.lower()] = address
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(own)
    os.environ["NODE_USE_ENV_PROXY"] = "1"


def become(argv: list[str]) -> None:
    """In the child: the command, with the signals as programs expect them (Python ignores some)."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(argv[0], argv)
    except OSError as error:
        sys.stderr.write(f"letta-code: {argv[0]} could not be started: {error.strerror}\n")
        os._exit(NOT_STARTED)


def end_as(status: int) -> None:
    """End with a child's exit code, or by the signal that killed it."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def main() -> None:
    """Start the command, forward until it ends, end as it did."""
    end = sys.argv.index("--")
    path, own, argv = sys.argv[1], sys.argv[2:end], sys.argv[end + 1 :]
    try:
        listening = socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS)
    except OSError as error:
        sys.stderr.write(f"letta-code: the command was not started: there is no loopback for its proxy: {error}\n")
        sys.exit(NOT_STARTED)
    read, write = os.pipe()
    os.set_blocking(write, False)
    announce(listening.getsockname()[1], own)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        become(argv)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are for the command, which may need its time to end
    forwarder = Forwarder(listening, path)
    while True:
        forwarder.run(read)
        os.read(read, 4096)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            end_as(status)


if __name__ == "__main__":
    main()
