"""Sessions: what is stored, in which order, whatever happens."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from letta_code.agent.history import History
from letta_code.agent.recovery import recover
from letta_code.agent.session import Session
from letta_code.core import events as ev
from letta_code.core.errors import BadKey, ConfigError, StoreFull
from letta_code.core.messages import ToolText, text_of
from letta_code.core.requests import Approve, Deny, Reply
from letta_code.llm.model import CallPiece, Finish, ModelInfo, TextPiece
from tests.agent.fakes import Act, Counting, EchoArgs, FakeSurroundings, MemoryJournal, PlayedModel, call, say, session


def balanced(journal: MemoryJournal) -> bool:
    history = History()
    history.extend(journal.events)
    return not history.open_calls and not history.open_requests and history.run is None


def results(journal: MemoryJournal) -> list[tuple[str, str]]:
    return [(r.status, text_of(r.content)) for r in journal.of(ev.ToolResult)]


async def until(check: Any, seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)


async def test_an_answer_without_calls_ends_the_run() -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(say("Hello.")), journal)
    await one.send("Hi")
    ended = await one.idle()
    assert ended is not None
    assert (ended.reason, ended.steps) == ("done", 1)
    assert journal.types() == [
        "conversation_started",
        "conversation_renamed",
        "setting_changed",
        "setting_changed",
        "reminder_added",
        "reminder_added",
        "user_message",
        "context_pinned",
        "run_started",
        "assistant_message",
        "run_finished",
    ]
    assert journal.of(ev.AssistantMessage)[0].text == "Hello."


async def test_a_step_with_one_call_costs_two_commits() -> None:
    journal = MemoryJournal()
    model = PlayedModel(call(("Act", '{"text":"a"}')), call(("Act", '{"text":"b"}')), say("Done."))
    one = session(model, journal)
    await one.send("go")
    await one.idle()
    work = journal.groups[2:]
    assert work == [
        ("assistant_message",),
        ("tool_result",),
        ("assistant_message",),
        ("tool_result",),
        ("assistant_message",),
        ("run_finished",),
    ]


async def test_an_event_is_told_only_when_it_is_stored() -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(call(("Act", '{"text":"a"}')), say("Done.")), journal)
    told: list[int] = []

    async def listen() -> None:
        async for event in one.events():
            if isinstance(event, ev.Durable):
                assert event.seq <= len(journal.events)
                told.append(event.seq)

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await one.send("go")
    await one.idle()
    await one.close()
    await listener
    assert told == list(range(1, len(journal.events) + 1))


async def test_the_meter_moves_with_what_was_said_each_answer_and_each_result() -> None:
    one = session(PlayedModel(call(("Act", '{"text":"a"}')), call(("Act", '{"text":"b"}')), say("Done.")))
    heard: list[ev.Event | ev.LiveEvent] = []

    async def listen() -> None:
        async for event in one.events():
            heard.append(event)

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await one.send("go")
    await one.idle()
    last = one.status.context_tokens
    await one.close()
    await listener
    kinds = [type(event) for event in heard if isinstance(event, ev.AssistantMessage | ev.ToolResult | ev.ContextMeter)]
    step = [ev.AssistantMessage, ev.ContextMeter, ev.ToolResult, ev.ContextMeter, ev.ContextMeter]  # and the request
    assert kinds == [ev.ContextMeter, *step, *step, ev.AssistantMessage, ev.ContextMeter]
    meters = [event.tokens for event in heard if isinstance(event, ev.ContextMeter)]
    assert meters[1] < meters[2] and meters[4] < meters[5], "a result adds to the context"
    assert meters[-1] == last, "what `/context` shows"


async def test_calls_that_only_read_run_together_and_are_stored_together() -> None:
    journal, around = MemoryJournal(), FakeSurroundings()
    turn = call(("Echo", '{"text":"1"}'), ("Echo", '{"text":"2"}'), ("Act", '{"text":"3"}'), ("Echo", '{"text":"4"}'))
    one = session(PlayedModel(turn, say("ok")), journal, around)
    await one.send("go")
    await one.idle()
    log = around.tools["Echo"].log  # type: ignore[attr-defined]
    assert log[:2] == ["start 1", "start 2"]
    groups = [g for g in journal.groups if "tool_result" in g]
    assert groups == [("tool_result", "tool_result"), ("tool_result",), ("tool_result",)]
    assert [text for _, text in results(journal)] == ["1", "2", "did 3", "4"]


@pytest.mark.parametrize(
    ("turn", "status", "words"),
    [
        (("Act", '{"text":"fail"}'), "error", "Try `other`"),
        (("Act", '{"text":"crash"}'), "error", "failed inside letta-code (ValueError: boom)"),
        (("act", '{"text":"x"}'), "error", "Did you mean Act?"),
        (("Nothing", "{}"), "error", "There is no tool 'Nothing'"),
        (("Act", '{"text":'), "error", "not valid JSON"),
        (("Act", '{"text":3}'), "error", "$.text"),
        (("Act", '{"text":"a","more":1}'), "error", "more"),
        (("Act", "[1]"), "error", "Required: text"),
    ],
)
async def test_a_bad_call_is_answered_and_the_run_goes_on(turn: tuple[str, str], status: str, words: str) -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(call(turn), say("ok")), journal)
    await one.send("go")
    ended = await one.idle()
    assert ended is not None
    assert ended.reason == "done"
    ((got, text),) = results(journal)
    assert got == status
    assert words in text
    assert len(text) < 400


class _Unseen(Act):
    """Names a path that cannot be looked at."""

    async def operations(self, args: EchoArgs, workspace: Any, state: Any) -> Any:
        raise PermissionError(13, "Permission denied", "/proc/1/root")


async def test_a_call_that_names_what_cannot_be_looked_at_is_refused_and_the_run_goes_on() -> None:
    surroundings, journal = FakeSurroundings(), MemoryJournal()
    surroundings.tools["Act"] = act = _Unseen()
    one = session(PlayedModel(call(("Act", '{"text":"a"}')), say("Done.")), journal, surroundings)
    await one.send("go")
    ended = await one.idle()
    assert ended is not None and ended.reason == "done"
    result = journal.of(ev.ToolResult)[0]
    assert result.status == "error" and "could not be looked at" in result.content[0].text
    assert "/proc/1/root" in result.content[0].text and act.ran == []


@pytest.mark.parametrize(
    ("calls", "steps"),
    [
        ([("Nope", f'{{"n":{n}}}') for n in range(9)], 3),  # the same error each time
        ([(f"No{n}pe", "{}") for n in range(9)], 5),
        ([("Nope", "{}"), ("Act", '{"text":'), ("Act", '{"text":3}'), ("Act", '{"text":"ok"}')], 0),
    ],
)
async def test_steps_of_nothing_but_invalid_calls_end_the_run_but_are_answered_first(
    calls: list[tuple[str, str]], steps: int
) -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(*[call(c) for c in calls], say("ok")), journal)
    await one.send("go")
    ended = await one.idle()
    assert ended is not None
    assert (ended.reason, ended.steps) == (("repeated_error", steps) if steps else ("done", len(calls) + 1))
    assert balanced(journal)


async def test_the_same_command_with_another_result_each_time_gets_more_patience_but_not_for_ever() -> None:
    journal, around = MemoryJournal(), FakeSurroundings()
    around.tools["Act"] = Counting()
    one = session(PlayedModel(*[call(("Act", '{"text":"date"}')) for _ in range(20)]), journal, around)
    await one.send("go")
    ended = await one.idle()
    assert ended is not None
    assert (ended.reason, ended.steps) == ("repeated_call", 10)
    warned = ["Repeating it will not help" in text for _, text in results(journal)]
    assert warned == [False] * 4 + [True] * 6


async def test_an_identical_call_is_warned_at_three_and_stopped_at_five() -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(*[call(("Act", '{"text":"same"}')) for _ in range(9)]), journal)
    await one.send("go")
    ended = await one.idle()
    assert ended is not None
    assert (ended.reason, ended.steps) == ("repeated_call", 5)
    warned = ["Repeating it will not help" in text for _, text in results(journal)]
    assert warned == [False, False, True, True, True]


async def test_the_same_check_after_each_change_is_no_loop() -> None:
    turns = [t for n in range(6) for t in (call(("Act", f'{{"text":"edit {n}"}}')), call(("Echo", '{"text":"check"}')))]
    journal = MemoryJournal()
    one = session(PlayedModel(*turns, say("ok")), journal)
    await one.send("go")
    ended = await one.idle()
    assert ended is not None
    assert ended.reason == "done"
    assert not any("Repeating" in text for _, text in results(journal))


async def test_max_turns_ends_the_run_by_name() -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(*[call(("Act", f'{{"text":"{n}"}}')) for n in range(5)]), journal, max_turns=2)
    await one.send("go")
    ended = await one.idle()
    assert ended is not None
    assert (ended.reason, ended.steps) == ("max_turns", 2)


async def test_the_time_limit_stops_a_running_call() -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(call(("Act", '{"text":"hang"}'))), journal, time_limit=0.15)
    await one.send("go")
    ended = await one.idle()
    assert ended is not None
    assert ended.reason == "time_limit"
    ((status, text),) = results(journal)
    assert status == "interrupted"
    assert "time limit" in text
    assert "half a line" in text


async def test_an_interrupt_while_a_call_runs_keeps_its_output_and_balances() -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(call(("Act", '{"text":"hang"}'), ("Act", '{"text":"b"}'))), journal)
    await one.send("go")
    await until(lambda: one.surroundings.tools["Act"].ran)  # type: ignore[attr-defined]
    await one.interrupt()
    assert journal.events[-1].reason == "interrupted"
    assert balanced(journal)
    first, second = results(journal)
    assert first[0] == second[0] == "interrupted"
    assert "half a line" in first[1] and "may be partial" in first[1]
    assert "Not run" in second[1], "a call behind it had not begun"


async def test_an_interrupt_while_a_call_waits_for_a_yes_says_that_it_never_ran() -> None:
    journal, around = MemoryJournal(), FakeSurroundings()
    around.policy.verdicts["Act"] = "ask"
    one = session(PlayedModel(call(("Act", '{"text":"a"}'))), journal, around)
    await one.send("go")
    await until(lambda: one.history.open_requests)
    await one.interrupt()
    assert balanced(journal)
    ((status, text),) = results(journal)
    assert status == "interrupted" and "Not run" in text and "partial" not in text


async def test_an_interrupt_while_the_model_speaks_keeps_what_it_said() -> None:
    async def hang() -> None:
        await asyncio.sleep(3600)

    journal = MemoryJournal()
    turn = [TextPiece(text="I was about "), TextPiece(text="to"), CallPiece(index=0, id="c", name="Act"), hang]
    one = session(PlayedModel(turn), journal)
    await one.send("go")
    await until(lambda: (run := one._working.run) and run.draft.text == "I was about to")
    await one.interrupt()
    (message,) = journal.of(ev.AssistantMessage)
    assert (message.text, message.finish, message.tool_calls) == ("I was about to", "interrupted", ())
    assert balanced(journal)


async def test_an_interrupt_at_any_moment_leaves_a_balanced_history() -> None:
    for n in range(60):
        journal = MemoryJournal()
        journal.delay = 0.001
        model = PlayedModel(
            call(("Echo", '{"text":"1"}'), ("Act", '{"text":"2"}'), text="Let me see."),
            call(("Act", '{"text":"3"}')),
            say("Done with it."),
        )
        one = session(model, journal)
        await one.send("go")
        for _ in range(n):
            await asyncio.sleep(0.0005)
        await one.interrupt()
        assert balanced(journal), journal.types()
        assert isinstance(journal.events[-1], ev.RunFinished)
        assert one.history.last_seq == len(journal.events)


async def test_a_denied_call_goes_on_and_stop_stops() -> None:
    journal, around = MemoryJournal(), FakeSurroundings()
    around.policy.verdicts["Act"] = "ask"
    one = session(PlayedModel(call(("Act", '{"text":"a"}')), call(("Act", '{"text":"b"}'))), journal, around)
    await one.send("go")
    await until(lambda: one.history.open_requests)
    await one.answer(next(iter(one.history.open_requests)), Deny(message="use tabs"), by="test")
    await until(lambda: len(journal.of(ev.RequestMade)) == 2)
    await one.answer(next(iter(one.history.open_requests)), Deny(stop=True), by="test")
    ended = await one.idle()
    assert ended is not None
    assert ended.reason == "denied"
    assert "use tabs" in results(journal)[0][1]
    assert around.tools["Act"].ran == []  # type: ignore[attr-defined]


async def test_the_first_answer_wins_and_the_later_one_is_told() -> None:
    journal, around = MemoryJournal(), FakeSurroundings()
    around.policy.verdicts["Act"] = "ask"
    one = session(PlayedModel(call(("Act", '{"text":"a"}')), say("ok")), journal, around)
    await one.send("go")
    await until(lambda: one.history.open_requests)
    request_id = next(iter(one.history.open_requests))
    first = await one.answer(request_id, Approve(remember="conversation", pattern="Act(a)"), by="tui")
    second = await one.answer(request_id, Deny(), by="web")
    assert (first.by, second.by) == ("tui", "tui")
    await one.idle()
    assert around.tools["Act"].ran == ["a"]  # type: ignore[attr-defined]
    assert [a.pattern for a in around.remembered] == ["Act(a)"]


async def test_an_answer_that_comes_the_moment_the_request_is_told_is_not_lost() -> None:
    journal, around = MemoryJournal(), FakeSurroundings()
    around.policy.verdicts["Act"] = "ask"
    one = session(PlayedModel(call(("Act", '{"text":"a"}')), say("ok")), journal, around)
    kept = one._ledger.publish

    def answers_at_once(event: Any) -> None:
        kept(event)
        if isinstance(event, ev.RequestMade):
            answering.append(asyncio.ensure_future(one._asking.answer(event.request.request_id, Approve(), "test")))

    answering: list[asyncio.Future[Any]] = []
    one._ledger.publish = answers_at_once
    await one.send("go")
    async with asyncio.timeout(10):
        await one.idle()
    assert around.tools["Act"].ran == ["a"]  # type: ignore[attr-defined]


async def test_nobody_to_ask_is_a_denial_with_a_reason_and_never_hangs() -> None:
    journal, around = MemoryJournal(), FakeSurroundings()
    around.policy.verdicts["Act"] = "ask"
    one = session(PlayedModel(call(("Act", '{"text":"a"}')), say("I could not.")), journal, around, interactive=False)
    await one.send("go")
    await one.idle()
    ((status, text),) = results(journal)
    assert status == "denied"
    assert "nobody can approve it" in text
    assert "--allow 'Act(x)' would allow it" in text


async def test_a_tool_can_ask_the_person() -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(call(("Act", '{"text":"question"}')), say("ok")), journal)
    await one.send("go")
    await until(lambda: one.history.open_requests)
    await one.answer(next(iter(one.history.open_requests)), Reply(text="the left one"), by="test")
    await one.idle()
    assert "the left one" in results(journal)[0][1]


async def test_what_is_said_meanwhile_is_kept_and_delivered_at_the_next_step() -> None:
    journal, around = MemoryJournal(), FakeSurroundings()
    around.policy.verdicts["Act"] = "ask"
    model = PlayedModel(call(("Act", '{"text":"a"}')), say("ok"))
    one = session(model, journal, around)
    await one.send("go")
    await until(lambda: one.history.open_requests)
    client = await one.send("and be quick")
    taken = await one.send("no, wait")
    assert one.status.queued == (client, taken)
    assert await one.unqueue(taken)
    await one.answer(next(iter(one.history.open_requests)), Approve(), by="test")
    await one.idle()
    said = [text_of(m.content) for m in journal.of(ev.UserMessage)]
    assert said == ["go", "and be quick"]
    kinds = [type(m).__name__ for m in model.requests[1].messages]
    assert kinds[-2:] == ["ToolText", "UserText"]
    assert not one.status.queued


async def test_what_is_said_during_the_last_answer_starts_another_run() -> None:
    journal = MemoryJournal()
    gate = asyncio.Event()
    model = PlayedModel([gate.wait, *say("first")], say("second"))
    one = session(model, journal)
    await one.send("one")
    await asyncio.sleep(0.01)
    await one.send("two")
    gate.set()
    await one.idle()
    assert [m.text for m in journal.of(ev.AssistantMessage)] == ["first", "second"]
    assert len(journal.of(ev.RunFinished)) == 2


async def test_the_same_client_id_is_said_once() -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(say("a"), say("b")), journal)
    await one.send("hello", client_id="x1")
    await one.idle()
    await one.send("hello", client_id="x1")
    await one.idle()
    assert len(journal.of(ev.UserMessage)) == 1


async def test_without_a_model_the_message_is_kept_and_answered_once_there_is_one() -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(say("Hello.")), journal, model_name="")
    with pytest.raises(ConfigError):
        await one.send("Hi")
    assert text_of(journal.of(ev.UserMessage)[0].content) == "Hi"
    await one.set_model("fake/model")
    await one.idle()
    assert journal.of(ev.AssistantMessage)[0].text == "Hello."


async def test_a_provider_error_ends_the_run_with_its_kind_and_keeps_the_part() -> None:
    journal = MemoryJournal()
    model = PlayedModel([TextPiece(text="Half"), BadKey("401 from the provider", hint="Check the key.")], say("again"))
    one = session(model, journal)
    await one.send("go")
    ended = await one.idle()
    assert ended is not None
    assert (ended.reason, ended.error_kind, ended.hint) == ("error", "bad_key", "Check the key.")
    assert journal.of(ev.AssistantMessage)[0].finish == "broken"
    assert await one.resume()
    await one.idle()
    assert journal.of(ev.AssistantMessage)[-1].text == "again"


async def test_a_full_disk_pauses_and_goes_on_without_loss() -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(say("Hello.")), journal)
    journal.failures = [StoreFull("No space left on device")]
    seen: list[Any] = []

    async def listen() -> None:
        async for event in one.events():
            seen.append(event)

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await one.send("Hi")
    await one.idle()
    listener.cancel()
    assert any(isinstance(e, ev.Waiting) and e.phase == "storage" for e in seen)
    assert journal.of(ev.AssistantMessage)[0].text == "Hello."


async def test_a_full_disk_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letta_code.agent.ledger.STORAGE_RETRY_SECONDS", 0.01)
    journal = MemoryJournal()
    one = session(PlayedModel(say("Hello.")), journal)
    journal.failures = [StoreFull("No space left on device") for _ in range(100_000)]
    sending = asyncio.create_task(one.send("Hi"))
    await until(lambda: len(journal.failures) < 100_000)
    await one.close()
    with pytest.raises(StoreFull):
        await asyncio.wait_for(sending, 5)


async def test_after_a_crash_open_calls_get_a_result_of_unknown_effect() -> None:
    journal = MemoryJournal()
    first = session(PlayedModel(call(("Act", '{"text":"hang"}'))), journal)
    await first.send("go")
    await until(lambda: first.surroundings.tools["Act"].ran)  # type: ignore[attr-defined]
    crashed = MemoryJournal(journal.events)  # the process is gone: nothing more was stored
    await first.close()
    model = PlayedModel(say("I look at the state first."))
    second = session(model, crashed)
    assert await recover(second)
    assert not await recover(second)
    ((status, text),) = results(crashed)
    assert status == "unknown"
    assert "whether it took effect is unknown" in text
    await second.send("go on")
    await second.idle()
    results_sent = [m for m in model.requests[0].messages if isinstance(m, ToolText)]
    assert len(results_sent) == 1


async def test_an_empty_answer_is_nudged_twice_then_ends() -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(*[[Finish(reason="stop")] for _ in range(3)]), journal)
    await one.send("go")
    ended = await one.idle()
    assert ended is not None
    assert (ended.reason, ended.steps) == ("done", 3)
    assert [r.kind for r in journal.of(ev.ReminderAdded)].count("empty") == 2


async def test_a_deferred_tool_is_sent_once_it_was_found() -> None:
    model = PlayedModel(call(("Finder", '{"text":"x"}')), call(("Later", '{"text":"y"}')), say("ok"))
    journal = MemoryJournal()
    one = session(model, journal)
    await one.send("go")
    await one.idle()
    names = [[s.name for s in r.tools] for r in model.requests]
    assert names[0] == ["Echo", "Act", "Finder"]
    assert names[1] == ["Echo", "Act", "Finder", "Later"]
    assert results(journal)[1] == ("ok", "later y")


async def test_a_changed_mode_is_told_at_the_next_step() -> None:
    journal, around = MemoryJournal(), FakeSurroundings()
    around.policy.verdicts["Act"] = "ask"
    one = session(PlayedModel(call(("Act", '{"text":"a"}')), say("ok")), journal, around)
    await one.send("go")
    await until(lambda: one.history.open_requests)
    await one.set_mode("auto")
    await one.answer(next(iter(one.history.open_requests)), Approve(), by="test")
    await one.idle()
    modes = [r.text for r in journal.of(ev.ReminderAdded) if r.kind == "mode"]
    assert modes == ["Mode: ask.", "Mode: auto."]


async def test_a_listener_that_joins_gets_the_partial_text() -> None:
    gate = asyncio.Event()
    one = session(PlayedModel([TextPiece(text="Hel"), gate.wait, TextPiece(text="lo"), Finish(reason="stop")]))
    await one.send("go")
    await until(lambda: (run := one._working.run) and run.draft.text == "Hel")
    texts: list[tuple[int, str]] = []

    async def listen() -> None:
        async for event in one.events():
            if isinstance(event, ev.TextDelta):
                texts.append((event.offset, event.text))

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0.01)
    gate.set()
    await one.idle()
    await one.close()
    await listener
    assert texts == [(0, "Hel"), (3, "lo")]


async def test_messages_only_ever_grow_at_their_end() -> None:
    journal = MemoryJournal()
    model = PlayedModel(
        call(("Act", '{"text":"a"}')), call(("Echo", '{"text":"b"}'), ("Echo", '{"text":"c"}')), say("one"), say("two")
    )
    one = session(model, journal)
    await one.send("first")
    await one.idle()
    await one.send("second")
    await one.idle()
    again_model = PlayedModel(say("three"))
    again: Session = session(again_model, MemoryJournal(journal.events))
    await again.send("third")
    await again.idle()
    requests = [*model.requests, *again_model.requests]
    for before, after in pairwise(requests):
        assert list(after.messages[: len(before.messages)]) == list(before.messages)
        assert (after.system, after.tools) == (before.system, before.tools)
    assert len(requests) == 5


async def test_what_waited_through_an_interrupt_is_delivered_before_what_is_said_next() -> None:
    journal = MemoryJournal()
    model = PlayedModel(call(("Act", '{"text":"hang"}')), say("ok"))
    one = session(model, journal)
    await one.send("one")
    await until(lambda: one.surroundings.tools["Act"].ran)  # type: ignore[attr-defined]
    await one.send("two")
    await one.interrupt()
    assert len(one.status.queued) == 1
    await one.send("three")
    await one.idle()
    assert [text_of(m.content) for m in journal.of(ev.UserMessage)] == ["one", "two", "three"]


async def test_mode_full_holds_for_one_start_only() -> None:
    journal = MemoryJournal()
    one = session(PlayedModel(say("ok")), journal)
    await one.send("one")
    await one.idle()
    await one.set_mode("full")
    assert session(PlayedModel(), MemoryJournal(journal.events)).status.mode == "ask"
    await one.set_mode("auto")
    assert session(PlayedModel(), MemoryJournal(journal.events)).status.mode == "auto"


async def test_whatever_is_said_while_a_run_ends_is_answered() -> None:
    for n in range(40):
        journal = MemoryJournal()
        journal.delay = 0.001
        one = session(PlayedModel(say("first"), say("second")), journal)
        await one.send("one")
        await until(lambda journal=journal: journal.of(ev.AssistantMessage))
        for _ in range(n):
            await asyncio.sleep(0)
        await one.send("two")
        await asyncio.wait_for(one.idle(), 3)
        assert [m.text for m in journal.of(ev.AssistantMessage)] == ["first", "second"]


async def test_a_mode_that_is_set_during_a_run_holds_for_its_next_call() -> None:
    journal, around = MemoryJournal(), FakeSurroundings()
    gate = asyncio.Event()
    model = PlayedModel(call(("Act", '{"text":"a"}')), [gate.wait, *call(("Act", '{"text":"b"}'))], say("ok"))
    one = session(model, journal, around)
    await one.send("go")
    await until(lambda: around.tools["Act"].ran == ["a"])  # type: ignore[attr-defined]
    await one.set_mode("plan")
    gate.set()
    await one.idle()
    assert around.tools["Act"].ran == ["a"]  # type: ignore[attr-defined]
    assert [status for status, _ in results(journal)] == ["ok", "denied"]


async def test_a_remembered_yes_holds_for_the_next_call_of_the_same_run() -> None:
    journal, around = MemoryJournal(), FakeSurroundings()
    around.policy.verdicts["Act"] = "ask"
    model = PlayedModel(call(("Act", '{"text":"a"}')), call(("Act", '{"text":"b"}')), say("ok"))
    one = session(model, journal, around)
    await one.send("go")
    await until(lambda: one.history.open_requests)
    await one.answer(
        next(iter(one.history.open_requests)), Approve(remember="conversation", pattern="Act(x)"), by="test"
    )
    await asyncio.wait_for(one.idle(), 3)
    assert around.tools["Act"].ran == ["a", "b"]  # type: ignore[attr-defined]
    assert len(journal.of(ev.RequestMade)) == 1


async def test_an_answer_that_the_provider_did_not_count_gets_our_own_count() -> None:
    journal = MemoryJournal()
    info = ModelInfo(name="fake/model", window=1000, input_price=0.001, output_price=0.002)
    one = session(PlayedModel(say("x" * 400), info=info), journal)
    await one.send("y" * 4000)
    await one.idle()
    (message,) = journal.of(ev.AssistantMessage)
    assert message.usage.output == 100
    assert message.usage.input > 1000
    assert not message.usage_exact
    assert message.cost == pytest.approx(message.usage.input * 0.001 + 0.2)


async def test_background_commands_that_end_with_the_session_are_named() -> None:
    journal, around = MemoryJournal(), FakeSurroundings()
    around.stopped = ("npm run dev", "evil\x1b[2J")
    one = session(PlayedModel(say("ok")), journal, around)
    await one.send("go")
    await one.idle()
    await one.close()
    (notice,) = journal.of(ev.Notice)
    assert "npm run dev" in notice.text
    assert "\x1b" not in notice.text
