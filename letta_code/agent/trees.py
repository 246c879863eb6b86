"""Trees: snapshots of a session's work tree, taken in a thread that nothing has to wait for."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from letta_code.core.errors import LettaError, WorkspaceError

if TYPE_CHECKING:  # loaded with the first snapshot, while the model thinks
    from letta_code.host.snapshots import Snapshot, Snapshots

T = TypeVar("T")


class Trees:
    """The snapshots of the files below `root`, kept in `store`; `home` (LETTA_HOME) is never covered."""

    def __init__(self, store: Path, root: str, home: Path) -> None:
        self.root = os.path.realpath(root)
        self._store = store
        self._home = home
        self._taking: asyncio.Future[Snapshot] | None = None

    @property
    def unfit(self) -> str:
        """Why no snapshots are taken here at all, "" where they are."""
        person = os.path.realpath(os.path.expanduser("~"))
        if f"{person}/".startswith(f"{self.root.rstrip('/')}/"):
            return f"{self.root} is the home folder, or above it: that is no project."
        return ""

    @cached_property
    def snapshots(self) -> Snapshots:
        """The store; its methods block."""
        from letta_code.host.snapshots import Snapshots

        return Snapshots(self._store, Path(self.root), without=[self._home])

    async def take(self, seconds: float) -> Snapshot:
        """The tree as it is now; raises `WorkspaceError` where that cannot be had in time.

        One that takes longer goes on behind the scenes (what it has read is not read again), and no other begins
        before its end.
        """
        if self.unfit:
            raise WorkspaceError(self.unfit, hint="Start letta-code in the folder of a project.")
        until = monotonic() + seconds
        while (before := self._taking) is not None and not before.done():  # another may have begun one meanwhile
            await asyncio.wait([before], timeout=max(until - monotonic(), 0.0))
            if not before.done():
                raise _too_slow(self.root, seconds)
        taking = self._taking = in_thread(lambda: self.snapshots.take())  # noqa: PLW0108 - the store is loaded there, too
        await asyncio.wait([taking], timeout=seconds)
        if not taking.done():
            raise _too_slow(self.root, seconds)
        return taking.result()

    def stop(self) -> None:
        """End a snapshot that goes on: its processes would outlive us."""
        if self._taking is not None and not self._taking.done():
            self.snapshots.stop()

    async def use(self, work: Callable[[Snapshots], T]) -> T:
        """Do something with the store in a thread; raises `WorkspaceError`."""
        return await in_thread(lambda: work(self.snapshots))


def _too_slow(root: str, seconds: float) -> WorkspaceError:
    return WorkspaceError(
        f"A snapshot of {root} takes longer than {seconds:.0f} s",
        hint="Let .gitignore name what need not be kept, or set checkpoints.wait_seconds.",
    )


def in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Work in a thread that does not hold the program's end; every error of a file or of damage is a `LettaError`."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def done(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
            future.exception()  # nobody may wait any more
        else:
            future.set_result(result)  # type: ignore[arg-type]  # there is one where there is no error

    def run() -> None:
        result: T | None = None
        failed: BaseException | None = None
        try:
            result = work()
        except LettaError as error:
            failed = error
        except Exception as error:  # noqa: BLE001 - handed over to who waits, as a future's error is
            failed = WorkspaceError(f"{type(error).__name__}: {error}")
        with suppress(RuntimeError):  # the loop may be closed by now, and may close while we look
            loop.call_soon_threadsafe(done, result, failed)

    threading.Thread(target=run, name="checkpoint", daemon=True).start()
    return future
