"""Store: one home's agents, conversations, events and runs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from letta_code.core.counts import many
from letta_code.core.errors import StoreError
from letta_code.core.events import Event, KnownEvent, RequestAnswered
from letta_code.core.redaction import Redactor
from letta_code.host.files import atomic_write, read_bounded
from letta_code.host.locks import FileLock
from letta_code.store.agents import DEFAULT_NAME, KEPT_DAYS, Agents, Purged
from letta_code.store.append import ConversationInDatabase
from letta_code.store.conversations import Conversations
from letta_code.store.dialect import Database
from letta_code.store.engine import Engine, open_engine
from letta_code.store.journal import Journal, StoredEvent
from letta_code.store.marker import marked
from letta_code.store.migrations import end_restoring
from letta_code.store.mirror import Mirror, last_seq_of
from letta_code.store.passages import Passages, put_back
from letta_code.store.rebuild import Rebuilt, mirrors, put_back_agents, rebuild
from letta_code.store.runs import Runs

if TYPE_CHECKING:
    from letta_code.store.newcomer import Newcomer
    from letta_code.store.text_index import TextIndex
    from letta_code.store.text_window import Spoken


_COPY_IS_SHORT = "The conversation itself is kept; its copy gets the rest when it is opened again and there is room."
_SEEN = "copies.seen"  # in the folder of the locks
_TICK = 50_000_000  # ns


class Store:
    """The store of one process.

    Reading is synchronous, for any thread, and takes as long as its query; what writes is awaited, from any event loop,
    and durable when it returns.
    """

    def __init__(
        self,
        engine: Engine,
        conversations_dir: Path | None,
        agents_dir: Path | None,
        backups_dir: Path | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self._engine = engine
        self.redactor = redactor
        self._agents_dir = agents_dir
        self._mirror = Mirror(conversations_dir) if conversations_dir else None
        self.journal = Journal(engine, self._mirror, backups_dir, redactor)
        self.agents = Agents(engine, agents_dir)
        self.conversations = Conversations(engine, self.journal, redactor)
        self.runs = Runs(engine)
        self.passages = Passages(engine, agents_dir, redactor)
        self._text_index: TextIndex | None = None
        self._all_known = False

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        conversations_dir: Path | None = None,
        agents_dir: Path | None = None,
        run_dir: Path | None = None,
        backups_dir: Path | None = None,
        read_only: bool = False,
        redactor: Redactor | None = None,
    ) -> Store:
        """Open the database file, making it and its folder when missing (0600 in 0700).

        `conversations_dir` holds the readable mirrors (None: none are written), `agents_dir` the agents' folders (None:
        none are made), `run_dir` the locks (None: `run` beside the file), `backups_dir` the copies of the file, from
        which damaged events are read (None: from none), `redactor` takes secrets out of what is kept (None: no event
        can be kept).  A file of a newer version, or one that may not be written, opens for reading only, with a
        notice.  Raises `StoreError` that names the file and what to do.
        """
        path = Path(path)

        def was_lost() -> bool:
            said = conversations_dir is not None and next(mirrors(conversations_dir), None) is not None
            return said or (agents_dir is not None and next(marked(agents_dir), None) is not None)

        engine = open_engine(path, run_dir or path.parent / "run", read_only=read_only, was_lost=was_lost)
        store = cls(engine, conversations_dir, agents_dir, backups_dir, redactor)
        try:
            # The database was lost or moved aside: never an empty list, nor a part of it.
            if engine.is_restoring and conversations_dir:
                store._restore(conversations_dir, agents_dir)
            elif conversations_dir and not store.read_only:
                store._find_lost(conversations_dir, agents_dir)
        except BaseException:
            store.close()
            raise
        return store

    def _restore(self, conversations_dir: Path, agents_dir: Path | None) -> None:
        if self.read_only:
            self._engine.notices += (
                f"{self.path} was missing and is not whole again: a start that may write restores the rest from "
                f"{conversations_dir}.",
            )
            return

        def work(database: Database) -> tuple[int, tuple[str, ...], Rebuilt, int]:
            agents, torn = put_back_agents(database, agents_dir) if agents_dir else (0, ())
            result = rebuild(database, conversations_dir, DEFAULT_NAME)
            passages = put_back(database, agents_dir) if agents_dir else 0
            end_restoring(database)
            return agents, torn, result, passages

        agents, torn, result, passages = self._engine.write_now(work)
        if not (agents or result.conversations or passages or result.problems):
            return  # another process was quicker, and tells it
        self._engine.notices += (
            f"{self.path} was missing. Restored: {many(result.conversations, 'conversation')} from {conversations_dir}"
            + (
                f", {many(agents, 'agent')} and {many(passages, 'passage')} from {agents_dir}"
                if agents or passages
                else ""
            )
            + "".join(f"; {name}: {many(len(wrong), 'part')} set aside" for name, wrong in result.problems.items()),
            *torn,
        )

    def _find_lost(self, conversations_dir: Path, agents_dir: Path | None) -> None:
        """Conversations that only their readable copies have: the database lost its log, or is an older copy.

        Looked for where either changed since somebody last did: it takes a listing and all rows.
        """
        state = self._state(self._last_row())
        if state and state == self._state_seen():
            self._all_known = True
            return
        from letta_code.store.catching import unknown_copies

        lost = unknown_copies(self._engine.reader(), conversations_dir, agents_dir)
        if not lost:
            self._all_known = True
            self._see(state)
            return

        def work(database: Database) -> tuple[tuple[str, ...], Rebuilt]:
            _, torn = put_back_agents(database, agents_dir) if agents_dir else (0, ())
            result = rebuild(database, conversations_dir, DEFAULT_NAME, lost)
            if agents_dir:
                put_back(database, agents_dir)
            return torn, result

        torn, result = self._engine.write_now(work)
        self._engine.notices += torn
        if result.conversations:
            found = many(result.conversations, "conversation")
            self.note(f"{self.path} had lost {found}; restored from {conversations_dir}.")
        self._engine.notices += tuple(
            f"{conversations_dir / name}: {many(len(wrong), 'part')} set aside"
            for name, wrong in result.problems.items()
        )

    def _last_row(self) -> int:
        """Lower than it was when conversations were lost with the database's log; -1 where it cannot be read."""
        try:
            return int(self._engine.reader().query("SELECT MAX(rowid) FROM conversations")[0][0] or 0)
        except StoreError:
            return -1

    def _state(self, last_row: int) -> bytes:
        """What changes when the database or the folder of readable copies does; b"" where that cannot be said."""
        if self._mirror is None or last_row < 0:
            return b""
        try:
            file, folder = self.path.stat(), self._mirror.directory.stat()
        except OSError:
            return b""
        if time.time_ns() - folder.st_mtime_ns < _TICK:  # one more copy may come in the same tick of its clock
            return b""
        values = (file.st_ino, file.st_size, file.st_mtime_ns, folder.st_ino, folder.st_mtime_ns, last_row)
        return " ".join(map(str, values)).encode()

    def _state_seen(self) -> bytes:
        try:
            return read_bounded(self._engine.run_dir / _SEEN, 4096)
        except OSError:
            return b""

    def _see(self, state: bytes) -> None:
        """All readable copies are of conversations that the database knows."""
        if state and state != self._state_seen():
            with suppress(OSError):
                atomic_write(self._engine.run_dir / _SEEN, state, durable=False, follow=False)

    @property
    def path(self) -> Path:
        """The database file."""
        return self._engine.path

    @property
    def read_only(self) -> bool:
        """Whether nothing can be saved: writing raises `StoreReadOnly`."""
        return self._engine.read_only

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the person: what was found while opening, and a readable mirror that cannot be written."""
        problem = self.journal.mirror_problem
        return (*self._engine.notices, problem) if problem else self._engine.notices

    def note(self, text: str) -> None:
        """Add a sentence for the person."""
        self._engine.notices += (text,)

    async def append(self, conversation_id: str, events: Sequence[KnownEvent]) -> tuple[KnownEvent, ...]:
        """Keep events in one durable commit; see `Journal.append`."""
        return await self.journal.append(conversation_id, events)

    async def answer(self, conversation_id: str, answer: RequestAnswered) -> RequestAnswered:
        """Keep the first answer to a request and return it; see `Journal.answer`."""
        return await self.journal.answer(conversation_id, answer)

    def read(self, conversation_id: str, after: int = 0, limit: int | None = None) -> list[StoredEvent]:
        """The events after a seq; see `Journal.read`."""
        return self.journal.read(conversation_id, after, limit)

    def last_seq(self, conversation_id: str) -> int:
        """The seq of a conversation's last event, 0 when it does not exist."""
        return self.journal.last_seq(conversation_id)

    def follow(self, conversation_id: str, after: int = 0) -> AsyncIterator[StoredEvent]:
        """The events after a seq and then every new one, of whatever process; see `Journal.follow`."""
        return self.journal.follow(conversation_id, after)

    async def admit(self, newcomer: Newcomer) -> None:
        """Put an agent from elsewhere in with all that it brings, in one commit; raises `StoreError`."""
        from msgspec.structs import replace

        from letta_code.store.newcomer import admit

        if self.redactor is not None:
            passages = tuple(self.redactor.redact(one, one.conversation_id) for one in newcomer.passages)
            newcomer = replace(newcomer, passages=passages)
        await self._engine.write(lambda database: admit(database, newcomer, self._agents_dir, self._mirror))

    async def purge_agents(self, older_than_days: float = KEPT_DAYS) -> Purged:
        """Remove for good the agents that were deleted longer ago; see `Agents.purge`."""
        return await self.agents.purge(older_than_days, mirrors=self._mirror.directory if self._mirror else None)

    def text_index(self, folder: Path, of: Callable[[Event], Spoken | None]) -> TextIndex:
        """The full text index in a folder, given back with the store; made when first asked for."""
        if self._text_index is None:
            from letta_code.store.text_index import TextIndex

            self._text_index = TextIndex(self._engine, self.passages, folder, of)
        return self._text_index

    def acquire_writer(self, conversation_id: str, what: str = "") -> FileLock:
        """Become the one process that runs a conversation; raises `ConversationBusy`; see `Runs.acquire_writer`."""
        lock = self.runs.acquire_writer(conversation_id, what)
        try:
            self._catch_up(conversation_id)
        except BaseException:
            lock.release()
            raise
        return lock

    def _catch_up(self, conversation_id: str) -> None:
        last = self.last_seq(conversation_id)
        if not last or self._mirror is None or self.read_only:
            return
        path = self._mirror.path(conversation_id)
        copied = last_seq_of(path)
        if copied > last:
            from letta_code.store.catching import catch_up

            count = self._engine.write_now(lambda database: catch_up(database, path, conversation_id))
            if count:
                self.note(f"{self.path} had lost {many(count, 'event')}; restored from {path}.")
        elif copied < last:  # the last write of who had it before failed, or was cut off
            count = self._engine.write_now(lambda database: self._complete(database, conversation_id))
            if count:
                self.note(f"{path} had missed {many(count, 'event')}; added from {self.path}.")

    def _complete(self, database: Database, conversation_id: str) -> int:
        assert self._mirror is not None
        return self._mirror.complete(conversation_id, ConversationInDatabase(database, conversation_id))

    def complete_copies(self) -> tuple[str, ...]:
        """Write what this store's readable copies miss; a sentence for the person on each that still misses something.

        For who is about to close and can still tell somebody; closing itself tries once more.  Never raises.
        """
        mirror = self._mirror
        if mirror is None or not mirror.behind or self._engine.closed:
            return ()

        def work(database: Database) -> tuple[str, ...]:
            told: list[str] = []
            for name in sorted(mirror.behind):
                self._complete(database, name)
                if name in mirror.behind:
                    told.append(f"{mirror.problem}. {_COPY_IS_SHORT}")
            return tuple(told)

        with suppress(StoreError):  # it was closed by another thread just now, which does the same
            return self._engine.write_now(work)
        return ()

    def close(self) -> None:
        """Finish what was given to the writer, end the followers, close the files; harmless when done twice."""
        if self._text_index is not None:
            self._text_index.close()
        self.complete_copies()  # what fails here too is told and mended by the conversation's next writer
        last = self._last_row() if self._all_known else -1
        self._engine.close()  # which may write the log into the file
        if last >= 0:
            self._all_known = False
            self._see(self._state(last))
        self.journal.close()
        if self._mirror:
            self._mirror.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
