"""Lines of stdin, read on a thread of their own: a pipe that never ends or says nothing holds up nobody."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

LONGEST = 32 * 1024 * 1024


async def read_lines(descriptor: int = 0) -> AsyncIterator[bytes]:
    """Each line without its newline, empty ones left out; one longer than 32 MB comes cut, which is no JSON."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    def put(line: bytes | None) -> None:
        with suppress(RuntimeError):  # the loop has ended; what still comes is for nobody
            loop.call_soon_threadsafe(queue.put_nowait, line)

    # os.read, not sys.stdin: a daemon thread inside a buffered reader crashes the interpreter at its end.
    threading.Thread(target=_pump, args=(descriptor, put), name="stdin", daemon=True).start()
    while (line := await queue.get()) is not None:
        if line.strip():
            yield line


def _pump(descriptor: int, put: Callable[[bytes | None], None]) -> None:
    kept = bytearray()
    try:
        while data := os.read(descriptor, 65536):
            *whole, rest = data.split(b"\n")
            for line in whole:
                put(bytes(kept[:LONGEST] + line))
                kept.clear()
            if len(kept) < LONGEST:
                kept += rest
    except OSError:
        pass  # closed: the same as its end
    if kept:
        put(bytes(kept))
    put(None)
