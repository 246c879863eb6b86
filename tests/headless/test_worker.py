"""The worker's end: what was said at the very last moment is done, and what was kept for the next worker goes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from letta_code.agent.background import Job, Workers
from letta_code.agent.history import History
from letta_code.config.paths import Paths
from letta_code.core import events as ev
from letta_code.core.messages import TextPart
from letta_code.headless import worker

JOB = Job(conversation="conv-1", cwd="/", deny=("Bash(rm)",))
BEGUN = ev.RunStarted(seq=1, run_id="run-1", model="fake/model", mode="ask", background=True)
LATE = ev.MessageQueued(seq=2, run_id="run-1", client_id="late", content=(TextPart(text="and this"),))
TOLD = ev.UserMessage(seq=3, message_id="m", client_id="late", content=LATE.content)
ENDED = ev.RunFinished(seq=4, run_id="run-1", reason=ev.StopReason.DONE)


class PlayedSession:
    """A session whose run is over, with the events that are stored by then."""

    running = True
    handover = SimpleNamespace(leaving=False)

    def __init__(self, *events: ev.Event) -> None:
        self.history = History()
        self.history.extend(events)
        self.closed = False

    async def idle(self) -> None:
        return None

    async def go_on(self) -> bool:
        return False

    async def close(self) -> None:
        self.closed = True


async def worked(monkeypatch: pytest.MonkeyPatch, *sessions: PlayedSession) -> list[PlayedSession]:
    """The sessions that a worker did not open; what the job was is kept before."""
    left = list(sessions)

    async def start(*_: Any, **__: Any) -> PlayedSession:
        return left.pop(0)

    monkeypatch.setattr(worker, "start_session", start)
    paths = Paths.find().ensure()
    Workers(paths).keep(JOB)
    assert kept()
    assert await worker._Worker(JOB, paths).run() == 0
    return left


def kept() -> list[str]:
    return [path.name for path in Paths.find().run.glob("*.job")]


async def test_what_was_said_at_the_last_moment_is_done_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = PlayedSession(BEGUN, LATE, ENDED), PlayedSession(BEGUN, LATE, TOLD, ENDED)
    assert first.history.queued and not second.history.queued
    assert await worked(monkeypatch, first, second) == []
    assert first.closed and second.closed
    assert kept() == []


async def test_what_is_kept_for_the_next_worker_stays_as_long_as_there_is_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await worked(monkeypatch, PlayedSession(BEGUN))
    assert kept() == ["conv-1.job"]
    await worked(monkeypatch, PlayedSession(BEGUN, ENDED))
    assert kept() == []
