"""Every single write, sync or truncation of the database fails once: nothing acknowledged is lost, and it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from letta_code.core.errors import StoreError, StoreFull
from letta_code.core.events import KnownEvent, UserMessage
from letta_code.core.messages import text_of
from letta_code.store.database import Store
from tests.store.support import note, open_store, raw_sql, said, started

_BELOW = apsw.vfs_names()[0]  # the system's own


class Trouble:
    """Which operation fails: the `at`-th from now (0: none), and all after it until `over()` when it is `lasting`."""

    def __init__(self) -> None:
        self.at = 0
        self.lasting = False
        self.seen = 0
        self.error: type[Exception] = apsw.FullError

    def plan(self, at: int, error: type[Exception], *, lasting: bool) -> None:
        self.at, self.error, self.lasting, self.seen = at, error, lasting, 0

    def over(self) -> None:
        self.at = 0

    def meet(self) -> None:
        """Called before every operation."""
        self.seen += 1
        if self.at and (self.seen == self.at or (self.lasting and self.seen > self.at)):
            raise self.error("planted")


class _File(apsw.VFSFile):
    def __init__(self, trouble: Trouble, *arguments: Any) -> None:
        super().__init__(_BELOW, *arguments)
        self._trouble = trouble

    def xWrite(self, data: bytes, offset: int) -> None:
        self._trouble.meet()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._trouble.meet()
        super().xSync(flags)

    def xTruncate(self, newsize: int) -> None:
        self._trouble.meet()
        super().xTruncate(newsize)


class _Disk(apsw.VFS):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__("troubled", _BELOW, makedefault=True)
        self._trouble = trouble

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self._trouble, name, flags)


@pytest.fixture
def trouble() -> Iterator[Trouble]:
    """The default disk of every connection, under control."""
    planned = Trouble()
    disk = _Disk(planned)
    yield planned
    disk.unregister()


async def _work(home: Path, acknowledged: list[KnownEvent], trouble: Trouble) -> None:
    """Open, say four things (each again after a failure), close."""
    with _opened(home, trouble) as store:
        agent = await _persistent(store.agents.ensure_default, trouble)
        groups = [[started("conv-1", agent.id)]] + [[said(str(n), client_id=str(n)), note(str(n))] for n in range(4)]
        for group in groups:
            kept = await _persistent(lambda group=group: store.append("conv-1", group), trouble)
            acknowledged.extend(kept)


def _opened(home: Path, trouble: Trouble) -> Store:
    for _ in range(3):
        try:
            return open_store(home)
        except StoreError:
            trouble.over()
    return open_store(home)


async def _persistent(operation: Any, trouble: Trouble) -> Any:
    """Do it, and when the disk is full once more after room was made: by the same process, on the same store."""
    try:
        return await operation()
    except StoreFull as error:
        assert error.hint
        trouble.over()
    return await operation()


def _check(home: Path, acknowledged: list[KnownEvent]) -> None:
    with open_store(home) as store:
        read = store.read("conv-1")
        assert [stored.seq for stored in read] == list(range(1, len(read) + 1))
        assert [stored.damage for stored in read if stored.damage] == []
        assert {stored.seq: stored.event for stored in read}.items() >= {
            event.seq: event for event in acknowledged
        }.items()
        said_once = [text_of(stored.event.content) for stored in read if isinstance(stored.event, UserMessage)]
        assert said_once == [str(n) for n in range(4)]
    assert raw_sql(home, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "until there is room"])
@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError], ids=["full", "broken"])
def test_any_operation_of_the_disk_may_fail(
    tmp_path: Path, trouble: Trouble, error: type[Exception], lasting: bool
) -> None:
    number = 0
    while True:
        number += 1
        home = tmp_path / str(number)
        acknowledged: list[KnownEvent] = []
        trouble.plan(number, error, lasting=lasting)
        asyncio.run(_work(home, acknowledged, trouble))
        met = trouble.seen >= number
        trouble.over()
        _check(home, acknowledged)
        if not met:
            break
    assert number > 40  # it did write: every commit writes and syncs
