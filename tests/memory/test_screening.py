"""Secrets come into memory by no field of no edit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from letta_code.memory.block import BlockError
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import (
    Append,
    ApplyPatch,
    Create,
    Describe,
    Edit,
    Insert,
    Rename,
    Replace,
    Rethink,
)
from letta_code.safety.secrets import secret_reason
from tests.memory.conftest import AGENT, PERSON

KEY = "ghp_" + "a1b2c3d4e5" * 4
LABEL = "key-" + "a1b2c3d4e5" * 3  # an API key that could be a file's name

EDITS: tuple[Edit, ...] = (
    Append(label="human", text=KEY),
    Insert(label="human", text=KEY),
    Rethink(label="human", value=KEY),
    Replace(label="human", old="tea", new=KEY),
    Create(label="new", value=KEY),
    Create(label="new", description=f"the token {KEY}"),
    Create(label=LABEL),
    Create(label=f"notes/{LABEL}"),
    Describe(label="human", description=f"the token {KEY}"),
    Rename(label="human", new_label=LABEL),
    ApplyPatch(patch=f"*** Add Block: new\n*** Description: {KEY}\n+text"),
    ApplyPatch(patch=f"*** Add Block: {LABEL}\n+text"),
    ApplyPatch(patch=f"*** Move Block: human\n*** To: {LABEL}"),
    ApplyPatch(patch=f"*** Update Block: human\n@@\n-tea\n+{KEY}"),
)


@pytest.fixture
def screened(home: Path) -> Blocks:
    blocks = Blocks(home, "agent-1", "proj-1", "conv-1", refuse=secret_reason)
    blocks.apply(Append(label="human", text="tea"), AGENT)
    return blocks


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("by", [AGENT, PERSON])
def test_no_field_brings_a_secret_in(screened: Blocks, edit: Edit, by) -> None:
    before = screened.pin()
    for attempt in (screened.apply, screened.preview):
        with pytest.raises(BlockError, match=r"not kept in memory: it holds (a GitHub token|an API key)"):
            attempt(edit, by)
    assert screened.pin() == before


def test_the_task_is_kept_without_its_secrets(screened: Blocks) -> None:
    screened.set_task(f"push with {KEY}, please")
    assert screened.view().find("task").value == "push with [removed: a GitHub token], please"
    found = subprocess.run(["git", "-C", str(screened.root), "log", "-p"], capture_output=True, text=True, check=True)
    assert KEY not in found.stdout
