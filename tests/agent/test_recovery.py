"""What a process that died left open: what is told of it, what is asked again, what goes on and what is closed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from letta_code.agent.changed_files import changed_since
from letta_code.agent.heartbeat import Heartbeat
from letta_code.agent.history import History
from letta_code.agent.printed import Printed
from letta_code.agent.recovery import ATTEMPTS, end_run, recover
from letta_code.core import events as ev
from letta_code.core.messages import TextPart, ToolCall, ToolText, text_of
from letta_code.core.requests import ApprovalRequest, Approve, Deny, QuestionRequest, Unanswered
from letta_code.host.locks import FileLock
from tests.agent.fakes import FakeSurroundings, MemoryJournal, PlayedModel, say, session

_RUN = "run-1"


def journal_of(*events: Any, background: bool = True, attempts: int = 0) -> MemoryJournal:
    begun: list[Any] = [
        ev.ConversationStarted(conversation_id="conv-1", agent_id="agent-1", cwd="/w", version="0"),
        ev.UserMessage(message_id="m-1", content=(TextPart(text="go"),)),
        ev.RunStarted(run_id=_RUN, model="fake/model", mode="ask", background=background),
    ]
    if attempts:
        begun.append(ev.RunResumed(run_id=_RUN, reason="died", attempt=attempts, background=background))
    return MemoryJournal(
        [
            type(one)(
                **{**{n: getattr(one, n) for n in one.__struct_fields__}, "seq": at, "at": "2026-01-01T00:00:00Z"}
            )
            for at, one in enumerate([*begun, *events], 1)
        ]
    )


def calls(*named: tuple[str, str]) -> ev.AssistantMessage:
    tools = tuple(ToolCall(id=f"c-{at}", name=name, arguments=f'{{"text":"{text}"}}')
                  for at, (name, text) in enumerate(named))  # fmt: skip
    return ev.AssistantMessage(message_id="m-2", model="fake/model", tool_calls=tools, finish="tool_calls")


def asked(call_id: str = "c-0", name: str = "Act") -> ev.RequestMade:
    return ev.RequestMade(
        run_id=_RUN, request=ApprovalRequest(request_id="req-1", call_id=call_id, tool=name, title="Act a")
    )


def answered(answer: Any) -> ev.RequestAnswered:
    return ev.RequestAnswered(run_id=_RUN, request_id="req-1", answer=answer, by="tui")


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not happened():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


def statuses(journal: MemoryJournal) -> list[tuple[str, str]]:
    return [(result.call_id, result.status) for result in journal.of(ev.ToolResult)]


def history_of(journal: MemoryJournal) -> History:
    history = History()
    history.extend(journal.events)
    return history


# ---------------------------------------------------------------- what is open


async def test_a_call_that_may_have_run_is_not_run_again_and_nothing_behind_it() -> None:
    journal = journal_of(calls(("Act", "a"), ("Act", "b")))
    model, around = PlayedModel(say("I looked.")), FakeSurroundings()
    one = session(model, journal, around)
    assert await recover(one)
    assert statuses(journal) == [("c-0", "unknown"), ("c-1", "denied")]
    assert [(e.run_id, e.name, e.title) for e in journal.of(ev.ToolResult)] == [(_RUN, "Act", "Act")] * 2
    assert history_of(journal).run is not None, "a run in the background stays open"
    assert await one.go_on()
    ended = await one.idle()
    assert ended is not None and (ended.run_id, ended.reason) == (_RUN, "done")
    assert around.tools["Act"].ran == []  # type: ignore[attr-defined]
    sent = [m for m in model.requests[0].messages if isinstance(m, ToolText)]
    assert "unknown" in text_of(sent[0].content) and "before this call began" in text_of(sent[1].content)
    assert [(e.reason, e.attempt) for e in journal.of(ev.RunResumed)] == [("died", 1)]


@pytest.mark.parametrize(
    ("began", "then", "told"),
    [("full", "", ["The run goes on in mode ask: mode full holds for one start only."]), ("ask", "", []),
     ("full", "ask", [])],
)  # fmt: skip
async def test_a_run_that_goes_on_in_another_mode_says_so(began: str, then: str, told: list[str]) -> None:
    journal = journal_of(*([ev.SettingChanged(name="mode", value=then)] if then else []))
    journal.events[2] = msgspec.structs.replace(journal.events[2], mode=began)
    one = session(PlayedModel(say("ok")), journal)
    assert await recover(one)
    assert await one.go_on()
    await one.idle()
    assert [notice.text for notice in journal.of(ev.Notice) if notice.code == "mode"] == told
    assert one.history.last_run is not None and one.history.last_run.seconds > 3600, "from its beginning, long ago"
    assert journal.of(ev.RunResumed)[0].mode == "ask"


async def test_calls_that_read_together_are_unknown_together() -> None:
    journal = journal_of(calls(("Echo", "a"), ("Echo", "b"), ("Act", "c"), ("Echo", "d")))
    assert await recover(session(PlayedModel(), journal))
    assert [status for _, status in statuses(journal)] == ["unknown", "unknown", "denied", "denied"]


async def test_what_waited_for_a_person_is_asked_again_and_run_once() -> None:
    journal = journal_of(calls(("Act", "a"), ("Act", "b")), asked())
    around = FakeSurroundings()
    around.policy.verdicts["Act"] = "ask"
    one = session(PlayedModel(say("Done.")), journal, around)
    assert await recover(one)
    assert statuses(journal) == []
    (closed,) = journal.of(ev.RequestAnswered)
    assert isinstance(closed.answer, Unanswered) and "asked again" in closed.answer.reason
    assert await one.go_on()
    for _ in range(2):
        await until(lambda: bool(one.history.open_requests))
        (request_id,) = one.history.open_requests
        await one.answer(request_id, Approve(), "test")
        await asyncio.sleep(0.05)
    await one.idle()
    assert around.tools["Act"].ran == ["a", "b"]  # type: ignore[attr-defined]
    assert statuses(journal) == [("c-0", "ok"), ("c-1", "ok")]


async def test_asked_again_in_a_process_that_nobody_watches_it_is_denied_with_a_reason() -> None:
    journal = journal_of(calls(("Act", "a")), asked())
    around = FakeSurroundings()
    around.policy.verdicts["Act"] = "ask"
    one = session(PlayedModel(say("I could not.")), journal, around, interactive=False)
    assert await recover(one)
    assert await one.go_on()
    await one.idle()
    (result,) = journal.of(ev.ToolResult)
    assert result.status == "denied" and "nobody can approve" in text_of(result.content)
    assert around.tools["Act"].ran == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("answer", "status"), [(Approve(), "unknown"), (Deny(message="no"), "denied"), (Unanswered(reason="-"), "denied")]
)
async def test_an_answer_that_came_decides_what_is_known(answer: Any, status: str) -> None:
    journal = journal_of(calls(("Act", "a")), asked(), answered(answer))
    assert await recover(session(PlayedModel(), journal))
    assert statuses(journal) == [("c-0", status)]


async def test_the_newest_answer_to_a_call_is_what_is_known() -> None:
    again = ApprovalRequest(request_id="req-2", call_id="c-0", tool="Act", title="Act a")
    yes = ev.RequestAnswered(run_id=_RUN, request_id="req-2", answer=Approve(), by="tui")
    asked_twice = [asked(), answered(Deny(message="not yet")), ev.RequestMade(run_id=_RUN, request=again), yes]
    journal = journal_of(calls(("Act", "a")), *asked_twice)
    assert await recover(session(PlayedModel(), journal))
    assert statuses(journal) == [("c-0", "unknown")], "it may have run"


async def test_a_file_that_a_finished_call_wrote_is_no_news(tmp_path: Path) -> None:
    future = time.time() + 100
    for name in ("written.txt", "odd.txt"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (future, future))
    done = ev.ToolResult(
        message_id="r",
        call_id="c-0",
        name="Act",
        status="ok",
        content=(),
        files=(ev.FileSeen(path=str(tmp_path / "written.txt"), sha="0"),),
    )
    journal = journal_of(calls(("Act", "a"), ("Act", "b")), done)
    one = session(PlayedModel(), journal)
    one.options = replace(one.options, cwd=str(tmp_path))
    assert await recover(one)
    told = text_of(journal.of(ev.ToolResult)[-1].content)
    assert "odd.txt" in told and "written.txt" not in told


async def test_a_question_is_asked_again_but_not_one_of_a_tool_that_does_more() -> None:
    question = QuestionRequest(request_id="req-1", call_id="c-0", question="Which?")
    asks = journal_of(calls(("AskUser", "a")), ev.RequestMade(run_id=_RUN, request=question))
    assert await recover(session(PlayedModel(), asks))
    assert statuses(asks) == []
    acts = journal_of(calls(("Act", "a")), ev.RequestMade(run_id=_RUN, request=question))
    assert await recover(session(PlayedModel(), acts))
    assert statuses(acts) == [("c-0", "unknown")]


async def test_a_second_death_while_it_is_asked_again_still_asks_again() -> None:
    journal = journal_of(calls(("Act", "a")), asked())
    assert await recover(session(PlayedModel(), journal))
    again = session(PlayedModel(), journal)
    await again.commit(ev.RunResumed(run_id=_RUN, reason="died", attempt=1, background=True))
    second = ApprovalRequest(request_id="req-2", call_id="c-0", tool="Act", title="Act a")
    await again.commit(ev.RequestMade(run_id=_RUN, request=second))
    assert await recover(session(PlayedModel(), journal))
    assert statuses(journal) == []
    assert list(history_of(journal).open_calls) == ["c-0"]


# ---------------------------------------------------------------- what becomes of the run


async def test_a_run_with_a_face_is_closed_and_the_person_is_told_how_to_go_on() -> None:
    journal = journal_of(calls(("Act", "a"), ("Act", "b")), asked(), background=False)
    one = session(PlayedModel(say("Went on.")), journal)
    assert await recover(one)
    assert statuses(journal) == [("c-0", "denied"), ("c-1", "denied")]
    (ended,) = journal.of(ev.RunFinished)
    (notice,) = journal.of(ev.Notice)
    assert (ended.reason, notice.code) == ("orphaned", "orphaned_run")
    assert "/continue" in notice.hint
    assert not await one.go_on()
    assert not await recover(one)


async def test_a_run_that_died_too_often_is_closed() -> None:
    journal = journal_of(calls(("Act", "a")), attempts=ATTEMPTS)
    assert await recover(session(PlayedModel(), journal))
    assert [e.reason for e in journal.of(ev.RunFinished)] == ["orphaned"]
    assert f"{ATTEMPTS + 1} times" in journal.of(ev.Notice)[0].text
    once_more = journal_of(calls(("Act", "a")), attempts=ATTEMPTS - 1)
    assert await recover(session(PlayedModel(), once_more))
    assert not once_more.of(ev.RunFinished)


async def test_a_run_that_was_given_away_is_left_for_its_next_owner() -> None:
    journal = journal_of(ev.RunMoved(run_id=_RUN, background=True, by="run"))
    one = session(PlayedModel(say("Done.")), journal)
    assert not await recover(one)
    assert await one.go_on()
    await one.idle()
    assert [(e.reason, e.attempt) for e in journal.of(ev.RunResumed)] == [("moved", 0)]


async def test_a_run_that_nobody_wants_any_more_is_ended() -> None:
    journal = journal_of(calls(("Act", "a")), asked(), ev.RunMoved(run_id=_RUN, background=True))
    await end_run(session(PlayedModel(), journal))
    history = history_of(journal)
    assert history.run is None and not history.open_calls and not history.open_requests
    assert [e.reason for e in journal.of(ev.RunFinished)] == ["interrupted"]


async def test_reminders_do_not_come_between_a_call_and_its_result() -> None:
    journal = journal_of(calls(("Act", "a")), asked())
    model = PlayedModel(say("Done."))
    one = session(model, journal)  # its facts were never told: they are news
    assert await recover(one)
    assert await one.go_on()
    await one.idle()
    kinds = [ev.type_of(e) for e in journal.events]
    assert kinds.index("tool_result") < kinds.index("reminder_added")


async def test_a_message_is_handed_in_without_a_model_and_taken_up_under_the_same_id() -> None:
    journal = MemoryJournal()
    first = session(PlayedModel(), journal)
    run_id = await first.hand_in("do it", client_id="c-1", by="run")
    assert not first.running
    assert [e.background for e in journal.of(ev.RunMoved)] == [True]
    assert await first.hand_in("and this", by="run") == run_id, "one open run a conversation"
    await first.handover.release(background=True, by="run")
    second = session(PlayedModel(say("Done.")), journal)
    assert await second.go_on()
    ended = await second.idle()
    assert ended is not None and ended.run_id == run_id
    assert [text_of(m.content) for m in journal.of(ev.UserMessage)] == ["do it", "and this"]


async def test_background_commands_that_end_with_a_moved_run_are_told_to_the_model() -> None:
    journal = MemoryJournal()
    around = FakeSurroundings()
    around.stopped = ("npm run dev",)
    one = session(PlayedModel(), journal, around)
    await one.hand_in("do it", by="run")
    await one.handover.release(background=True, by="run")
    (told,) = [e for e in journal.of(ev.ReminderAdded) if e.kind == "shells"]
    assert "npm run dev" in told.text


# ---------------------------------------------------------------- what is known


def test_printed_output_is_found_by_another_process(tmp_path: Path) -> None:
    printed = Printed(tmp_path / "conv")
    printed.add("../../evil", "one\n")
    printed.add("../../evil", "two\n")
    assert Printed(tmp_path / "conv").left("../../evil") == "one\ntwo\n"
    assert Printed(tmp_path / "conv").left("other") == ""
    assert [path.parent for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "conv"]
    assert printed.take("../../evil") == "one\ntwo\n"
    assert not (tmp_path / "conv").exists()


def test_a_flood_of_output_keeps_a_small_file_with_its_end(tmp_path: Path) -> None:
    printed = Printed(tmp_path / "conv")
    for number in range(20_000):
        printed.add("c", f"line {number} {'x' * 50}\n")
    (file,) = (tmp_path / "conv").iterdir()
    assert file.stat().st_size < 300_000
    assert f"line 19999 {'x' * 50}\n" in Printed(tmp_path / "conv").left("c")


def test_a_folder_that_cannot_be_made_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    printed = Printed(tmp_path / "file" / "conv")
    printed.add("c", "one")
    assert printed.left("c") == ""
    assert printed.take("c") == "one"


def test_newer_files_are_named_without_those_that_are_explained(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "sub").mkdir()
    for name in ("old.txt", "new.txt", "sub/deep.txt", "known.txt", ".git/index"):
        (tmp_path / name).write_text(name)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path)
    future = time.time() + 100
    for name in ("new.txt", "sub/deep.txt", "known.txt", ".git/index"):
        os.utime(tmp_path / name, (future, future))
    found = changed_since(str(tmp_path), future - 1, {str(tmp_path / "known.txt")})
    assert (set(found.paths), found.whole) == ({"new.txt", "sub/deep.txt"}, True)
    assert "new.txt" in found.described()
    assert changed_since(str(tmp_path), future + 1).described() == ""
    assert changed_since(str(tmp_path / "none"), 0.0).paths == ()


def test_a_huge_tree_is_given_up_in_time(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / "f").write_text("")
    found = changed_since(str(tmp_path), 0.0, seconds=0.0)
    assert not found.whole
    found = changed_since(str(tmp_path), 0.0)
    assert (len(found.paths), found.more, found.whole) == (20, 30, True)


async def test_the_heart_beats_while_a_run_goes_on(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as lock:
        heart = Heartbeat(lock, seconds=0.02)

        def age() -> float:
            return time.time() - lock.path.stat().st_mtime

        os.utime(lock.fileno(), (1, 1))
        heart.hear([ev.UserMessage(message_id="m", content=())])
        assert age() > 1000
        heart.hear([ev.RunStarted(run_id="r", model="m", mode="ask")])
        assert age() < 1000
        os.utime(lock.fileno(), (1, 1))
        await until(lambda: age() < 1000)
        heart.hear([ev.RunFinished(run_id="r", reason="done")])
        os.utime(lock.fileno(), (1, 1))
        await asyncio.sleep(0.1)
        assert age() > 1000
