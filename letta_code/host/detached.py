"""Detached: a process that goes on without us: its own session, no terminal, nothing of ours but its environment."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from letta_code.core.messages import Value
from letta_code.host.files import PRIVATE_FILE, ensure_private_dir, open_regular

READY = "_LETTA_READY"  # in the environment: the descriptor on which the process says that it is ready
READY_SECONDS = 20.0
_ERROR_BYTES = 4_000
_OK = b"ready\n"


class Detached(Value):
    """A process that was started; `error` is what it said when it could not begin, "" when it is ready."""

    pid: int
    error: str = ""


def start_detached(
    argv: Sequence[str], *, said: bytes, cwd: str, log: Path, seconds: float = READY_SECONDS
) -> Detached:
    """Start a process in a session of its own, and wait until it says that it is ready, or why it is not.

    It gets `said` on stdin (then its end), prints into the file `log` (appended to, 0600), and inherits no descriptor.
    When it ends while we live it leaves no zombie.  Blocks up to `seconds`; raises `OSError` when it cannot be started.
    """
    import subprocess

    ensure_private_dir(log.parent)
    # O_NONBLOCK: a FIFO that nobody reads would be waited for; for a file it means nothing.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    output = os.open(log, flags, PRIVATE_FILE)
    told = os.fstat(output).st_size
    ready, says = os.pipe()
    try:
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env={**os.environ, READY: str(says)},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(says,),
            start_new_session=True,
        )
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(says)
        os.close(output)
    # Reaped when it ends; a daemon, since it must not keep us from ending.
    threading.Thread(target=process.wait, name="reaper", daemon=True).start()
    try:
        _give(process.stdin, said)
        heard = _hear(ready, time.monotonic() + seconds)
    finally:
        os.close(ready)
    if heard == _OK:
        return Detached(pid=process.pid)
    words = heard.decode("utf-8", "replace").strip() or _printed(log, told) or "it ended, or is silent"
    return Detached(pid=process.pid, error=words)


def _give(stdin: object, said: bytes) -> None:
    from typing import IO, cast

    pipe = cast(IO[bytes], stdin)
    with suppress(OSError), pipe:  # it died at once: that is told by what it printed
        pipe.write(said)


def _hear(descriptor: int, end: float) -> bytes:
    heard = b""
    while (left := end - time.monotonic()) > 0 and len(heard) < _ERROR_BYTES:
        if not select.select([descriptor], [], [], left)[0]:
            break
        piece = os.read(descriptor, _ERROR_BYTES)
        if not piece:
            break
        heard += piece
        if heard == _OK:
            break
    return heard


def _printed(log: Path, since: int) -> str:
    try:
        with open_regular(log) as file:
            file.seek(since)
            lines = file.read(64 * 1024).decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


def say_ready(error: str = "") -> None:
    """Called in the detached process, once: it is ready, or why it is not.  Nothing happens where nobody waits."""
    number = os.environ.pop(READY, "")
    if not number.isdigit():
        return
    with suppress(OSError):  # whoever started us has gone
        os.write(int(number), error.encode("utf-8", "replace")[:_ERROR_BYTES] if error else _OK)
    with suppress(OSError):
        os.close(int(number))


def keep_ready_private() -> None:
    """Called first in the detached process: what it starts gets neither the descriptor nor its number."""
    number = os.environ.get(READY, "")
    if number.isdigit():
        with suppress(OSError):
            os.set_inheritable(int(number), False)
