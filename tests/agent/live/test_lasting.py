"""How long a face waits for a conversation's next owner before it takes it for its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from letta_code.agent.live.lasting import LastingSession
from letta_code.agent.live.succession import GIVEN_SECONDS, LOST_SECONDS
from letta_code.agent.port import SessionOptions, SessionPort, Status
from letta_code.config.settings import Settings
from letta_code.core import events as ev


class _Followed:
    """A follower's session that hears some events and then its owner's end."""

    def __init__(
        self, *events: ev.Event | ev.LiveEvent, owner: str = "process 1 (tui)", released: bool = False
    ) -> None:
        self.status = Status(conversation_id="conv-1", agent_id="agent-1", owner=owner)
        self.released = released
        self._events = events

    async def events(self, after: int = 0) -> AsyncIterator[ev.Event | ev.LiveEvent]:
        for event in self._events:
            yield event

    async def close(self) -> None:
        pass


_MOVED = ev.RunMoved(seq=3, run_id="run-1", background=True)
_ENDED = ev.RunFinished(seq=3, run_id="run-1", reason="done")


@pytest.mark.parametrize(
    ("session", "seconds"),
    [
        (_Followed(), LOST_SECONDS),
        (_Followed(_ENDED), LOST_SECONDS),
        (_Followed(ev.Waiting(phase="moving"), ev.Waiting(phase="stays")), LOST_SECONDS),
        (_Followed(_MOVED), GIVEN_SECONDS),
        (_Followed(ev.Waiting(phase="moving")), GIVEN_SECONDS),
        (_Followed(released=True), GIVEN_SECONDS),  # nothing ran, and somebody took it over
        (_Followed(_ENDED, released=True), GIVEN_SECONDS),
    ],
)
async def test_who_was_given_the_conversation_is_waited_for(session: _Followed, seconds: float, tmp_path: Path) -> None:
    patience: list[float] = []

    async def again(_options: SessionOptions, wait: float) -> SessionPort:
        patience.append(wait)
        if len(patience) > 1:
            await asyncio.Event().wait()
        return cast(SessionPort, _Followed(owner="process 2 (worker)"))

    lasting = LastingSession(cast(SessionPort, session), SessionOptions(cwd=str(tmp_path), settings=Settings()), again)
    async for event in lasting.events():
        if isinstance(event, ev.Notice):
            assert "process 2 (worker) has this conversation now" in event.text
            break
    assert patience == [seconds]


async def test_who_gave_the_run_to_the_background_waits_for_nobody() -> None:
    """The person goes with it: `events` ends, and nothing is opened again."""

    class Given(_Followed):
        async def to_background(self, by: str) -> str:
            return f"run-1 for {by}"

    async def again(_options: SessionOptions, _wait: float) -> SessionPort:
        raise AssertionError("opened again")

    session, options = Given(ev.Waiting(phase="moving"), owner=""), SessionOptions(cwd="", settings=Settings())
    lasting = LastingSession(cast(SessionPort, session), options, again)
    assert await lasting.to_background("person") == "run-1 for person"
    assert [event async for event in lasting.events()] == [ev.Waiting(phase="moving")]
