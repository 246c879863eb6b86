"""Runs: which work goes on, whose process does it, and how it ended; and the one writer of a conversation."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from letta_code.core.errors import ConversationBusy, StoreReadOnly
from letta_code.core.messages import Value
from letta_code.host.locks import FileLock, Owner, is_alive
from letta_code.store.dialect import Row, SqlValue
from letta_code.store.engine import Engine
from letta_code.store.summary import RunStatus

_RECENT = 16  # conversations of a folder among which its newest run nearly always is
_COLUMNS = "id, conversation_id, status, owner, started_at, ended_at, background, attempts"


class Run(Value, frozen=True):
    """The work from one user message to the end.

    `status` is a `RunStatus` value; `owner` the process that does or did it (None while queued); times are UTC,
    `ended_at` "" while it goes on.  `background`: it goes on without a face; `attempts`: how often its owner died and
    another process went on with it.
    """

    id: str
    conversation_id: str
    status: str
    owner: Owner | None
    started_at: str
    ended_at: str
    background: bool = False
    attempts: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet, as far as the store knows."""
        return self.status in _OPEN


_OPEN = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING)


class Runs:
    """The runs of a store.  Their rows follow the journal's events in the same commits; nothing else changes them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, run_id: str) -> Run | None:
        """One run by id, None when there is none."""
        rows = self._engine.reader().query(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", [run_id])
        return _run(rows[0]) if rows else None

    def open(self, conversation_id: str = "") -> list[Run]:
        """The runs that have not ended, oldest first, of a conversation or of all.

        Whoever holds the conversation's writer lock knows that the owner of such a run is dead: it then appends
        a `RunFinished` with the reason `orphaned`.
        """
        where = "status IN (?, ?, ?)"
        values: list[SqlValue] = list(_OPEN)
        if conversation_id:
            where += " AND conversation_id = ?"
            values.append(conversation_id)
        return self._select(f"{where} ORDER BY started_at, id", values)

    def newest_in(self, root: str) -> Run | None:
        """The run that began last in a folder or below it, of any conversation that is not deleted; None without."""
        below = f"{root.rstrip('/')}/"
        newest, sure = self._newest_of_recent(root, below)
        if sure:
            return newest
        return next(
            iter(
                self._select(
                    "conversation_id IN (SELECT id FROM conversations WHERE cwd = ? OR (cwd >= ? AND cwd < ?)) "
                    "ORDER BY started_at DESC, id DESC LIMIT 1",
                    [root, below, f"{below[:-1]}0"],  # "0" follows "/"
                )
            ),
            None,
        )

    def _newest_of_recent(self, root: str, below: str) -> tuple[Run | None, bool]:
        """The newest run of the conversations that were touched last, and whether no other has a newer one."""
        recent = "SELECT updated_at, id FROM conversations WHERE {} ORDER BY updated_at DESC LIMIT ?"
        ask = self._engine.reader().query
        rows = ask(recent.format("cwd = ?"), [root, _RECENT])
        rows += ask(recent.format("cwd >= ? AND cwd < ?"), [below, f"{below[:-1]}0", _RECENT])  # "0" follows "/"
        touched = sorted(rows, reverse=True)[:_RECENT]
        ids = [str(row[1]) for row in touched]
        where = f"conversation_id IN ({', '.join('?' * len(ids))}) ORDER BY started_at DESC, id DESC LIMIT 1"
        newest = next(iter(self._select(where, [*ids])), None)
        return newest, len(touched) < _RECENT or (newest is not None and newest.started_at > touched[-1][0])

    def list(self, *, cwd: str = "", conversation_id: str = "", limit: int | None = None) -> list[Run]:
        """The newest first, those that have ended too; of a folder, of a conversation, or of all."""
        where, values = ["1 = 1"], list[SqlValue]()
        if cwd:
            where.append("conversation_id IN (SELECT id FROM conversations WHERE cwd = ?)")
            values.append(cwd)
        if conversation_id:
            where.append("conversation_id = ?")
            values.append(conversation_id)
        sql = f"{' AND '.join(where)} ORDER BY started_at DESC, id DESC"
        if limit is not None:
            sql += " LIMIT ?"
            values.append(limit)
        return self._select(sql, values)

    def _select(self, where: str, values: list[SqlValue]) -> list[Run]:
        return [_run(row) for row in self._engine.reader().query(f"SELECT {_COLUMNS} FROM runs WHERE {where}", values)]

    def acquire_writer(self, conversation_id: str, what: str = "") -> FileLock:
        """Become the one process that runs this conversation, until `release()` or death.

        The lock is the kernel's, so a dead owner's is free at once.  Raises `ConversationBusy` naming the owner,
        `StoreReadOnly` when there is no place for the lock.
        """
        lock = FileLock(self._lock_path(conversation_id), what=what)
        try:
            for pause in (0.002, 0.005, 0.01, 0.0):  # somebody may only look, for a moment
                if lock.try_lock():
                    return lock
                time.sleep(pause)
        except OSError as error:
            raise StoreReadOnly(
                f"{lock.path} cannot be locked: {error.strerror}", hint=f"Check the rights of {lock.path.parent}."
            ) from error
        owner = lock.owner()
        raise ConversationBusy(
            f"{conversation_id} is in use by {owner.described() if owner else 'another process'}",
            hint=f"Watch it: letta-code follow {conversation_id}; stop it: letta-code runs stop {conversation_id}; "
            f'say something there: letta-code run --background --resume {conversation_id} "…"',
        )

    def writer(self, conversation_id: str) -> Owner | None:
        """Who runs this conversation now; None when nobody does."""
        lock = FileLock(self._lock_path(conversation_id))
        owner = lock.owner()
        return (owner or Owner(pid=0)) if lock.is_taken() else None

    def written(self) -> dict[str, Owner]:
        """The conversations that some process runs now, and which one.

        A lock is only tried where its last owner still lives: there may be thousands of files.
        """
        found: dict[str, Owner] = {}
        try:
            names = [path.stem for path in self._engine.run_dir.glob("conv*.lock")]
        except OSError:
            return found
        for conversation_id in names:
            owner = FileLock(self._lock_path(conversation_id)).owner()
            if owner is not None and is_alive(owner) is not False and (holds := self.writer(conversation_id)):
                found[conversation_id] = holds
        return found

    def silent_for(self, conversation_id: str) -> float:
        """Seconds since the owner of a conversation last said that its run goes on; 0.0 where nobody ever did.

        It says so by the time of its lock file.  For people only: whether it lives is the kernel's lock alone.
        """
        try:
            return max(0.0, time.time() - self._lock_path(conversation_id).stat().st_mtime)
        except OSError:
            return 0.0

    def _lock_path(self, conversation_id: str) -> Path:
        return self._engine.run_dir / f"{conversation_id}.lock"


def _run(row: Row) -> Run:
    owner = msgspec.json.decode(row[3], type=Owner) if row[3] else None
    return Run(
        id=row[0],
        conversation_id=row[1],
        status=row[2],
        owner=owner,
        started_at=row[4],
        ended_at=row[5],
        background=bool(row[6]),
        attempts=row[7],
    )
