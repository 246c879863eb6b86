"""Every row is played with bubblewrap, with Landlock alone and with neither; a mark names the rows of the table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adversarial.stage import Stage
from tests.rows import NONE, places


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letta_home: Path
) -> Iterator[Stage]:
    """A work tree with a session that can be opened in it; no command runs where a row counts as one without any."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    with Stage(tmp_path) as made:
        made.commands = all(column != NONE for _, column in places(request.node))
        yield made
