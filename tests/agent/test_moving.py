"""A run that changes its owner: given away at a step boundary, and gone on with under the same id."""

from __future__ import annotations

import asyncio
from typing import Any

from letta_code.agent.history import History
from letta_code.core import events as ev
from letta_code.core.messages import text_of
from tests.agent.fakes import MemoryJournal, PlayedModel, call, say, session

SO_FAR = say("So far. ")[:1]  # the answer has begun


def history_of(journal: MemoryJournal) -> History:
    history = History()
    history.extend(journal.events)
    return history


async def heard(one: Any) -> list[ev.Event | ev.LiveEvent]:
    return [event async for event in one.events()]


async def test_a_run_leaves_at_the_end_of_its_step_and_another_goes_on_with_it() -> None:
    journal = MemoryJournal()
    begun = asyncio.Event()

    async def begins() -> None:
        begun.set()
        await asyncio.sleep(0.05)

    first = session(PlayedModel([*SO_FAR, begins, *call(("Act", '{"text":"a"}'))], say("never asked here")), journal)
    listening = asyncio.create_task(heard(first))
    await first.send("go")
    await begun.wait()
    run_id = await first.handover.release(background=True, by="tui")
    told = await listening
    assert any(isinstance(event, ev.Waiting) and event.phase == "moving" for event in told)
    left = history_of(journal)
    assert left.run is not None and left.run.run_id == run_id
    assert left.run_moved is not None and left.run_background
    assert not left.open_calls
    assert [text_of(result.content) for result in journal.of(ev.ToolResult)] == ["did a"], "the step was done here"

    second = session(PlayedModel(say("Done.")), journal)
    assert await second.go_on()
    ended = await second.idle()
    assert ended is not None
    assert (ended.run_id, ended.reason) == (run_id, "done")
    assert ended.steps == len(journal.of(ev.AssistantMessage))
    assert [e.reason for e in journal.of(ev.RunResumed)] == ["moved"]
    assert len(journal.of(ev.RunStarted)) == 1
    assert not await second.go_on(), "there is nothing left to do"


async def test_what_is_said_while_a_run_leaves_waits_for_its_next_owner() -> None:
    journal = MemoryJournal()
    begun = asyncio.Event()

    async def begins() -> None:
        begun.set()
        await asyncio.sleep(0.05)

    first = session(PlayedModel([*SO_FAR, begins, *say("All of it.")]), journal)
    await first.send("go")
    await begun.wait()
    leaving = asyncio.create_task(first.handover.release(background=False, by="tui"))
    await asyncio.sleep(0)
    await first.send("and this", client_id="c-2")
    await leaving
    second = session(PlayedModel(say("Done."), say("Done.")), journal)
    assert await second.go_on()
    await second.idle()
    said = [text_of(event.content) for event in journal.of(ev.UserMessage)]
    assert said == ["go", "and this"]
    assert not history_of(journal).queued


async def test_an_idle_conversation_is_given_away_at_once() -> None:
    one = session(PlayedModel())
    assert await one.handover.release(background=False, by="plain") == ""


async def test_a_run_that_waits_for_an_answer_leaves_at_once_and_it_is_asked_for_again() -> None:
    journal = MemoryJournal()
    asked = asyncio.Event()

    async def silent() -> None:
        asked.set()
        await asyncio.sleep(3600)

    first = session(PlayedModel([silent, *say("never")]), journal)
    await first.send("go")
    await asked.wait()
    async with asyncio.timeout(60):
        run_id = await first.handover.release(background=True, by="tui")
    assert history_of(journal).run is not None
    second = session(PlayedModel(say("Done.")), journal)
    assert await second.go_on()
    ended = await second.idle()
    assert ended is not None
    assert (ended.run_id, ended.reason, ended.steps) == (run_id, "done", 1)


async def test_an_interrupt_of_a_run_that_is_leaving_stops_it_here() -> None:
    journal = MemoryJournal()
    begun = asyncio.Event()

    async def slow() -> None:
        begun.set()
        await asyncio.sleep(3600)

    first = session(PlayedModel([*SO_FAR, slow, *say("never")]), journal)
    await first.send("go")
    await begun.wait()
    leaving = asyncio.create_task(first.handover.release(background=True, by="tui"))
    await asyncio.sleep(0.01)
    assert not leaving.done(), "an answer that has begun is waited for"
    await first.interrupt()
    assert await leaving == ""
    assert [event.reason for event in journal.of(ev.RunFinished)] == ["interrupted"]
