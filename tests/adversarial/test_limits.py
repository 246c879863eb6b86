"""Rows K02 and K03 with every sandbox: what takes all processes or the disk is ended; without one it is asked about."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from letta_code.core.requests import Approve, Deny
from letta_code.safety.sandboxes.limits import Limits, Meter
from tests.adversarial.stage import Stage
from tests.host.processes import with_mark

# Both end by themselves: where a limit failed, this machine would not suffer.
MANY = "for i in $(seq 300); do sleep {mark} & done; sleep {mark}"
FILL = "for i in $(seq 150); do dd if=/dev/zero of=sub/big bs=1M count=2 oflag=append conv=notrunc 2>/dev/null; done"
LOW = Limits(processes=100, threads=2_000, written=40_000_000)


@pytest.fixture(autouse=True)
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of the session's sandbox, so low that they are reached."""
    made = Meter.__init__
    monkeypatch.setattr(Meter, "__init__", lambda self, _, tree: made(self, LOW, tree))


@pytest.mark.row("K02")
async def test_what_takes_all_processes_is_ended(stage: Stage, sandbox: str) -> None:
    mark = f"8{uuid4().int % 10**8:08d}"
    await _ended(stage, sandbox, MANY.format(mark=mark), "more than 100 processes")
    for _ in range(200):
        if not with_mark(mark):
            break
        await asyncio.sleep(0.05)
    assert with_mark(mark) == []


@pytest.mark.row("K03")
async def test_what_fills_the_disk_is_ended(stage: Stage, sandbox: str) -> None:
    await _ended(stage, sandbox, FILL, "wrote more than 40 MB")
    written = stage.ws / "sub/big"
    assert (written.stat().st_size if written.exists() else 0) < 300_000_000


async def _ended(stage: Stage, sandbox: str, command: str, said: str) -> None:
    """The session goes on after it; where nothing holds commands, a person is asked, and theirs is a no."""
    session = await stage.open()
    try:
        answer = Deny() if sandbox == "off" else Approve()
        played = await stage.run(session, ("Bash", {"command": command}), answer=answer)
        if sandbox == "off":
            assert played.verdict == "ask"
            return
        assert said in played.text, played.text
        after = await stage.run(session, ("Bash", {"command": "echo still here"}), answer=Approve())
        assert "still here" in after.text
    finally:
        await session.close()
