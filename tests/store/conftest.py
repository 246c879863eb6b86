"""A store of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_code.core.ids import new_id
from letta_code.store.database import Store
from tests.store.support import open_store, started


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the store is; not made yet."""
    return tmp_path / ".letta"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """An empty store."""
    with open_store(home) as opened:
        yield opened


@pytest.fixture
async def conversation(store: Store) -> str:
    """The id of a conversation that has its first event."""
    agent = await store.agents.ensure_default()
    name = new_id("conv")
    await store.append(name, [started(name, agent.id)])
    return name
