"""What one durable commit costs on this disk, bare: other benches print it beside their figures."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

RECORD = b"x" * 1024


class Cost(NamedTuple):
    """Milliseconds of one operation."""

    p50: float
    p95: float

    def __str__(self) -> str:
        return f"{self.p50:8.2f} ms   {self.p95:8.2f} ms"


def bare_commit(folder: Path, count: int = 300) -> Cost:
    """A synchronous commit of one row of 1 KB: SQLite, write-ahead log, synchronous=FULL, nothing else."""
    import apsw

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        connection = apsw.Connection(f"{scratch}/bare.db")
        connection.execute(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (body BLOB)"
        ).fetchall()
        connection.wal_autocheckpoint(0)

        def commit() -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO t VALUES (?)", (RECORD,))
            connection.execute("COMMIT")

        cost = measure(commit, count)
        connection.close()
    return cost


def bare_append(folder: Path, count: int = 300) -> Cost:
    """An append of 1 KB to a file with fdatasync."""
    # macOS has no fdatasync; its fsync does not wait for the disk either way.
    sync = getattr(os, "fdatasync", os.fsync)
    with tempfile.TemporaryFile(dir=folder) as file:

        def append() -> None:
            os.write(file.fileno(), RECORD)
            sync(file.fileno())

        return measure(append, count)


def store_append(folder: Path, count: int = 300) -> Cost:
    """The same through the store: an event of 1 KB, awaited, mirror written."""
    from letta_code.core.events import ConversationStarted, Notice
    from letta_code.safety.vault import Secrets
    from letta_code.store.database import Store

    async def run() -> Cost:
        home = Path(tempfile.mkdtemp(dir=folder))
        costs: list[float] = []
        try:
            with Store.open(home / "letta.db", conversations_dir=home / "conversations", redactor=Secrets()) as store:
                agent = await store.agents.ensure_default()
                first = ConversationStarted(conversation_id="conv-1", agent_id=agent.id, cwd="/", version="")
                await store.append("conv-1", [first])
                event = Notice(level="info", text=RECORD.decode())
                for _ in range(count):
                    began = time.perf_counter()
                    await store.append("conv-1", [event])
                    costs.append(time.perf_counter() - began)
        finally:
            shutil.rmtree(home)
        return _cost(costs)

    return asyncio.run(run())


def measure(operation: Callable[[], None], count: int) -> Cost:
    """The cost of an operation over `count` runs after ten unmeasured ones."""
    for _ in range(10):
        operation()
    costs: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        operation()
        costs.append(time.perf_counter() - began)
    return _cost(costs)


def _cost(seconds: list[float]) -> Cost:
    return Cost(statistics.median(seconds) * 1000, statistics.quantiles(seconds, n=20)[18] * 1000)


def main(folder: Path) -> None:
    """Print the table for the disk of a folder."""
    print(f"one durable write of 1 KB in {folder}")
    print(f"{'':24}{'p50':>11}{'p95':>14}")
    print(f"{'append + fdatasync':24}{bare_append(folder)}")
    print(f"{'bare SQLite commit':24}{bare_commit(folder)}")
    print(f"{'Store.append':24}{store_append(folder)}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir()))
