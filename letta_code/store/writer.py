"""The writer: one thread per process does all writing, one job after the other."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from letta_code.core.errors import StoreError
from letta_code.store.dialect import Database

T = TypeVar("T")

IDLE_SECONDS = 1.0


class _Job(Generic[T]):
    """Work to be done on the writer's connection, and whoever waits for it."""

    def __init__(self, work: Callable[[Database], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        self._work = work
        self._done = done

    def run(self, database: Database) -> None:
        try:
            result = self._work(database)
        except BaseException as error:  # noqa: BLE001 - raised again in whoever waits for the job
            self._done(None, error)
        else:
            self._done(result, None)


class Writer:
    """Runs jobs on one connection in a thread of its own, which starts with the first job.

    `after` is called on that thread when a job is done and told (with idle false), and once when nothing came for a
    second (idle true): the place for checkpoints, where nobody waits for them.
    """

    def __init__(self, database: Database, after: Callable[[Database, bool], None]) -> None:
        self._database = database
        self._after = after
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()
        self._closed = False

    async def write(self, work: Callable[[Database], T]) -> T:
        """Do the work on the writer's thread; returns when it is done, so after its commit.

        Cancelling the caller does not stop the work: what was asked for may become durable all the same.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def done(result: T | None, error: BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                loop.call_soon_threadsafe(_settle, future, result, error)

        self._submit(_Job(work, done))
        return await future

    def write_now(self, work: Callable[[Database], T]) -> T:
        """The same for callers without an event loop: blocks until the work is done."""
        finished = threading.Event()
        outcome: list[tuple[Any, BaseException | None]] = []

        def done(result: T | None, error: BaseException | None) -> None:
            outcome.append((result, error))
            finished.set()

        self._submit(_Job(work, done))
        finished.wait()
        result, error = outcome[0]
        if error is not None:
            raise error
        return result

    def _submit(self, job: _Job[Any]) -> None:
        with self._guard:
            if self._closed:
                raise StoreError("The store is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
                self._thread.start()
            self._jobs.put(job)

    def _serve(self) -> None:
        busy = False
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_SECONDS if busy else None)
            except queue.Empty:
                busy = False
                self._after(self._database, True)
                continue
            if job is None:
                return
            job.run(self._database)
            busy = True
            self._after(self._database, False)

    def close(self) -> None:
        """Finish the jobs that were given, then end the thread and close the connection."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()
        self._database.close()


def _settle(future: asyncio.Future[T], result: Any, error: BaseException | None) -> None:
    if future.done():  # its caller was cancelled
        return
    if error is not None:
        future.set_exception(error)
        return
    future.set_result(result)
