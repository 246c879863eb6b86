"""Blocks of a fresh agent, and git as a judge of what they leave on disk."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from letta_code.memory.blocks import Blocks
from letta_code.memory.provenance import Provenance

Git = Callable[..., str]

AGENT = Provenance(source="agent", conversation="conv-1", seq=7)
PERSON = Provenance(source="user")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def blocks(home: Path) -> Blocks:
    """The blocks of agent-1, in one project and conversation; nothing is on disk yet."""
    return Blocks(home, "agent-1", "proj-1", "conv-1")


@pytest.fixture
def git(blocks: Blocks) -> Git:
    """Run git in the memory folder; fails loudly."""

    def run(*words: str, stdin: str = "") -> str:
        done = subprocess.run(
            ["git", "-C", str(blocks.root), *words], input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
