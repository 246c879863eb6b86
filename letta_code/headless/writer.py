"""Writing to a pipe without ever holding up the run: a thread writes, the event loop only queues."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Callable

from letta_code.host.hangup import hung_up

# More than this unread by whoever reads us, and the run waits: its events are in the store, not in our memory.
MOST_QUEUED = 8 * 1024 * 1024


class Writer:
    """Bytes to one file descriptor, in order.  A reader that is slow or gone never blocks the event loop."""

    def __init__(self, descriptor: int, on_broken: Callable[[], None] | None = None) -> None:
        """`on_broken` is called on the writing thread when the reader has gone away."""
        self._descriptor = descriptor
        self._on_broken = on_broken
        self._queue: list[bytes] = []
        self._unwritten = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.broken = False
        self.error = ""  # why, unless the reader has merely gone away
        self.hung_up = False  # the reader was a terminal that is gone

    def write(self, data: bytes) -> None:
        """Queue bytes; dropped once the reader has gone."""
        if self.broken or not data:
            return
        if self._thread is None:
            # A daemon: a reader that stopped reading must not keep the process from ending.
            self._thread = threading.Thread(target=self._work, name=f"writer-{self._descriptor}", daemon=True)
            self._thread.start()
        with self._changed:
            self._queue.append(data)
            self._unwritten += len(data)
            self._changed.notify()

    async def room(self) -> None:
        """Wait while too much is unread."""
        while self._unwritten > MOST_QUEUED and not self.broken:  # noqa: ASYNC110 - the thread has no loop to wake us on
            await asyncio.sleep(0.01)

    def flush(self, seconds: float) -> bool:
        """Wait until all is written, at most this long; whether it is."""
        end = time.monotonic() + seconds
        with self._changed:
            while self._unwritten and not self.broken:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return not self.broken

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                data = b"".join(self._queue)
                self._queue.clear()
            written = self._write_all(data)
            with self._changed:
                self._unwritten -= len(data)
                self.broken = not written
                self._changed.notify_all()
            if not written:
                if self._on_broken is not None:
                    self._on_broken()
                return

    def _write_all(self, data: bytes) -> bool:
        rest = memoryview(data)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # somebody made our stdout non-blocking
                    time.sleep(0.01)
        except OSError as error:
            if error.errno != errno.EPIPE:
                self.error = error.strerror or str(error)
            self.hung_up = error.errno == errno.EIO and hung_up(self._descriptor)
            return False
        return True
