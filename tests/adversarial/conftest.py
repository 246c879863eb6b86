"""Every row is played with bubblewrap, with Landlock alone and with neither; a mark names the rows of the table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adversarial.stage import Stage


@pytest.fixture(params=["bubblewrap", "landlock", "off"])
def sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What confines commands."""
    monkeypatch.setenv("LETTA_SANDBOX", request.param)
    return str(request.param)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letta_home: Path) -> Iterator[Stage]:
    """A work tree with a session that can be opened in it."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    with Stage(tmp_path) as made:
        yield made
