"""A fresh ground for every test of the sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sandbox.ground import Ground


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    """With the sandbox's usual limits."""
    made = Ground(tmp_path.resolve())
    yield made
    await made.workspace.close()
