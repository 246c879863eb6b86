"""Following: what a follower hears is what the owner's store has and its model says, whatever the connection does."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from letta_code.agent.background import Job, Workers
from letta_code.agent.live.attached import AttachedSession
from letta_code.agent.live.door import socket_path
from letta_code.agent.live.opening import open_session
from letta_code.agent.session import Session
from letta_code.agent.start import start_session
from letta_code.config.paths import Paths
from letta_code.core import events as ev
from letta_code.core.errors import ConfigError, LettaError, UsageError
from letta_code.core.requests import Approve, Deny
from tests.agent.live.harness import Heard, follower, long_answer, options, owner_process, write_script

BASH = {"name": "Bash", "args": {"command": "for i in 1 2 3; do echo line$i; sleep 0.1; done"}}


async def hosted(folder: Path, mode: str = "full") -> Session:
    """A session whose socket is there."""
    session = await start_session(options(folder, mode=mode, face="owner"))
    path = socket_path(Paths.find(), session.conversation_id)
    async with asyncio.timeout(30):
        exists = False
        while not exists:
            await asyncio.sleep(0.01)
            exists = path.exists()
    return session


async def test_two_followers_at_different_moments_hear_what_is_stored_and_all_of_the_text(tmp_path: Path) -> None:
    write_script(tmp_path, {**long_answer(250), "tools": [BASH]}, long_answer(60))
    owner = await owner_process(tmp_path)
    first = await follower(tmp_path, owner.conversation)
    assert first.status.owner.startswith(f"process {owner.process.pid} (owner)")
    one = Heard(first)
    await one.until(lambda event: isinstance(event, ev.TextDelta) and event.offset > 100)
    second = await follower(tmp_path, owner.conversation)  # in the middle of the answer
    two = Heard(second)
    start = await two.of(ev.TextDelta)
    assert (start.offset, len(start.text) > 20) == (0, True), "the whole text so far, in one piece"
    for heard in (one, two):
        await heard.of(ev.RunFinished)
    assert await first.idle() is not None
    assert not first.status.running
    owner.signal(signal.SIGKILL)
    for heard in (one, two):
        await heard.end()
        heard.check(0, owner.conversation)
        [long, *_] = [event for event in heard.events if isinstance(event, ev.AssistantMessage)]
        assert heard.texts()[long.message_id][-1] == long.text
        printed = "".join(event.text for event in heard.events if isinstance(event, ev.ToolOutput))
        assert "line1\nline2\nline3" in printed
    assert first.status.owner == ""
    with pytest.raises(LettaError, match="does not run this conversation any more"):
        await first.send("still there?")
    await first.close()
    await second.close()
    await owner.gone()


async def test_an_owner_that_is_killed_in_the_middle_ends_the_events_and_nothing_is_lost(tmp_path: Path) -> None:
    write_script(tmp_path, {"text": "A", "tools": [BASH]}, long_answer(2000))
    owner = await owner_process(tmp_path)
    attached = await follower(tmp_path, owner.conversation)
    heard = Heard(attached)
    await heard.of(ev.ToolResult)
    await heard.until(lambda event: isinstance(event, ev.TextDelta) and event.offset > 100)
    owner.signal(signal.SIGKILL)
    await heard.end()
    heard.check(0, owner.conversation)
    await attached.close()
    again = await open_session(options(tmp_path, owner.conversation))
    assert isinstance(again, Session), "it is free"
    await again.close()
    await owner.gone()


async def test_a_cut_connection_is_made_again_and_nothing_is_missed(tmp_path: Path) -> None:
    write_script(tmp_path, {**long_answer(), "tools": [BASH]}, {**long_answer(), "tools": [BASH]}, long_answer())
    owner = await hosted(tmp_path)
    await owner.send("go")
    attached = await follower(tmp_path, owner.conversation_id)
    heard = Heard(attached)
    cuts = 0
    while owner.running:
        await asyncio.sleep(0.07)
        if attached._link.lines is not None:  # a cable that is pulled
            attached._link.lines.cut()
            cuts += 1
    assert cuts > 2
    await heard.of(ev.RunFinished)
    await owner.close()
    await heard.end()
    heard.check(0, owner.conversation_id)
    await attached.close()


async def test_a_follower_begins_after_a_seq(tmp_path: Path) -> None:
    write_script(tmp_path, {**long_answer(), "tools": [BASH]}, long_answer())
    owner = await hosted(tmp_path)
    await owner.send("go")
    attached = await follower(tmp_path, owner.conversation_id)
    heard = Heard(attached)
    message = await heard.of(ev.AssistantMessage)
    heard.task.cancel()
    later = Heard(attached, after=message.seq)
    await later.of(ev.RunFinished)
    await owner.close()
    await later.end()
    later.check(message.seq, owner.conversation_id)
    await attached.close()


async def test_a_follower_answers_and_a_second_answer_is_told_who_was_first(tmp_path: Path) -> None:
    write_script(tmp_path, {"text": "A", "tools": [BASH]}, {"text": "Done."})
    owner = await hosted(tmp_path, mode="ask")
    await owner.send("go")
    one, two = [await follower(tmp_path, owner.conversation_id) for _ in range(2)]
    asked = await Heard(one).of(ev.RequestMade)
    stands = await one.answer(asked.request.request_id, Approve(), by="plain in pts/3")
    assert stands.by == "plain in pts/3"
    second = await two.answer(asked.request.request_id, Deny(message="no"), by="tui")
    assert (second.by, second.answer) == ("plain in pts/3", Approve())
    assert (await owner.answer(asked.request.request_id, Deny(), by="here")).by == "plain in pts/3"
    ended = await one.idle()
    assert ended is not None
    assert ended.reason == "done"
    for session in (one, two, owner):
        await session.close()


async def test_acts_of_a_follower_are_done_by_the_owner(tmp_path: Path) -> None:
    write_script(tmp_path, long_answer(), long_answer(2000), *[{"text": "Yes."}] * 3)
    owner = await hosted(tmp_path)
    await owner.send("go")
    attached = await follower(tmp_path, owner.conversation_id)
    heard = Heard(attached)
    await heard.of(ev.TextDelta)
    assert await attached.send("then this", client_id="c-1") == "c-1"
    assert attached.status.queued == ("c-1",)
    assert await attached.send("then this", client_id="c-1") == "c-1", "once is enough"
    await attached.send("not this", client_id="c-2")
    assert await attached.unqueue("c-2")
    assert not await attached.unqueue("c-2")
    await heard.until(lambda event: isinstance(event, ev.UserMessage) and event.client_id == "c-1")
    await heard.until(lambda event: isinstance(event, ev.TextDelta) and event.offset > 2000)
    await attached.interrupt()
    ended = await attached.idle()
    assert ended is not None
    assert ended.reason == "interrupted"
    await attached.set_mode("plan")
    assert (owner.mode, attached.status.mode) == ("plan", "plan")
    await attached.rename("Words")
    assert (owner.history.title, attached.status.title) == ("Words", "Words")
    with pytest.raises(UsageError, match="mode"):
        await attached.set_mode("reckless")
    with pytest.raises(ConfigError):
        await attached.set_model("scripted:/nowhere.yaml")
    with pytest.raises(LettaError, match="compact"):
        await attached.compact()
    assert attached.model_info == owner.model_info
    assert [s.title for s in attached.context_sections()] == [s.title for s in owner.context_sections()]
    with pytest.raises(LettaError, match="where it runs"):
        _ = attached.reflection
    await owner.close()
    await heard.end()
    heard.check(0, owner.conversation_id)
    await attached.close()


async def test_an_idle_owner_gives_the_conversation_away_at_once(tmp_path: Path) -> None:
    write_script(tmp_path, {"text": "Hello."}, {"text": "Again."})
    owner = await hosted(tmp_path)
    await owner.send("go")
    await owner.idle()
    theirs = Heard(owner)
    attached = await follower(tmp_path, owner.conversation_id)
    ours = Heard(attached)
    await attached.take_over("test")
    await ours.end()
    assert attached.released, "others who watch leave it to whoever took it"
    await theirs.end()
    await attached.close()
    session = await open_session(options(tmp_path, "last"))
    assert isinstance(session, Session)
    await session.send("and now")
    ended = await session.idle()
    assert ended is not None
    assert ended.reason == "done"
    await session.close()


async def test_a_run_is_taken_over_at_a_step_boundary_and_goes_on_under_its_id(tmp_path: Path) -> None:
    write_script(tmp_path, {**long_answer(), "tools": [BASH]}, {"text": "Done."})
    owner = await owner_process(tmp_path)
    attached = await follower(tmp_path, owner.conversation)
    heard = Heard(attached)
    await heard.of(ev.TextDelta)
    run_id = attached.status.run_id
    await attached.take_over("test")
    moved = await heard.of(ev.RunMoved)
    assert (moved.by, moved.run_id) == ("test", run_id)
    await heard.end()
    heard.check(0, owner.conversation)
    assert any(isinstance(event, ev.ToolResult) for event in heard.events), "the step was done there"
    await attached.close()
    assert await asyncio.wait_for(owner.process.wait(), 30) == 0
    session = await open_session(options(tmp_path, owner.conversation))
    assert isinstance(session, Session)
    await session.go_on()
    ended = await session.idle()
    assert ended is not None
    assert (ended.run_id, ended.reason) == (run_id, "done")
    await session.close()


async def test_a_follower_sends_the_run_to_the_background_where_it_goes_on_in_the_same_mode(tmp_path: Path) -> None:
    write_script(tmp_path, {**long_answer(), "tools": [BASH]}, {**long_answer(30), "tools": [BASH]}, {"text": "Done."})
    owner = await owner_process(tmp_path)
    attached = await follower(tmp_path, owner.conversation)
    heard = Heard(attached)
    await heard.of(ev.TextDelta)
    run_id = attached.status.run_id
    assert await attached.to_background("test") == run_id
    await heard.end()
    await attached.close()
    assert await asyncio.wait_for(owner.process.wait(), 30) == 0
    again = await follower(tmp_path, owner.conversation)
    heard = Heard(again)
    ended = await heard.of(ev.RunFinished)
    assert (ended.run_id, ended.reason) == (run_id, "done")
    assert [event.background for event in heard.events if isinstance(event, ev.RunResumed)] == [True]
    await heard.end()
    heard.check(0, owner.conversation)
    assert not any(isinstance(event, ev.RequestMade) for event in heard.events), "it asks no more than before"
    await again.close()


class _Begun(Workers):
    """Keeps in mind which conversations a worker was wished for."""

    def __init__(self) -> None:
        super().__init__(Paths.find())
        self.conversations: list[str] = []

    async def begin(self, job: Job) -> None:
        self.conversations.append(job.conversation)


@pytest.mark.parametrize("moved", [False, True])
async def test_a_run_is_in_the_background_only_where_its_owner_gave_it_away_before_it_died(
    tmp_path: Path, moved: bool
) -> None:
    write_script(tmp_path, long_answer(3000))
    owner = await owner_process(tmp_path)
    attached = await follower(tmp_path, owner.conversation)
    attached._workers = begun = _Begun()
    await Heard(attached).of(ev.TextDelta)
    run_id = attached.status.run_id
    owner.signal(signal.SIGSTOP)  # it hears the wish, and does not come to answer it
    asking = asyncio.create_task(attached.to_background("test"))
    async with asyncio.timeout(30):
        while not attached._link._asked:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    if moved:  # what it keeps for its worker, and stores as its last word
        begun.keep(Job(conversation=owner.conversation, cwd=str(tmp_path)))
        await attached.store.append(owner.conversation, [ev.RunMoved(run_id=run_id, by="test", background=True)])
    owner.signal(signal.SIGKILL)
    await owner.process.wait()
    if moved:
        assert await asking == run_id
    else:
        with pytest.raises(LettaError, match="does not run this conversation any more"):
            await asking
    assert begun.conversations == ([owner.conversation] if moved else [])
    await attached.close()
    await owner.gone()


async def test_a_stopped_owner_is_named_and_what_is_stored_still_comes(tmp_path: Path) -> None:
    write_script(tmp_path, long_answer(3000))
    owner = await owner_process(tmp_path)
    attached = await follower(tmp_path, owner.conversation)
    heard = Heard(attached)
    await heard.of(ev.TextDelta)
    owner.signal(signal.SIGSTOP)
    with pytest.raises(LettaError, match=f"process {owner.process.pid}.*does not answer") as caught:
        await attached.interrupt()
    assert "fg" in caught.value.hint
    assert f"kill -9 {owner.process.pid}" in caught.value.hint
    await attached.store.append(owner.conversation, [ev.Notice(level="info", text="from a third process")])
    await heard.of(ev.Notice)
    late = await follower(tmp_path, owner.conversation)
    assert late.status.running
    await late.close()
    owner.signal(signal.SIGCONT)
    ended = await attached.idle()
    assert ended is not None
    assert ended.reason == "interrupted", "what was asked is done when it goes on"
    owner.signal(signal.SIGKILL)
    await heard.end()
    await attached.close()
    await owner.gone()


async def test_who_watches_is_told_that_a_run_stands_still(tmp_path: Path) -> None:
    write_script(tmp_path, long_answer(3000))
    owner = await owner_process(tmp_path)
    attached = await follower(tmp_path, owner.conversation)
    heard = Heard(attached)
    await heard.of(ev.TextDelta)
    owner.signal(signal.SIGSTOP)
    last = time.time() - 43  # as if it had been stopped for so long
    os.utime(Paths.find().run / f"{owner.conversation}.lock", (last, last))
    told = await heard.until(lambda event: isinstance(event, ev.Waiting) and event.phase == "silent")
    assert 43 <= told.seconds < 75
    assert told.reason.startswith(f"process {owner.process.pid} does not answer for ")
    owner.signal(signal.SIGCONT)
    await heard.until(lambda event: isinstance(event, ev.Waiting) and event.phase == "answers")
    owner.signal(signal.SIGKILL)
    await heard.end()
    await attached.close()
    await owner.gone()


async def test_open_session_attaches_where_another_process_runs_it(tmp_path: Path) -> None:
    write_script(tmp_path, long_answer(2000))
    owner = await owner_process(tmp_path)
    attached = await open_session(options(tmp_path, "last"))
    assert isinstance(attached, AttachedSession)
    assert attached.status.running
    opening = asyncio.create_task(open_session(options(tmp_path, owner.conversation)))
    owner.signal(signal.SIGKILL)
    session = await opening
    await session.close()
    await attached.close()
    await owner.gone()
