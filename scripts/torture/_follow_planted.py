"""A slow owner for every torture of following, and faults that are planted into letta-code, so that they are found."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from letta_code.core import events as ev

STALL_SECONDS = 2.0  # longer than a follower waits for its owner's word before it reads the store
STALL_AT = 800  # characters of an answer of about 1,300: it ends while nothing is told


def slow_owner() -> None:
    """Not a fault: the owner's word of the end of every second answer comes when all of it is stored long since."""
    from letta_code.agent.live import hosting

    tell = hosting._Guest._tell

    async def slowly(self: Any, listening: Any, limit: int) -> bool:
        slow: Any = SimpleNamespace(queue=_Slow(listening.queue))
        return await tell(self, slow, limit)

    hosting._Guest._tell = slowly


class _Slow:
    def __init__(self, queue: asyncio.Queue[Any]) -> None:
        self._queue = queue
        self._answers: list[str] = []

    async def get(self) -> Any:
        event = await self._queue.get()
        if isinstance(event, ev.TextDelta) and event.offset > STALL_AT and event.message_id not in self._answers:
            self._answers.append(event.message_id)
            if len(self._answers) % 2:
                await asyncio.sleep(STALL_SECONDS)
        return event


# ---------------------------------------------------------------- faults of the owner


def _unwritten(begins: bytes, holds: bytes, every: int) -> None:
    """Of the lines that begin so and hold that every so-manyth is not sent."""
    from letta_code.host.sockets import Lines

    write, count = Lines.write, 0

    def some(self: Lines, line: bytes) -> None:
        nonlocal count
        if line.startswith(begins) and holds in line:
            count += 1
            if count % every == 0:
                return
        write(self, line)

    Lines.write = some


def _wake() -> None:
    """The owner tells of no stored event."""
    _unwritten(b'{"say":"wake"', b"", 1)


def _live() -> None:
    """The owner drops a live event now and then."""
    _unwritten(b'{"say":"told"', b"text_delta", 40)


# ---------------------------------------------------------------- faults of the follower


def _again() -> None:
    """The follower tells every third stored event twice."""
    from letta_code.agent.live.following import Following

    publish = Following._publish

    def twice(self: Following, event: ev.Event | ev.LiveEvent) -> None:
        publish(self, event)
        if getattr(event, "seq", 0) % 3 == 1:
            publish(self, event)

    Following._publish = twice


def _late() -> None:
    """The follower tells live events of what it has read from the store already."""
    from letta_code.agent.live.following import Following

    Following._late = lambda self, event: False


def _foreign() -> None:
    """The follower takes whoever listens for its owner."""
    from msgspec.structs import replace

    from letta_code.agent.live.following import Following

    welcomed = Following._welcomed

    def anybody(self: Following, welcome: Any) -> bool:
        return welcomed(self, replace(welcome, pid=self.owner.pid))

    Following._welcomed = anybody


def _draft() -> None:
    """The follower does not tell that an answer was begun again while it was not connected."""
    from letta_code.agent.live.following import Following

    publish = Following._publish

    def some(self: Following, event: ev.Event | ev.LiveEvent) -> None:
        if not isinstance(event, ev.DraftDropped):
            publish(self, event)

    Following._publish = some


PLANTS: dict[str, Callable[[], None]] = {
    "wake": _wake,
    "live": _live,
    "again": _again,
    "late": _late,
    "foreign": _foreign,
    "draft": _draft,
}

NAME = "FOLLOW_TORTURE_PLANT"
SITE = """import os, sys
if {name!r} in os.environ and sys.argv[:1] == ["-m"]:
    sys.path.append({folder!r})
    from _follow_planted import plant
    plant(os.environ[{name!r}])
    sys.path.remove({folder!r})
"""


def plant(fault: str) -> None:
    """Make this process's owner slow, and plant the fault, "" for none."""
    slow_owner()
    if fault:
        PLANTS[fault]()


def plant_everywhere(folder: Path, fault: str) -> dict[str, str]:
    """Do it in this process; the variables that do it in every process that is started with them."""
    plant(fault)
    folder.mkdir()
    here = Path(__file__).resolve().parent
    (folder / "sitecustomize.py").write_text(SITE.format(name=NAME, folder=str(here)))
    return {NAME: fault, "PYTHONPATH": os.pathsep.join([str(folder), str(here.parent.parent)])}
