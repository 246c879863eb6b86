"""Shells: background commands are listed, read from where the last read ended, waited for and stopped."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from letta_code.core.errors import ToolError, WorkspaceError
from letta_code.safety.operations import AskOperation, ExecOperation
from letta_code.tools.bash import Bash
from letta_code.tools.shells import Shells
from letta_code.workspace.local import LocalWorkspace
from tests.host.processes import with_mark
from tests.tools.context import FakeContext

bash, shells = Bash(), Shells()


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[FakeContext]:
    workspace = LocalWorkspace(str(tmp_path))
    yield FakeContext(workspace)
    await workspace.close()


async def test_each_read_gives_what_is_new(context: FakeContext) -> None:
    await context.call(bash, command="echo one; sleep 1; echo two; sleep 1; echo three; exit 5", background=True)
    assert "one" in await context.text(shells, action="read", id="sh-1")
    assert (await context.text(shells, action="read", id="sh-1")).endswith("(no new output)")
    began = time.monotonic()
    second = await context.text(shells, action="read", id="sh-1", wait_seconds=10)
    assert time.monotonic() - began < 3, "the wait ends when there is something"
    assert second.splitlines()[1:] == ["two"]
    last = await context.text(shells, action="read", id="sh-1", wait_seconds=10)
    assert "three" in last or "three" in await context.text(shells, action="read", id="sh-1", wait_seconds=10)
    assert "ended with exit code 5" in await context.text(shells, action="read", id="sh-1")
    whole = await context.text(shells, action="read", id="sh-1", from_start=True)
    assert whole.splitlines()[1:] == ["one", "two", "three"]


async def test_a_wait_ends_with_its_time(context: FakeContext) -> None:
    await context.call(bash, command="sleep 30", background=True)
    began = time.monotonic()
    text = await context.text(shells, action="read", id="sh-1", wait_seconds=0.5)
    assert 0.4 < time.monotonic() - began < 1.5
    assert "running" in text


async def test_much_output_shows_the_end_and_names_the_file(context: FakeContext) -> None:
    await context.call(bash, command="seq 1 50000", background=True)
    text = await context.text(shells, action="read", id="sh-1", wait_seconds=5, from_start=True)
    assert len(text) < 31_000
    assert text.endswith("50000")
    path = text.split("all of it is in ")[1].split("]")[0]
    assert len(Path(path).read_text().splitlines()) == 50_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_stop(context: FakeContext) -> None:
    mark = f"9{uuid4().int % 10**12:012d}"
    await context.call(bash, command=f"echo up; setsid sleep {mark} & sleep {mark}", background=True)
    text = await context.text(shells, action="stop", id="sh-1")
    assert text.startswith("sh-1: stopped after")
    assert with_mark(mark) == []
    (wanted,) = context.wanted
    assert isinstance(wanted.operation, ExecOperation)
    assert wanted.operation.stop
    with pytest.raises(ToolError, match="ended already"):
        await context.call(shells, action="stop", id="sh-1")


async def test_list(context: FakeContext) -> None:
    assert await context.text(shells, action="list") == "There are no background shells."
    await context.call(bash, command="sleep 30", background=True)
    await context.call(bash, command="exit 3", background=True)
    lines = (await context.text(shells, action="list")).splitlines()
    assert lines[0].startswith("sh-1  running for 0 s  sleep 30") or "running" in lines[0]
    assert "ended with exit code 3" in lines[1]
    assert context.wanted[0].operation == AskOperation(what="shells")


async def test_an_unknown_id_names_the_known_ones(context: FakeContext) -> None:
    await context.call(bash, command="sleep 30", background=True)
    with pytest.raises(WorkspaceError, match="sh-1"):
        await context.call(shells, action="read", id="sh-7")


async def test_a_shell_of_an_earlier_session_is_another(context: FakeContext, tmp_path: Path) -> None:
    await context.call(bash, command="echo from the first session", background=True)
    await context.call(shells, action="read", id="sh-1")
    await context.workspace.close()
    again = LocalWorkspace(str(tmp_path))
    context.workspace = again
    await context.call(bash, command="echo new", background=True)
    text = await context.text(shells, action="read", id="sh-1", wait_seconds=2)
    assert text.splitlines()[1:] == ["new"]
