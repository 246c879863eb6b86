"""A follower and an owner that is played word by word: what is late, begun again, foreign or of unknown outcome."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from letta_code.agent.live import wire
from letta_code.agent.live.attached import AttachedSession
from letta_code.agent.live.door import socket_path
from letta_code.agent.port import Status
from letta_code.config.paths import Paths
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.core.messages import TextPart
from letta_code.host.sockets import Lines, listen
from tests.agent.live.harness import Heard, follower, open_store

CONVERSATION = "conv-played"
SECONDS = 60.0


def said(text: str) -> ev.UserMessage:
    return ev.UserMessage(message_id=f"u-{text}", content=(TextPart(text=text),))


def answer(message_id: str, text: str) -> ev.AssistantMessage:
    return ev.AssistantMessage(message_id=message_id, model="fake/model", text=text)


def delta(message_id: str, offset: int, text: str) -> wire.Told:
    return wire.told(ev.TextDelta(message_id=message_id, offset=offset, text=text))


class PlayedOwner:
    """Holds the conversation in this process, and says what the test lets it say."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store()
        self.folder = folder
        self.lines: asyncio.Queue[Lines] = asyncio.Queue()
        self._over = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[PlayedOwner]:
        agent = await self.store.agents.ensure_default()
        begun = ev.ConversationStarted(
            conversation_id=CONVERSATION, agent_id=agent.id, cwd=str(self.folder), version="0"
        )
        await self.keep(begun, said("go"))
        lock = self.store.acquire_writer(CONVERSATION, "played")
        listener = await listen(socket_path(Paths.find(), CONVERSATION), self._come_in)
        try:
            yield self
        finally:
            self._over.set()
            listener.close()
            lock.release()
            self.store.close()

    async def _come_in(self, lines: Lines) -> None:
        await lines.read()  # its hello
        self.lines.put_nowait(lines)
        await self._over.wait()

    async def keep(self, *events: ev.KnownEvent) -> int:
        """Store events; the seq of the last."""
        return (await self.store.append(CONVERSATION, events))[-1].seq

    def welcome(self, *partial: wire.Told, pid: int = 0) -> bytes:
        status = Status(conversation_id=CONVERSATION, agent_id="", running=True)
        return wire.encode(
            wire.Welcome(
                status=status,
                last_seq=self.store.last_seq(CONVERSATION),
                partial=tuple(one.event for one in partial),
                pid=pid or os.getpid(),
            )
        )

    async def next_follower(self, *partial: wire.Told, pid: int = 0) -> Lines:
        """The connection of the next one that says hello, welcomed."""
        lines = await asyncio.wait_for(self.lines.get(), SECONDS)
        lines.write(self.welcome(*partial, pid=pid))
        return lines


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[PlayedOwner]:
    async with PlayedOwner(tmp_path).open() as played:
        yield played


async def joined(owner: PlayedOwner, *partial: wire.Told) -> tuple[AttachedSession, Heard, Lines]:
    """A follower that has been welcomed."""
    coming = asyncio.create_task(owner.next_follower(*partial))
    attached = await follower(owner.folder, CONVERSATION)
    return attached, Heard(attached), await coming


def text_of(message_id: str) -> Callable[[ev.Event | ev.LiveEvent], bool]:
    return lambda event: isinstance(event, ev.TextDelta) and event.message_id == message_id


async def test_a_live_word_of_what_was_read_from_the_store_already_is_not_told(owner: PlayedOwner) -> None:
    attached, heard, lines = await joined(owner)
    result = ev.ToolResult(message_id="r", call_id="c-1", name="Bash", status="ok", content=())
    seq = await owner.keep(answer("m-1", "Half an answer."), result)
    await heard.of(ev.ToolResult, SECONDS)  # the owner was silent, so the store was read
    lines.write(wire.encode(delta("m-1", 0, "Half")))
    lines.write(wire.encode(wire.told(ev.ToolOutput(call_id="c-1", offset=0, text="late"))))
    lines.write(wire.encode(wire.told(ev.Waiting(phase="sent"))))
    lines.write(wire.encode(wire.Wake(seq=seq)))
    lines.write(wire.encode(delta("m-2", 0, "New")))  # only what is over is kept back
    await heard.until(text_of("m-2"), SECONDS)
    assert [type(event).__name__ for event in heard.events if not getattr(event, "seq", 0)] == ["TextDelta"]
    await attached.close()


async def test_an_answer_that_was_begun_again_while_nobody_listened_is_dropped_first(owner: PlayedOwner) -> None:
    attached, heard, lines = await joined(owner, delta("m-1", 0, "An answer that"))
    await heard.until(text_of("m-1"), SECONDS)
    lines.cut()
    lines = await owner.next_follower(delta("m-2", 0, "Another"))
    await heard.until(text_of("m-2"), SECONDS)
    live = [event for event in heard.events if isinstance(event, ev.TextDelta | ev.DraftDropped)]
    assert [(type(event).__name__, event.message_id) for event in live] == [
        ("TextDelta", "m-1"),
        ("DraftDropped", "m-1"),
        ("TextDelta", "m-2"),
    ]
    lines.cut()
    await owner.next_follower(delta("m-2", 0, "Another one"))  # only grown: nothing is dropped
    await heard.until(lambda event: isinstance(event, ev.TextDelta) and event.text == "Another one", SECONDS)
    assert sum(isinstance(event, ev.DraftDropped) for event in heard.events) == 1
    await attached.close()


async def test_whoever_else_listens_there_by_now_is_not_believed(owner: PlayedOwner) -> None:
    attached, heard, lines = await joined(owner)
    lines.cut()
    foreign = await owner.next_follower(delta("m-foreign", 0, "of somebody else"), pid=os.getpid() + 1)
    foreign.write(wire.encode(delta("m-foreign", 16, ", and more")))
    await heard.end(SECONDS)
    assert not any(text_of("m-foreign")(event) for event in heard.events)
    assert attached.status.owner == ""
    await attached.close()


async def test_a_follower_goes_back_with_its_owner(owner: PlayedOwner) -> None:
    first = await owner.keep(answer("m-1", "One."))
    attached, heard, lines = await joined(owner)
    await owner.keep(said("two"), answer("m-2", "Two."))
    seq = await owner.keep(ev.Rewound(checkpoint_id="c", what=("conversation",), to_seq=first))
    lines.write(wire.encode(wire.Wake(seq=seq)))
    await heard.of(ev.Rewound, SECONDS)
    assert (max(attached.history.seqs), attached.history.last_seq) == (first, seq)
    await attached.close()


async def _asked(lines: Lines) -> wire.Ask:
    """The next thing that is asked of the owner."""
    while True:
        line = await asyncio.wait_for(lines.read(), SECONDS)
        assert line is not None
        said = wire.from_follower(line)
        if isinstance(said, wire.Ask):
            return said


async def test_only_what_changes_nothing_a_second_time_is_asked_again(owner: PlayedOwner) -> None:
    attached, _, lines = await joined(owner)
    naming = asyncio.create_task(attached.rename("Words"))
    compacting = asyncio.create_task(attached.compact())
    acts = {type((await _asked(lines)).act).__name__ for _ in range(2)}
    assert acts == {"Rename", "Compact"}
    lines.cut()
    lines = await owner.next_follower()
    again = await _asked(lines)
    assert isinstance(again.act, wire.Rename)
    lines.write(wire.encode(wire.reply(again.id, None, 0)))
    await asyncio.wait_for(naming, SECONDS)
    with pytest.raises(LettaError, match="broke") as caught:  # whether it was done nobody knows
        await asyncio.wait_for(compacting, SECONDS)
    assert caught.value.hint
    await attached.close()
