"""Searching conversations by words, for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_code.agent.find import TITLE, find
from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError
from letta_code.store.database import Store
from tests.agent.agentfile.homes import open_home
from tests.store.support import said, started

Home = tuple[Paths, Store]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    paths, store = open_home(tmp_path / "home")
    with store:
        yield paths, store


async def test_titles_come_first_and_texts_say_where_they_stand(home: Home) -> None:
    paths, store = home
    ada, bob = await store.agents.create("ada"), await store.agents.create("bob")
    await store.append("conv-1", [started("conv-1", ada.id), said("begin"), said("the parser is broken")])
    await store.append("conv-2", [started("conv-2", bob.id), said("hello")])
    await store.conversations.rename("conv-2", "Parser plans")
    result = find(store, paths, store.agents.list(), "parser")
    assert [(one.conversation_id, one.seq, one.found_by) for one in result.found] == [
        ("conv-2", 0, TITLE),
        ("conv-1", 3, "all words"),
    ]
    assert (result.found[1].title, result.found[1].role, result.found[1].text) == (
        "begin",
        "user",
        "the parser is broken",
    )
    assert [one.agent_id for one in find(store, paths, [bob], "parser").found] == [bob.id]
    assert find(store, paths, [ada, bob], "parser", limit=1).found == result.found[:1]
    assert find(store, paths, [ada], "zebra").found == ()


async def test_dates_hold_for_texts_and_leave_titles_out(home: Home) -> None:
    paths, store = home
    ada = await store.agents.create("ada")
    await store.append("conv-1", [started("conv-1", ada.id), said("the parser")])
    assert find(store, paths, [ada], "parser", until="2020-01-01").found == ()
    [one] = find(store, paths, [ada], "parser", since="2020-01-01").found
    assert one.seq == 2
    with pytest.raises(LettaError, match="no date"):
        find(store, paths, [ada], "parser", since="yesterday")
